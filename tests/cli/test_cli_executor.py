"""`faceexp run --executor`: its options, and what is said where they cannot be used."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def spec(small_spec, face_folder, tmp_path):
    file = tmp_path / "elsewhere.toml"
    file.write_text(small_spec("elsewhere", face_folder, "npairs"), encoding="utf-8")
    return file


def test_an_executor_takes_the_place_of_the_one_in_the_file(faceexp, spec, tmp_path, row):
    """Its table in the file is not needed, and neither is the plugin that stands there."""
    with spec.open("a", encoding="utf-8") as file:
        file.write('[executor]\nplugin = "cluster_of_the_institute"\n')
    where = ("--out", tmp_path / "runs", "--store", tmp_path / "store")
    code, out, err = faceexp("run", spec, *where, "--executor", "local", "--set", "executor.processes=2")
    assert code == 0, err
    assert row(out, "npairs").startswith("npairs 2/2")
    (run,) = (tmp_path / "runs").iterdir()
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    assert (environment["executor"], environment["threads"], environment["jobs"]) == ("local", 1, 1)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ("--executor", "locall"),
            "--set executor={plugin=\"locall\"}: executor.plugin: no executor plugin 'locall' is installed; did you mean 'local'?",
        ),
        (
            ("--executor", "local", "--address", "auto"),
            "--set executor.address=\"auto\": executor.address: unknown option of executor 'local' ",
        ),
        (
            ("--executor", "local", "--set", "executor.cpus=0"),
            "--set executor.cpus=0: executor.cpus: must be greater than or equal to 1, not 0",
        ),
        (("--address", "auto"), '--set executor.address="auto": executor: names no plugin'),
        (("--executor", "local", "--jobs", "2"), "--jobs: has no meaning with an executor"),
    ],
)
def test_what_cannot_be_is_one_line(faceexp, spec, options, reason):
    code, out, err = faceexp("run", spec, *options)
    assert (code, out) == (2, "")
    assert err.splitlines()[0].startswith(f"error: {reason}"), err
    assert len(err.splitlines()) == 1
