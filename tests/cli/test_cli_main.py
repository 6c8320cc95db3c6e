"""The command line as a whole: help, version, exit codes, and how little a short command imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from faceexp.cli import completion
from faceexp.cli.main import COMMANDS
from faceexp.evaluation.catalogue import METRIC_OF

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["face photos", "run", "list-plugins", "describe", "validate", "schema", "report"]),
        (["-h"], ["face photos"]),
        (["run", "--help"], ["SPEC", "--out", "--store", "FACEEXP_STORE", "--set", "--only", "--json", "Exit code 0"]),
        (["list-plugins", "--help"], ["--json"]),
        (["describe", "--help"], ["[KIND] NAME", "or metric.", "--json"]),
        (["validate", "--help"], ["SPEC", "--set", "--json", "without loading data"]),
        (["schema", "--help"], ["JSON schema"]),
        (["report", "--help"], ["RUN", "--json"]),
    ],
)
def test_help(faceexp, arguments, expected):
    code, out, _ = faceexp(*arguments)
    assert code == 0
    assert [text for text in expected if text not in out] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_names_its_own_options_and_no_types_of_python(faceexp, name):
    code, out, _ = faceexp(name, "--help")
    assert code == 0
    _, example = COMMANDS[name]
    assert example.startswith(f"faceexp {name}")
    assert f"Example: {example}" in " ".join(out.split())
    before = out.partition("Example:")[0]
    assert [option for option in re.findall(r"--[\w-]+", example) if option not in before] == []
    assert re.findall(r"<(?:bool|str|int|float|Path|list\b[^>]*)>", out) == []


@pytest.mark.parametrize(("name", "option"), [("report", "--sort"), ("compare", "--metric"), ("power", "--metric")])
def test_metrics_are_listed_where_one_is_asked_for(faceexp, name, option):
    out = " ".join(faceexp(name, "--help")[1].replace("\u2502", " ").split())
    told = out.partition(option)[2]
    assert [key for key in METRIC_OF if key not in told] == []


def completed(line):
    """Return what a shell offers where a line ends, as it asks for it."""
    words = line.split(" ")
    environment = {"_FACEEXP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    # The words of a shell script begin with the name of the program.
    done = subprocess.run(
        [sys.executable, "-m", "faceexp"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.split()


def test_a_shell_completes_commands_plugins_metrics_and_labels(tmp_path):
    assert completed("faceexp repo") == ["report"]
    assert completed("faceexp describe contr") == ["contrastive"]
    assert completed("faceexp describe sampler bal") == ["balanced"]
    assert completed("faceexp list-plugins mo") == ["model"]
    assert completed("faceexp report x --sort tar") == ["tar@far=0.01", "tar@far=0.001"]
    smoke = ROOT / "experiments" / "smoke.toml"
    label = tomllib.loads(smoke.read_text(encoding="utf-8"))["losses"][0]["plugin"]
    assert any(offer.startswith(label) for offer in completed(f"faceexp run {smoke} --only {label[:3]}"))


def test_a_shell_completes_runs(tmp_path, monkeypatch):
    for name in ("mine-1", "mine-2", "other-3"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "results.json").touch()
    (tmp_path / "runs" / "mine-empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert completion.runs("runs/mi") == completion.runs("mi") == ["runs/mine-1", "runs/mine-2"]
    assert completion.runs("") == ["runs/mine-1", "runs/mine-2", "runs/other-3"]
    assert completion.runs("nowhere/x") == []


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


# Streams: what they lead to is no reason to fail


def in_shell(command, **environment):
    """Run a command line in which ``faceexp`` stands for the program."""
    script = f'faceexp() {{ "{sys.executable}" -m faceexp "$@"; }}; set -o pipefail; {command}'
    return subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("faceexp schema | head -c 1", b"{"),
        ("faceexp schema | true", b""),
        ("faceexp --help | true", b""),
        ("faceexp list-plugins --json | true", b""),
        ("faceexp cache 2>&1 >/dev/null | true", b""),
    ],
)
def test_a_reader_that_has_seen_enough_is_no_error(command, output, tmp_path):
    done = in_shell(command, FACEEXP_STORE=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, output, b"")


@pytest.mark.parametrize("redirection", ["2>&1 >/dev/null | true", "2>&-", ">&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_a_mistake_has_its_exit_code_even_where_nobody_can_read_of_it(redirection):
    assert in_shell(f"faceexp validate no-such-file.toml {redirection}").returncode == 2


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&- <&-"])
def test_a_command_works_without_its_streams(redirection):
    assert in_shell(f"faceexp cache {redirection}").returncode == 0


def test_a_full_disk_is_told_of_in_one_line():
    done = in_shell("faceexp schema >/dev/full")
    assert done.returncode == 2
    assert done.stderr == b"error: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437"])
def test_letters_that_the_encoding_lacks_are_written_as_escapes(encoding, tmp_path):
    done = in_shell("faceexp cache && faceexp validate 損失.toml", PYTHONIOENCODING=encoding, FACEEXP_STORE="損失 ≥ 1")
    assert r"\u640d\u5931" in done.stdout.decode(encoding)
    assert r"error: \u640d\u5931.toml: no such file" in done.stderr.decode(encoding)
    assert "Traceback" not in done.stderr.decode(encoding)
    assert done.returncode == 2


def test_a_file_name_that_is_no_utf8_is_shown_with_its_bytes_as_escapes():
    done = in_shell("faceexp validate $'J\\xf6rg.toml'", PYTHONIOENCODING="utf-8:strict")
    assert done.stderr.decode() == "error: J\\udcf6rg.toml: no such file; an experiment is a TOML file\n"


@pytest.mark.parametrize("columns", ["0", "\N{SUPERSCRIPT TWO}"])
def test_a_screen_of_no_size_is_as_good_as_none(columns, tmp_path):
    done = in_shell("faceexp cache", COLUMNS=columns, LINES=columns, FACEEXP_STORE=str(tmp_path))
    assert done.returncode == 0
    assert str(tmp_path) in done.stdout.decode()


# Texts and paths


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "{}.toml"],
        ["run", "{}.toml"],
        ["report", "{}"],
        ["report", "a", "b{}"],
        ["compare", "{}", "b"],
        ["describe", "{}", "x"],
        ["describe", "loss", "{}"],
        ["power", "{}"],
        ["verify", "{}", "a", "b"],
        ["embed", "m", "{}"],
        ["{}"],
        ["validate", "--{}"],
    ],
)
def test_what_was_typed_comes_back_without_commands_for_the_terminal(faceexp, arguments):
    code, out, err = faceexp(*[argument.format("x[/c]\x1b[31m\u202e\u2028y") for argument in arguments])
    assert (code, out) == (2, "")
    assert not set("\x1b\u202e\u2028") & set(err)
    assert "x[/c]" in err


@pytest.mark.parametrize("before", [["validate"], ["report"], ["verify", "m", "a"], ["power"], ["cache", "--store"]])
@pytest.mark.parametrize(("path", "reason"), [("a\0b", "null character"), ("a" * 5000, "too long")])
def test_a_path_that_no_file_can_have_is_one_line(faceexp, before, path, reason):
    code, _, err = faceexp(*before, path)
    assert code == 2
    assert reason in err
    assert len(err.splitlines()) == 1


def test_a_tilde_is_the_home_folder_in_every_path(faceexp, finished, trial, summary, spec, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = f"~/{finished([trial('pull')], [summary('pull', 'accuracy', 0.9, None)]).relative_to(tmp_path)}"
    spec()
    assert faceexp("validate", "~/x.toml")[0] == 0
    assert faceexp("report", run, "--html=~/page.html", "--svg=~/table.svg")[0] == 0
    assert {file.name for file in tmp_path.glob("*.*")} >= {"page.html", "table.svg"}
    assert faceexp("new-plugin", "loss", "mine", "--out=~/plugins")[0] == 0
    assert (tmp_path / "plugins" / "mine").is_dir()
    # Without a run, a model or photos there, the message names the folder that was looked for.
    for arguments in (
        ["power", "~/a"],
        ["compare", "~/a", run],
        ["verify", "~/a", "b", "c"],
        ["identify", "m", "~/a", "b"],
        ["embed", "m", "~/a"],
        ["export", "~/a", "b"],
    ):
        assert f"{tmp_path}/a" in faceexp(*arguments)[2], arguments
    assert "~no-such-user/a" in faceexp("report", "~no-such-user/a")[2]
