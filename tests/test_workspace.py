"""The shape of the house: which module may import which, what every plugin folder holds, what is kept in step."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from faceexp import pipeline
from faceexp.contract import GROUPS

ROOT = Path(__file__).parents[1]
RUNNER = ROOT / "runner"
PLUGINS = sorted(path for path in (ROOT / "plugins").glob("*s/*") if path.is_dir() and path.name != "__pycache__")
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.toml"))

MODULES = sorted((RUNNER / "faceexp").rglob("*.py"))
TREES = {path.relative_to(RUNNER / "faceexp"): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def layer(path):
    """Return the layer of a module: its name, or that of its package."""
    return path.parts[0].removesuffix(".py")


def imported(tree):
    """Yield the dotted name of everything a module imports anywhere, also inside functions and for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from faceexp import engine` imports a module, `from faceexp.engine import train` a name out of one.
            whole = node.module == "faceexp"
            yield from (f"faceexp.{alias.name}" for alias in node.names) if whole else (node.module,)


def docstrings(tree):
    """Return the nodes that are docstrings."""
    owners = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    return {id(o.body[0].value) for o in owners if o.body and isinstance(o.body[0], ast.Expr)}


# The core


def test_evaluation_needs_numpy_and_nothing_else():
    allowed = {*sys.stdlib_module_names, "numpy", "faceexp"}
    exceptions = {"calibration", "likely", "jackknife", "groups"}  # a logistic regression, and quantiles
    for path, tree in TREES.items():
        if layer(path) == "evaluation" and path.stem not in exceptions:
            assert {name.partition(".")[0] for name in imported(tree)} <= allowed, path


def test_few_modules_know_tensorflow():
    for path, tree in TREES.items():
        if layer(path) not in ("engine", "tensors", "layers", "testing", "contract", "serving", "network_files"):
            heavy = {name for name in imported(tree) if name.partition(".")[0] in ("tensorflow", "keras")}
            assert heavy == set(), path


@pytest.mark.parametrize("path", [path for path in TREES if layer(path) != "cli"], ids=str)
def test_only_the_command_line_prints_or_exits(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "exit", "quit", "sys.exit", "os._exit"), node.lineno
        if isinstance(node, ast.Raise) and node.exc:
            assert "SystemExit" not in ast.unparse(node.exc), node.lineno


@pytest.mark.parametrize("path", TREES, ids=str)
def test_the_core_knows_no_plugin_by_name(path):
    # Docstrings may show an example of use; code may not, nor what it tells people: a hint that names a plugin is
    # wrong where that plugin is not installed.
    tree = TREES[path]
    left_out = docstrings(tree)
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out
    ]
    # A sampler is called "pairs"; so is, everywhere, what verification judges. "saved_model" is a format of files. A
    # detector is called like the column of a data set that it takes, one loss like the border around a face, and one
    # like a chart of the page. A sampler is called like a way to search.
    names = {path.name for path in PLUGINS if len(path.name) > 4} - {
        "pairs",
        "saved_model",
        "landmarks",
        "margin",
        "histogram",
        "random",
    }
    assert not names & set(texts)
    assert not [text for text in texts for name in names if re.search(rf"[\"'`]{name}[\"'`]|faceexp_\w+_{name}", text)]


# Plugins


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_every_plugin_is_made_alike(folder):
    name = folder.name
    (kind,) = [kind for kind, group in GROUPS.items() if group == f"faceexp.{folder.parent.name}"]
    module = f"faceexp_{kind}_{name}"
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == f"faceexp-{kind}-{name.replace('_', '-')}"
    assert project["description"]
    assert list(project["entry-points"]) == [GROUPS[kind]]
    # One plugin of the package's name; or, around one library, several that begin with it.
    entries = project["entry-points"][GROUPS[kind]]
    assert list(entries) == [name] or (len(entries) > 1 and all(entry.startswith(f"{name}_") for entry in entries))
    assert all(target.startswith(f"{module}:") for target in entries.values())
    # One module, and tests of it: what they share has a place in the contract or in tensors.
    assert [path.name for path in folder.glob("*.py")] == [f"{module}.py"]
    assert [path.name for path in (folder / "tests").glob("test_*.py")] == [f"test_{kind}_{name}.py"]


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_imports_no_other_plugin_and_of_the_core_the_contract(folder):
    (module,) = folder.glob("*.py")
    names = set(imported(ast.parse(module.read_text(encoding="utf-8"))))
    assert not {name for name in names if name.startswith("faceexp_")}
    core = {name for name in names if name.partition(".")[0] == "faceexp"}
    offered = ("FaceModel", "contract", "errors", "files", "layers", "load_model", "network_files", "quiet", "tensors")
    assert {".".join(name.split(".")[:2]) for name in core} <= {f"faceexp.{name}" for name in offered}


def test_one_command_installs_the_core_and_every_plugin():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "-e .[all]"
    assert sorted(lines[1:]) == [f"-e ./{folder.relative_to(ROOT).as_posix()}" for folder in PLUGINS]
    kinds = [line.split("/")[2] for line in lines[1:]]
    assert kinds == sorted(kinds, key=[group.removeprefix("faceexp.") for group in GROUPS.values()].index)


def test_importing_the_core_or_a_plugin_does_not_import_tensorflow():
    core = [".".join((path.parent / path.stem).parts).removesuffix(".__init__") for path in TREES]
    modules = [f"faceexp.{name}" for name in core if name != "__init__"]
    modules += [path.stem for folder in PLUGINS for path in folder.glob("*.py")]
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"tensorflow", "keras", "tensorflow_similarity"} & set(sys.modules)
    sys.exit(f"{name} imports {heavy}") if heavy else None
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# Experiments


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid(path):
    study = pipeline.load(path)
    assert study.experiment.name == path.stem


@pytest.mark.parametrize("name", ["all_losses", "tuned_losses"])
def test_all_losses_are_named_where_all_are_compared(name):
    named = {entry.plugin for entry in pipeline.load(ROOT / "experiments" / f"{name}.toml").experiment.losses}
    offered = [
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
        for folder in PLUGINS
        if folder.parent.name == "losses"
    ]
    assert named == {name for groups in offered for name in groups["faceexp.losses"]}


# Files


def python_files():
    return [
        path
        for top in ("runner", "plugins", "tests", "benchmarks")
        for path in sorted((ROOT / top).rglob("*.py"))
        if "oracles" not in path.parts
    ]


def test_nothing_is_left_to_do():
    mark = "TO" + "DO"
    assert [path for path in python_files() if mark in path.read_text(encoding="utf-8")] == []


def test_names_of_tests_are_unique():
    """Modules of the core are told apart by their packages, fixtures by the folders they serve, tests by their name."""
    names = [path.name for path in python_files() if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))
