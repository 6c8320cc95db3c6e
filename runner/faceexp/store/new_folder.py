"""A folder for others that is written whole or not at all; nothing that is there already is overwritten."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from faceexp.errors import InputError, Problem


def in_the_way(folder: str | Path) -> list[Problem]:
    """Return a problem if something is at the place of a folder that is to be made."""
    target = Path(folder).resolve()
    if not target.exists():
        return []
    if not target.is_dir():
        return [Problem("is a file; name a new or an empty folder", str(folder))]
    if any(target.iterdir()):
        return [Problem("is not empty, and nothing is overwritten; name a new or an empty folder", str(folder))]
    return []


@contextlib.contextmanager
def new_folder(folder: str | Path, last: str) -> Iterator[Path]:
    """Yield an empty folder, which comes to its place when everything in it was written. After an error, nothing stays.

    Args:
        folder: The folder in the end. It has to be new or empty; see :func:`in_the_way`.
        last: The name of the file that makes the folder what it is: whoever looks earlier finds none.

    Raises:
        InputError: Nothing can be written there.
    """
    target = Path(folder).resolve()
    # The work is done in the nearest folder that exists. It is on the same file system, so the result can be renamed to
    # its place, and if the work fails, no parent folder has been made for nothing.
    anchor = next(place for place in (target, *target.parents) if place.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".faceexp-", dir=anchor) as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            yield made
            place(made, target, last)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            Problem(f"nothing can be written there: {reason}; name a folder of yours", str(folder))
        ) from None


def place(made: Path, target: Path, last: str) -> None:
    """Move everything that was made to the place where it belongs.

    Raises:
        FileExistsError: Somebody else has written there meanwhile; then nothing was moved.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
        return
    # An empty folder that exists stays the same folder, because it may be the working directory or a mounted disk.
    moved: list[Path] = []
    try:
        for entry in sorted(made.iterdir(), key=lambda path: path.name == last):
            _move_to_vacant(entry, target / entry.name)
            moved.append(entry)
    except BaseException:
        for entry in moved:
            (target / entry.name).rename(entry)
        raise


def _move_to_vacant(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)
