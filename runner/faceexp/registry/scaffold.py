"""New plugins from templates: a package that installs, and passes the tests of its kind, as it stands."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.contract import GROUPS, RESERVED_OF_KIND
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.registry.installed import discover

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class Package:
    """What tells the package of one plugin from that of another: all else in its pyproject.toml and README is the same.

    Attributes:
        kind: ``"loss"``, ``"model"``, ``"dataset"``, ``"sampler"``, ``"detector"``, ``"tracker"`` or ``"executor"``.
        name: That of the plugin, or what the names of several begin with.
        version: Of the package.
        core: Which faceexp it needs, as :func:`core_requirement` says it.
        description: One line.
        entries: Name and ``module:class`` of each plugin in it.
        dependencies: What it needs beside faceexp.
    """

    kind: str
    name: str
    version: str
    core: str
    description: str
    entries: Mapping[str, str]
    dependencies: Sequence[str] = ()

    @property
    def distribution(self) -> str:
        """Return the name under which it is installed."""
        return f"faceexp-{self.kind}-{self.name}".replace("_", "-")

    @property
    def group(self) -> str:
        """Return the entry points' group."""
        return GROUPS[self.kind]

    @property
    def requirements(self) -> list[str]:
        """Return all that it needs, faceexp first."""
        return [self.core, *self.dependencies]


def core_requirement(version: str) -> str:
    """Return what a plugin made with this version of faceexp requires: ``"faceexp>=0.1,<0.2"`` for ``"0.1.0"``.

    The contract may change with the second number: pip shall not install a plugin beside a core that it was not made
    for.
    """
    major, minor = version.split(".")[:2]
    return f"faceexp>={major}.{minor},<{major}.{int(minor) + 1}"


def project_files(package: Package) -> dict[str, str]:
    """Return the texts of pyproject.toml and README.md, by name."""
    templates = _templates()
    names = ("pyproject.toml", "README.md")
    return {name: templates.get_template(f"{name}.j2").render(package=package) for name in names}


def new_plugin(kind: str, name: str, out: Path) -> Path:
    """Write the package of a new plugin into a folder of its name, and return that folder.

    Args:
        kind: ``"loss"``, ``"model"``, ``"dataset"``, ``"sampler"``, ``"detector"``, ``"tracker"`` or ``"executor"``.
        name: As experiment files will name it.
        out: The folder around it.

    Raises:
        InputError: The kind or the name will not do, or something is in the way; nothing is written.
    """
    folder = out / name
    problems = _problems(kind, name, folder)
    if problems:
        raise InputError(problems)

    module = f"faceexp_{kind}_{name}"
    words = name.split("_")
    cls, title = "".join(word.capitalize() for word in words), " ".join(words).capitalize()
    package = Package(
        kind=kind,
        name=name,
        version="0.1.0",
        core=core_requirement(importlib.metadata.version("faceexp")),
        description=f"{title} {kind}, a faceexp plugin",
        entries={name: f"{module}:{cls}"},
    )
    values = {
        "kind": kind,
        "name": name,
        "module": module,
        "class": cls,
        "title": title,
        "suite": f"{kind.capitalize()}Contract",
    }
    templates = _templates()
    files = project_files(package) | {
        f"{module}.py": templates.get_template(f"{kind}.py.j2").render(values),
        f"tests/test_{kind}_{name}.py": templates.get_template("test.py.j2").render(values),
    }
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"nothing can be written there: {error.strerror}; name a folder of yours with --out"
        raise InputError(Problem(message, str(folder))) from error
    return folder


def _templates() -> jinja2.Environment:
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("faceexp.registry"),
        autoescape=False,  # noqa: S701 - it writes Python, not HTML
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    # Of texts and lists of texts, what JSON writes is TOML too.
    templates.filters["toml"] = functools.partial(json.dumps, ensure_ascii=False)
    return templates


def _problems(kind: str, name: str, folder: Path) -> list[Problem]:
    if kind not in GROUPS:
        return [Problem(f"there is no kind {kind!r} of plugin; {did_you_mean(kind, GROUPS)}")]
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        hint = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        better = f", {hint!r} for instance" if hint else ""
        return [Problem(f"{name!r} is no name for a plugin; take small letters, digits and single _{better}")]
    if keyword.iskeyword(name) or name in RESERVED_OF_KIND[kind]:
        return [Problem(f"the name {name!r} has a meaning of its own; take {f'my_{name}'!r}, or another")]
    installed = [plugin for plugin in discover().plugins if (plugin.kind, plugin.name) == (kind, name)]
    problems = [Problem(f"{plugin} is installed already; take another name") for plugin in installed]
    if folder.exists():
        problems.append(Problem("is there already; take another name, or another folder with --out", str(folder)))
    return problems
