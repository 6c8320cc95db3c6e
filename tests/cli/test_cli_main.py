"""The command line as a whole: help, version, exit codes, and how little a short command imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["face photos", "run", "list-plugins", "describe", "validate", "schema", "report"]),
        (["-h"], ["face photos"]),
        (["run", "--help"], ["SPEC", "--out", "--store", "FACEEXP_STORE", "--set", "--only", "--json", "Exit code 0"]),
        (["list-plugins", "--help"], ["--json"]),
        (["describe", "--help"], ["loss, model, dataset or sampler", "--json"]),
        (["validate", "--help"], ["SPEC", "--set", "--json", "without loading data"]),
        (["schema", "--help"], ["JSON schema"]),
        (["report", "--help"], ["RUN", "--json"]),
    ],
)
def test_help(faceexp, arguments, expected):
    code, out, _ = faceexp(*arguments)
    assert code == 0
    assert [text for text in expected if text not in out] == []


def test_version(faceexp):
    assert faceexp("--version") == (0, "faceexp 0.1.0\n", "")


@pytest.mark.parametrize("arguments", [["no-such-command"], ["run"], ["validate", "--no-such-option", "x.toml"]])
def test_a_command_that_is_none_ends_with_code_2(faceexp, arguments):
    code, out, err = faceexp(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("Usage: ")


# TensorFlow takes seconds to import; only training needs it

WITHOUT_TENSORFLOW = """
import sys
from faceexp.cli.main import main

for command in sys.argv[1:]:
    sys.argv = ["faceexp", *command.split()]
    try:
        main()
    except SystemExit as ended:
        heavy = sorted({"tensorflow", "keras", "torch", "sklearn", "statsmodels", "pandas"} & set(sys.modules))
        print(f"{sys.argv[1]}: code {ended.code or 0}, imported {heavy}", file=sys.stderr)
"""


def test_what_does_not_train_does_not_import_tensorflow(spec, folder, tmp_path):
    for number in range(1, 6):
        (folder / "p03" / f"{number}.png").unlink()
    commands = {
        "--help": 0,
        "list-plugins": 0,
        "describe loss contrastive": 0,
        "schema": 0,
        f"validate {ROOT / 'experiments' / 'all_losses.toml'}": 0,
        f"run {spec()} --out {tmp_path} --store {tmp_path / 'store'}": 2,
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *commands],
        env={**os.environ, "FACEEXP_STORE": str(tmp_path / "own-store")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    reported = [line for line in done.stderr.splitlines() if "imported" in line]
    assert reported == [f"{command.split()[0]}: code {code}, imported []" for command, code in commands.items()]


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m faceexp schema | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")
