"""Artefacts on disk, addressed by everything that determines them.

An artefact is a folder. It is written under a temporary name, its files are checksummed in ``manifest.json``, and then
it is renamed into place, so that whatever is in its place is complete. A lock per artefact lets several runs share one
store: the second run waits for the first, and then uses its result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceexp.errors import InputError, Problem

# A file that every store has, and that no other folder has by chance.
MARK = "faceexp-store.json"
# A file in the store that says which plugins were imported without error, so that they need not be imported again.
MEMORY = "plugins.json"
# Everything that determines an artefact, as JSON data.
Inputs = Mapping[str, Any]


class StoreError(InputError):
    """The store cannot be read or written. No other trial could keep its results either, so the run ends."""


def canonical(value: object) -> str:
    """Return JSON text that is the same for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: object) -> str:
    """Return the hex SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def source_files(*names: str) -> tuple[Path, ...]:
    """Return the source files of modules and packages of faceexp, those of a package with every folder in it.

    Store keys are made of these files, so that edited code never answers with old numbers. A name that stands for no
    file is an error: otherwise a module that is moved would silently drop out of every key.

    Args:
        names: Dotted names below ``faceexp``, such as ``"engine"`` or ``"evaluation.pairs"``.

    Raises:
        LookupError: A name stands for no source file.
    """
    here = Path(__file__).parent
    files: list[Path] = []
    for name in names:
        place = here.joinpath(*name.split("."))
        module = place.with_suffix(".py")
        sources = [module] if module.is_file() else sorted(place.rglob("*.py"))
        if not sources:
            raise LookupError(f"faceexp.{name} has no source file; a store key is made of it")
        files += sources
    return tuple(files)


def source_digest(*names: str) -> str:
    """Return a digest of the files that :func:`source_files` names: of their places in the package and their text."""
    here = Path(__file__).parent
    return digest(
        [[file.relative_to(here).as_posix(), file.read_text(encoding="utf-8")] for file in source_files(*names)]
    )


def named_root(text: str) -> Path:
    """Return the folder that a user names as the store; ``~`` is the user's home.

    A ``~name`` without such a user is a folder of that name, where ``Path.expanduser`` would raise.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111 - as the docstring says


def default_root() -> Path:
    """Return ``$FACEEXP_STORE``, or else a folder in the user's cache."""
    import platformdirs

    root = os.environ.get("FACEEXP_STORE")
    return named_root(root) if root else Path(platformdirs.user_cache_dir("faceexp")) / "store"


@dataclass(frozen=True)
class Artefact:
    """A folder of finished files, and whether it was there already."""

    path: Path
    key: str
    reused: bool


@dataclass(frozen=True)
class Store:
    """A folder of artefacts."""

    root: Path

    def find(self, kind: str, inputs: Inputs) -> Artefact | None:
        """Return the artefact of these inputs, if it is there and whole."""
        key = digest(inputs)
        path = self._path(kind, key)
        if not path.is_dir():
            return None
        if not _whole(path):
            # A damaged artefact is removed and computed again; nothing else is affected.
            shutil.rmtree(path, ignore_errors=True)
            return None
        return Artefact(path, key, reused=True)

    def get(self, kind: str, inputs: Inputs, make: Callable[[Path], None]) -> Artefact:
        """Return the artefact of these inputs, made by ``make(folder)`` where it is missing."""
        key = digest(inputs)
        with self._lock(kind, key):
            artefact = self.find(kind, inputs)
            if artefact:
                return artefact
            self._mark()
            path = self._path(kind, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
            try:
                make(temporary)
                _seal(temporary, kind, inputs)
                temporary.rename(path)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        return Artefact(path, key, reused=False)

    def contents(self) -> dict[str, tuple[int, int]]:
        """Return how many artefacts of each kind there are, and how many bytes they have together."""
        held: dict[str, tuple[int, int]] = {}
        for kind, path in self._artefacts():
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            number, total = held.get(kind, (0, 0))
            held[kind] = (number + 1, total + size)
        return held

    def check_mark(self) -> None:
        """Refuse a folder that is not a store, because what is in it must not be removed; an empty one will do.

        Raises:
            InputError: The folder holds something and is not marked as a store.
        """
        entries = {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()
        if entries - {MEMORY} and MARK not in entries:
            message = (
                f"is not marked as a store of faceexp (it has no {MARK}), so nothing was removed; "
                "name a store, or remove the folder yourself"
            )
            raise InputError(Problem(message, str(self.root)))

    def clear(self) -> None:
        """Remove every artefact, and nothing else; one that is being made at this moment is waited for.

        Whatever lies beside the artefacts was not put there by a store, and stays.

        Raises:
            InputError: See :meth:`check_mark`.
        """
        self.check_mark()
        for kind, path in list(self._artefacts()):
            with self._lock(kind, path.name):
                shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # unless something else is in it

    def _artefacts(self) -> Iterator[tuple[str, Path]]:
        """Yield kind and folder of every artefact: a folder with the name of a key and a manifest of its kind."""
        for path in sorted(self.root.glob("*/*/manifest.json")):
            folder = path.parent
            if re.fullmatch("[0-9a-f]{32}", folder.name) and _kind_in(path) == folder.parent.name:
                yield folder.parent.name, folder

    def _mark(self) -> None:
        """Mark the folder as a store, so that clearing it is known to be safe."""
        if not (self.root / MARK).is_file():
            write_text(self.root / MARK, json.dumps({"faceexp": "store", "format": 1}) + "\n")

    def _path(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:32]

    @contextlib.contextmanager
    def _lock(self, kind: str, key: str) -> Iterator[None]:
        import filelock

        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(locks / f"{kind}-{key[:32]}.lock"):
            yield


def _kind_in(manifest: Path) -> str | None:
    """Return the kind that a manifest names; nothing where it is damaged, or is not a manifest."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content.get("kind") if isinstance(content, dict) else None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(folder: Path, kind: str, inputs: Inputs) -> None:
    files = {path.relative_to(folder).as_posix(): _checksum(path) for path in _files(folder)}
    manifest = {"kind": kind, "inputs": inputs, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")


def _whole(folder: Path) -> bool:
    try:
        files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        return bool({p.relative_to(folder).as_posix(): _checksum(p) for p in _files(folder)} == files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes files that only their owner can read; results are for whoever may read the folder.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
