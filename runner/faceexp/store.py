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
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Everything that determines an artefact, as JSON data.
Inputs = Mapping[str, Any]


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


def default_root() -> Path:
    """Return ``$FACEEXP_STORE``, or else a folder in the user's cache."""
    import platformdirs

    root = os.environ.get("FACEEXP_STORE")
    return Path(root).expanduser() if root else Path(platformdirs.user_cache_dir("faceexp")) / "store"


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
        """Return how many artefacts of each kind there are, and their bytes together."""
        held = {}
        for folder in sorted(self.root.glob("*/")):
            if folder.name == "locks":
                continue
            artefacts = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
            size = sum(file.stat().st_size for path in artefacts for file in path.rglob("*") if file.is_file())
            held[folder.name] = (len(artefacts), size)
        return held

    def clear(self) -> None:
        """Remove every artefact; one that is being made at this moment is waited for."""
        for folder in self.root.glob("*/"):
            if folder.name == "locks":
                continue
            for path in [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]:
                with self._lock(folder.name, path.name):
                    shutil.rmtree(path, ignore_errors=True)

    def _path(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:32]

    @contextlib.contextmanager
    def _lock(self, kind: str, key: str) -> Iterator[None]:
        import filelock

        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(locks / f"{kind}-{key[:32]}.lock"):
            yield


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
