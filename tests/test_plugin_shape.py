"""Shipped plugins have one shape, that of the template for new ones; one command keeps them in step with it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from faceexp.contract import GROUPS
from faceexp.registry.scaffold import Package, core_requirement, new_plugin, project_files

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def project_of(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def package_of(folder, version=VERSION, core_version=VERSION):
    """What the folder's place says, and what only its pyproject.toml can say."""
    project = project_of(folder)
    (kind,) = [kind for kind, group in GROUPS.items() if group == f"faceexp.{folder.parent.name}"]
    return Package(
        kind=kind,
        name=folder.name,
        version=version,
        core=core_requirement(core_version),
        description=project["description"],
        entries=project["entry-points"][GROUPS[kind]],
        dependencies=project["dependencies"][1:],
    )


def test_there_are_plugins_of_every_kind():
    assert {folder.parent.name for folder in PLUGINS} == {group.removeprefix("faceexp.") for group in GROUPS.values()}


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_has_the_shape_of_a_new_one(folder):
    for name, text in project_files(package_of(folder)).items():
        assert (folder / name).read_text(encoding="utf-8") == text, "run: nox -s sync-plugins"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_says_from_which_version_on_a_library_will_do(folder):
    for requirement in project_of(folder)["dependencies"]:
        assert re.fullmatch(r"[a-zA-Z0-9_.-]+>=[0-9.]+(,<[0-9.]+)?", requirement), requirement


@pytest.mark.parametrize("kind", GROUPS)
def test_a_new_plugin_has_the_same_shape(kind, tmp_path):
    folder = new_plugin(kind, "brand_new", tmp_path / GROUPS[kind].removeprefix("faceexp."))
    # It is made for the faceexp that is installed; the project's own files may have got a new version since.
    package = package_of(folder, version="0.1.0", core_version=importlib.metadata.version("faceexp"))
    for name, text in project_files(package).items():
        assert (folder / name).read_text(encoding="utf-8") == text
    assert list(project_of(folder)) == list(project_of(PLUGINS[0]))


@pytest.mark.parametrize(
    ("version", "requirement"),
    [("0.1.0", "faceexp>=0.1,<0.2"), ("1.9.3", "faceexp>=1.9,<1.10"), ("0.2.0rc1", "faceexp>=0.2,<0.3")],
)
def test_a_plugin_requires_the_core_that_it_was_made_for(version, requirement):
    assert core_requirement(version) == requirement


# The command that keeps them in step


@pytest.fixture
def copy(tmp_path):
    """A copy of what the command reads and writes."""
    for file in [
        ROOT / "pyproject.toml",
        ROOT / "CITATION.cff",
        *(folder / name for folder in PLUGINS for name in ("pyproject.toml", "README.md")),
    ]:
        place = tmp_path / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return tmp_path


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.*") if path.is_file()}


def sync(root, *arguments, code=0):
    """Run the command on a copy, and return what it prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "sync_plugins.py", "--root", root, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_what_is_committed_is_in_step(copy):
    before = contents(copy)
    assert sync(copy) == ""
    assert contents(copy) == before


def test_a_plugin_out_of_step_is_written_anew(copy):
    before = contents(copy)
    file, readme = (copy / PLUGINS[0].relative_to(ROOT) / name for name in ("pyproject.toml", "README.md"))
    file.write_text(file.read_text().replace('license = "Apache-2.0"\n', "").replace("faceexp>=", "faceexp<9,>="))
    readme.unlink()
    assert sync(copy).splitlines() == [path.relative_to(copy).as_posix() for path in (file, readme)]
    assert contents(copy) == before


def test_one_command_sets_the_version_everywhere(copy):
    before = contents(copy)
    sync(copy, "--version", "7.3.0")
    after = contents(copy)
    assert project_of(copy)["version"] == "7.3.0"
    for folder in PLUGINS:
        project = project_of(copy / folder.relative_to(ROOT))
        assert (project["version"], project["dependencies"][0]) == ("7.3.0", "faceexp>=7.3,<7.4")
    assert {name for name in after if after[name] != before[name]} == {
        name for name in before if name.endswith((".toml", ".cff"))
    }
    sync(copy, "--version", VERSION)
    assert contents(copy) == before


def test_what_is_no_version_is_refused(copy):
    before = contents(copy)
    assert "'next' is no version; give three numbers, such as 0.2.0" in sync(copy, "--version", "next", code=2)
    assert contents(copy) == before
