"""An artefact's folder: what it consists of, whether it is whole, and how it is removed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from faceexp.files import UnfitFileError, read_bytes
from faceexp.store.keys import Inputs

# What an artefact consists of. The file names every image that was used, so it is large for a large data set.
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**27
# What the system says of an artefact that is damaged; after any other error it may be whole, and must not be removed.
DAMAGED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO})


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, in order; links are none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:  # another process may have removed it
        return []


def kind_in(manifest: Path) -> str | None:
    """Return the kind that a manifest names; nothing where it is no manifest. Its beginning is enough."""
    try:
        if stat.S_ISREG(manifest.lstat().st_mode):
            with manifest.open("rb") as file:
                kind = re.match(rb'\{\s*"kind":\s*"(\w+)"', file.read(200))
            return kind[1].decode() if kind else None
    except OSError:
        pass
    return None


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder; a link is not followed.

    Raises:
        OSError: Something cannot be looked at, or is gone.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, but of those that vanish meanwhile."""
    size = 0
    with contextlib.suppress(OSError):
        for entry in _entries(folder):
            if entry.is_file(follow_symlinks=False):
                size += entry.stat(follow_symlinks=False).st_size
    return size


def _checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of every file of an artefact, by its path in the folder.

    Raises:
        UnfitFileError: Something is neither a file nor a folder. A link may lead out of the store; a pipe never ends.
    """
    checksums = {}
    for entry in _entries(folder):
        path = Path(entry)
        if entry.is_file(follow_symlinks=False):
            with path.open("rb") as file:
                checksums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
        elif not entry.is_dir(follow_symlinks=False):
            raise UnfitFileError(f"{path} is neither a file nor a folder")
    checksums.pop(MANIFEST, None)
    return checksums


def seal(folder: Path, description: Inputs) -> None:
    """Write down what an artefact consists of.

    It is not forced to disk, which would take longer than to write it: if a loss of power damages what was made in the
    last half minute, the checksums show it.
    """
    # In the order of their names, so that manifests can be compared.
    manifest = {**description, "files": dict(sorted(_checksums(folder).items()))}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")


def is_whole(folder: Path, kind: str, key: str) -> bool:
    """Return whether a folder is the artefact of that kind and key, just as it was made."""
    try:
        if folder.is_symlink() or (folder / MANIFEST).is_symlink():
            return False
        manifest = json.loads(read_bytes(folder / MANIFEST, LARGEST_MANIFEST))
        # Stores of earlier versions name no key.
        if not isinstance(manifest, dict) or (manifest.get("kind"), manifest.get("key", key)) != (kind, key):
            return False
        return _checksums(folder) == manifest.get("files")
    except (ValueError, RecursionError, UnfitFileError):
        return False
    except OSError as error:
        if error.errno in DAMAGED:
            return False
        raise


def remove(path: Path) -> None:
    """Remove an artefact, or whatever is in its place. A folder is renamed first, so that nobody finds half of it."""
    if path.is_dir() and not path.is_symlink():
        leftover = path.rename(path.with_name(f".{path.name}-{os.urandom(4).hex()}"))
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
