"""New plugins: every kind installs and passes its tests as it stands; what the guide for authors says is true."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from faceexp.contract import GROUPS
from faceexp.errors import InputError
from faceexp.registry.scaffold import new_plugin

GUIDE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
INSTALL = [
    "pip",
    "install",
    "--quiet",
    "--no-deps",
    "--no-build-isolation",
    "--no-index",
    "--disable-pip-version-check",
]


@pytest.fixture
def python(tmp_path):
    """Run Python with modules and packages of ``tmp_path / "site"``."""

    def run(*arguments, path=()):
        places = os.pathsep.join(map(str, [*path, tmp_path / "site"]))
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": places, "COLUMNS": "140"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_kind_installs_and_passes_its_tests(python, tmp_path):
    folders = [new_plugin(kind, f"brand_new_{number}", tmp_path) for number, kind in enumerate(GROUPS)]
    for folder, kind in zip(folders, GROUPS, strict=True):
        name = folder.name
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
            "README.md",
            f"faceexp_{kind}_{name}.py",
            "pyproject.toml",
            f"tests/test_{kind}_{name}.py",
        ]
        assert max(len(line) for path in folder.rglob("*.py") for line in path.read_text().splitlines()) <= 120
    python(*INSTALL, "--target", "site", *folders)
    listed = python("faceexp", "list-plugins", "--json")
    assert all(f'"{folder.name}"' in listed for folder in folders)
    assert '"error"' not in listed
    out = python("pytest", "-q", "-W", "error::UserWarning", *folders)
    assert " passed" in out
    assert "skipped" not in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Bad-Name",
            "'Bad-Name' is no name for a plugin; take small letters, digits and single _, 'bad_name' for instance",
        ),
        ("3d", "'3d' is no name for a plugin; take small letters, digits and single _, 'd' for instance"),
        ("../up", "'../up' is no name for a plugin; take small letters, digits and single _, 'up' for instance"),
        ("_", "'_' is no name for a plugin; take small letters, digits and single _"),
        ("", "'' is no name for a plugin; take small letters, digits and single _"),
        ("lambda", "the name 'lambda' has a meaning of its own; take 'my_lambda', or another"),
        ("grid", "the name 'grid' has a meaning of its own; take 'my_grid', or another"),
    ],
)
def test_bad_names_are_refused(name, message, tmp_path):
    with pytest.raises(InputError) as caught:
        new_plugin("loss", name, tmp_path)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(install, tmp_path):
    install("outside-loss", "loss", "taken", "", version="2.0")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError) as caught:
        new_plugin("loss", "taken", tmp_path)
    assert str(caught.value).splitlines() == [
        "loss 'taken' (outside-loss 2.0) is installed already; take another name",
        f"{tmp_path / 'taken'}: is there already; take another name, or another folder with --out",
    ]
    assert new_plugin("sampler", "taken", tmp_path / "samplers").is_dir()


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no kind 'los' of plugin; did you mean 'loss'?"):
        new_plugin("los", "mine", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/mine: nothing can be written there: Not a directory"):
        new_plugin("loss", "mine", tmp_path / "file")


def blocks():
    """Return the guide's blocks as (file or None, language, text): a block after a line of one name is that file."""
    found = re.findall(r"(?:^`([^`\n]+)`\n\n)?^```(\w+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [(name or None, language, text) for name, language, text in found]


def test_the_guide_does_what_it_says(python, tmp_path):
    """Do all that its commands say, with a shorter training."""
    files = {name: text for name, _, text in blocks() if name}
    commands = [line for _, language, text in blocks() if language == "console" for line in text.splitlines()]
    assert {Path(name).suffix for name in files} == {".py", ".toml"}
    # Blocks of text are what is printed where a plugin is at fault; the others are files and commands.
    assert len(files) + sum(language in ("console", "text") for _, language, _ in blocks()) == len(blocks())

    outputs = {}
    for command in commands:
        words = shlex.split(command)
        if command.startswith("pip install -e "):
            words = [*INSTALL, "--target", "site", f"./{words[-1]}"]
        if command.startswith("faceexp run "):
            short = ("pretrain.epochs=1", "finetune.steps=4", "dataset.people=20", "seeds=[0]")
            words += [word for value in short for word in ("--set", value)]
        if command.startswith("python -m "):
            words = words[2:]
        # What is installed here is a copy; installed with -e, the module is the one in the folder.
        outputs[command] = python(*words, path=[tmp_path / "my_loss"])
        if command.startswith("faceexp new-plugin "):
            for name, text in files.items():
                (tmp_path / name).write_text(text)
    table = outputs["faceexp run mine.toml"]
    # Of the two settings of the grid, the table has the one that is best on validation people.
    assert ("my_loss(margin=1)" in table) != ("my_loss(margin=4)" in table)
    assert " passed" in outputs["python -m pytest my_loss"]


def test_of_the_guides_loss_twenty_lines_are_to_be_written(tmp_path):
    written = (new_plugin("loss", "my_loss", tmp_path) / "faceexp_loss_my_loss.py").read_text().splitlines()
    (code,) = [text for name, _, text in blocks() if name == "my_loss/faceexp_loss_my_loss.py"]
    assert len([line for line in code.splitlines() if line not in written]) <= 20
