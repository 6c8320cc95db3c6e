"""Files that are written whole or not at all, and that outlive a loss of power."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from faceexp.files import read_bytes
from faceexp.store.places import explained

# What the name of a file begins with while it is written. It takes moments; after an hour, nobody writes it any more.
NEW_FILE = ".unfinished-"
LONGEST_WRITING = 3600.0  # seconds


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, written to disk, so that it outlives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whole, even after a loss of power.

    Raises:
        StoreError: It cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as :func:`write_text` does.

    Raises:
        StoreError: It cannot be written.
    """
    # A run that is repeated writes most of its files as they are; to write them to disk again would take seconds.
    with contextlib.suppress(OSError):
        if read_bytes(path, len(content)) == content:
            return

    def write(new: Path) -> None:
        new.write_bytes(content)
        flush(new)

    _replace(path, write)


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file of the store into a run. A link is made where that is possible: models are large and never change.

    Raises:
        StoreError: It cannot be written.
    """
    with contextlib.suppress(OSError):
        if target.samefile(source):
            return

    def link(new: Path) -> None:
        new.unlink()
        try:
            os.link(source, new)
        except OSError:
            shutil.copy2(source, new)
        flush(new)

    _replace(target, link)


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Have a new file written beside a file, and put it in the place of that file."""
    with explained(path, remedy="name another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=NEW_FILE, dir=path.parent)
        os.close(descriptor)
        new = Path(name)
        try:
            # mkstemp makes files that only their owner can read; results are for whoever may read the folder. Some file
            # systems know no such rights.
            with contextlib.suppress(OSError):
                new.chmod(0o644)
            write(new)
            new.replace(path)
            with contextlib.suppress(OSError):  # not every file system can do this
                flush(path.parent)
        finally:
            new.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove files that a killed process has left in a folder while it wrote them."""
    remove_abandoned(folder.rglob(f"{NEW_FILE}*"))


def remove_abandoned(files: Iterable[Path]) -> None:
    """Remove those of some new files that nobody can be writing any more."""
    for file in files:
        with contextlib.suppress(OSError):
            if time.time() - file.lstat().st_mtime > LONGEST_WRITING:
                file.unlink()
