"""What code a plugin consists of, as one digest: edited code is other code, for which old results do not answer.

A plugin is more than its module. The digest covers

- every file of the package that holds the module, and every file with which the distribution was installed;
- every module that these import, at their top or inside a function, and that no installed distribution records: one
  beside the plugin, one of an editable installation, one in a folder of ``PYTHONPATH``. They are followed in turn;
- name and version of whatever is imported from an installed distribution, and of all that the plugin's distribution
  requires, directly or not.

Imports are read in the source text and nothing is imported for it, so the digest is the same in every process, whatever
was imported before. The place of the files does not matter. Not covered are Python's own library and faceexp, which
store keys cover by a rule of their own, and what no source text names: a module whose name is computed, a file anywhere
else that is opened.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from faceexp.registry.metadata import distribution_named, recorded_files, version_and_requirements

# Python's own modules do not change without its version; the sources of faceexp are part of store keys by themselves.
_NOT_FOLLOWED = frozenset({*sys.stdlib_module_names, "faceexp"})
# The folders that Python searches, and when something was last added to each or removed from it: while they are the
# same, what was found in them is not looked for again.
_State = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Place:
    """Where a module, or the package around it, lies.

    Attributes:
        name: The dotted name of the module or of the package.
        path: The module's file, the package's folder, or the archive that holds them.
        search: The folder in which Python finds the first part of the name.
    """

    name: str
    path: Path
    search: Path

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield every file with a name that is the same wherever the code lies."""
        name = self.name.replace(".", "/")
        if not self.path.is_dir():
            yield name + self.path.suffix, self.path
            return
        for folder, folders, files in os.walk(self.path):
            # Hidden files and caches are those of tools: of editors, of version control, of Python.
            folders[:] = [each for each in folders if each[0] != "." and each != "__pycache__"]
            for file in files:
                if file[0] != "." and not file.endswith((".pyc", ".pyo")):
                    path = Path(folder, file)
                    yield f"{name}/{path.relative_to(self.path).as_posix()}", path


@dataclass(frozen=True)
class _Source:
    """What a file holds, as far as it matters here.

    Attributes:
        digest: SHA-256 of its content.
        imports: Modules that it imports: how many packages up, and the dotted name below.
        texts: Short texts in it, any of which may be the name of a file that it reads.
    """

    digest: str
    imports: tuple[tuple[int, str], ...] = ()
    texts: tuple[str, ...] = ()


def code_digest(module: str, distribution: str) -> str:
    """Return the digest of all code of a plugin.

    Args:
        module: The plugin's module; it is not imported.
        distribution: The name of the distribution that brings it.

    Returns:
        Sixteen hex digits; ``"unknown"`` where there is no such module.
    """
    state = _search_state()
    place = _locate(module, state)
    if place is None:
        return "unknown"
    installed = distribution_named(distribution)
    recorded = recorded_files(installed) if installed else {}
    digests = {name: _source(path).digest for name, path in recorded.items()}
    versions = dict(_required_versions(distribution, state))
    pending, followed = [_with_its_folder(place, recorded)], {place.name}
    while pending:
        place = pending.pop()
        for name, path in place.files():
            source = _source(path)
            digests[name] = source.digest
            if not place.path.is_dir():
                digests.update(_read_beside(path, source.texts))
            for imported in _absolute(source, name):
                found = _locate(imported, state)
                if found is None or found.name in followed:
                    continue
                followed.add(found.name)
                owner = _owner(found, state)
                if owner:
                    versions.setdefault(*owner)
                else:
                    pending.append(found)
    text = json.dumps([sorted(digests.items()), sorted(versions.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _search_state() -> _State:
    folders = []
    for folder in map(str, sys.path):
        with suppress(OSError, ValueError):
            folders.append((folder, os.stat(folder or ".").st_mtime_ns))  # noqa: PTH116 - there may be many
    return tuple(folders)


@functools.lru_cache(maxsize=4096)
def _locate(module: str, state: _State) -> _Place | None:  # noqa: ARG001 - looked for anew where it has changed
    """Return the outermost package around a module, or the module itself where it is in none; imports nothing."""
    parts = module.split(".")
    if parts[0] in _NOT_FOLLOWED:
        return None
    spec, searched = _top_level(parts[0]), 1
    while spec is not None and spec.loader is None and spec.submodule_search_locations and searched < len(parts):
        # A package without __init__.py, whose parts may lie in several folders.
        searched += 1
        spec = _below(list(spec.submodule_search_locations), ".".join(parts[:searched]))
    if spec is None or not (spec.origin and spec.has_location):
        return None
    path = Path(spec.origin)
    archive = getattr(spec.loader, "archive", None)
    name = ".".join(parts[:searched])
    if archive:
        return _Place(name, Path(archive), Path(archive))
    if spec.submodule_search_locations:
        path = path.parent
    return _Place(name, path, path.parents[searched - 1])


def _top_level(name: str) -> ModuleSpec | None:
    # Not by importlib.util.find_spec: that answers from what was imported already, which may differ in every process.
    for finder in sys.meta_path:
        with suppress(ImportError, AttributeError, ValueError):
            spec = finder.find_spec(name, None)
            if spec is not None:
                return spec
    return None


def _below(folders: list[str], name: str) -> ModuleSpec | None:
    """Return what is below a package that has no ``__init__.py``; the finders of Python would import it for this."""
    portions: list[str] = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        spec = finder.find_spec(name, None) if finder else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec.submodule_search_locations or []) if spec else []
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def _with_its_folder(place: _Place, recorded: dict[str, Path]) -> _Place:
    """Return the folder around a plugin's module in a package without ``__init__.py``, whose other files belong to it.

    Not where a record says what belongs to it: then several distributions may share the folder.
    """
    package, _, _ = place.name.rpartition(".")
    if package and place.path.is_file() and place.path not in recorded.values():
        return _Place(package, place.path.parent, place.search)
    return place


def _read_beside(module: Path, texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the files beside a module that is in no package, or in a folder beside it, whose names it mentions."""
    folders = ["", *(f"{text}/" for text in texts if (module.parent / text).is_dir())]
    for name in (folder + text for folder in folders for text in texts):
        path = module.parent / name
        if path.is_file():
            yield name, _source(path).digest


def _absolute(source: _Source, file: str) -> Iterator[str]:
    """Yield the absolute names of what a file imports; ``file`` is its own name, as :meth:`_Place.files` gives it."""
    for up, name in source.imports:
        package = file.split("/")[:-up] if up else []
        if package or not up:
            yield ".".join([*package, *([name] if name else [])])


def _source(path: Path) -> _Source:
    try:
        status = path.stat()
    except OSError:
        return _Source("missing")
    state = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
    return _read_source(path, state) if path.is_file() else _Source("no file")


@functools.lru_cache(maxsize=4096)
def _read_source(path: Path, state: tuple[int, ...]) -> _Source:  # noqa: ARG001 - a file that has changed is read anew
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if path.suffix != ".py":
                return _Source(digest)
            file.seek(0)
            text = file.read()
    except OSError:
        return _Source("unreadable")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Source(digest)
    nodes = list(ast.walk(tree))
    imports = dict.fromkeys(each for node in nodes for each in _imports(node))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    # Up to here nothing tells names of files from other words; what looks like neither path nor name is left out.
    names = sorted(text for text in texts if re.fullmatch(r"(?!\.)[\w.-]+(/[\w.-]+)*", text) and len(text) < 200)
    return _Source(digest, tuple(imports), tuple(names))


def _imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Import(names=names):
            yield from ((0, alias.name) for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            yield level, module or ""
            # What is imported from a package may be a module of it.
            yield from ((level, ".".join(filter(None, [module, alias.name]))) for alias in names)
        case ast.Call(func=called, args=[ast.Constant(value=str(name)), *_]):
            function = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if function in {"import_module", "__import__"}:
                yield len(name) - len(name.lstrip(".")), name.lstrip(".")


@functools.lru_cache(maxsize=4096)
def _owner(place: _Place, state: _State) -> tuple[str, str] | None:
    """Return name and version of the installed distribution that records a module; nothing where none does."""
    try:
        inside = place.path.relative_to(place.search).as_posix()
    except ValueError:
        return None
    wanted = f"{inside}/__init__.py" if place.path.is_dir() else inside
    records = _records(place.search, state)
    likely = re.sub(r"[^a-z0-9]", "", place.name.partition(".")[0].lower())
    for record in sorted(records, key=lambda record: not record.parent.name.lower().startswith(likely)):
        with suppress(OSError):
            if f"\n{wanted},".encode() in _content(record, state):
                name, _, version = record.parent.name.removesuffix(".dist-info").partition("-")
                return name.replace("_", "-"), version
    return None


@functools.lru_cache(maxsize=64)
def _records(folder: Path, state: _State) -> list[Path]:  # noqa: ARG001
    """Return the records of the distributions that are installed in a folder."""
    with suppress(OSError):
        return sorted(folder.glob("*.dist-info/RECORD"))
    return []


@functools.lru_cache(maxsize=512)
def _content(record: Path, state: _State) -> bytes:  # noqa: ARG001
    return b"\n" + record.read_bytes()


@functools.lru_cache(maxsize=256)
def _required_versions(distribution: str, state: _State) -> tuple[tuple[str, str], ...]:
    """Return the versions of all that a distribution requires and that is installed, directly or by way of others.

    Not what faceexp requires: it would make every upgrade of a library that only draws tables compute everything anew.
    """
    versions: dict[str, str] = {}
    pending = [(distribution, frozenset({""}))]
    followed = set(pending)
    while pending:
        for required in _requirements(*pending.pop(), state):
            installed = _installed(required[0], state)
            if installed and required not in followed:
                followed.add(required)
                versions[required[0]] = installed[0]
                pending.append(required)
    return tuple(versions.items())


@functools.lru_cache(maxsize=1024)
def _requirements(distribution: str, extras: frozenset[str], state: _State) -> list[tuple[str, frozenset[str]]]:
    """Return name and extras of everything that a distribution, with some extras, requires directly; not of faceexp."""
    installed = _installed(distribution, state)
    lines = [line for line in (installed[1] if installed else []) if not re.match(r"(?i)faceexp(?![\w.-])", line)]
    requirements: list[tuple[str, frozenset[str]]] = []
    if lines:
        # Imported here: most plugins require faceexp and nothing else.
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name

        for line in lines:
            with suppress(InvalidRequirement):
                required = Requirement(line)
                marker = required.marker
                if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                    requirements.append((canonicalize_name(required.name), frozenset({"", *required.extras})))
    return requirements


@functools.lru_cache(maxsize=1024)
def _installed(distribution: str, state: _State) -> tuple[str, list[str]] | None:  # noqa: ARG001
    """Return the version of an installed distribution, and what it says that it requires."""
    found = distribution_named(distribution)
    return version_and_requirements(found) if found else None
