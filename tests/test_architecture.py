"""Who may import whom: an ordered tuple of packages, to which the code is held. docs/architecture.md draws the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "runner" / "faceexp"

# A package, or a module that lies flat, imports only from those before it. This tuple is the only statement of the rule.
ORDER = (
    "errors",
    "files",
    "quiet",
    "arrays",
    "network_files",
    "contract",
    "layers",
    "tensors",
    "store",
    "experiment",
    "registry",
    "data",
    "testing",
    "values",
    "planning",
    "engine",
    "evaluation",
    "statistics",
    "search",
    "results",
    "serving",
    "report",
    "run",
    "running",
    "pipeline",
    "cli",
    "__main__",
    "__init__",
)
# A flat file is what plugin authors import, or one of the few values that everybody passes through.
MOST_FLAT_MODULES = 12
MOST_LINES = 350

MODULES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """Return the package of a module, or the module itself where it lies flat."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the packages and flat modules that a file imports, also inside functions and for types alone."""
    dotted: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            dotted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            # `from faceexp import run` imports a module, `from faceexp.run import Run` a name out of one.
            whole = node.module == "faceexp"
            dotted |= {f"faceexp.{alias.name}" for alias in node.names} if whole else {str(node.module)}
    return {name.split(".")[1] for name in dotted if name.startswith("faceexp.")}


def test_every_package_has_its_place() -> None:
    assert {place(path) for path in MODULES} == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_package_imports_only_from_those_before_it(path: Path) -> None:
    before = set(ORDER[: ORDER.index(place(path)) + 1])
    assert imported(path) <= before


def test_few_modules_lie_flat() -> None:
    flat = [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    assert len(flat) <= MOST_FLAT_MODULES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_every_package_says_what_it_is_for() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_tests_mirror_the_folders() -> None:
    """Each folder of tests is named after a package, but for the one of the hardening session.

    What else spans several packages lies flat.
    """
    folders = {path.name for path in (ROOT / "tests").iterdir() if list(path.glob("test_*.py"))}
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders <= packages | {"testing", "hardening"}


def test_the_documentation_shows_the_same_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `([a-z_]+)/?` \|", text, flags=re.MULTILINE)
    assert tuple(shown) == tuple(name for name in ORDER if not name.startswith("__"))
