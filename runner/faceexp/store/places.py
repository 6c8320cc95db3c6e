"""The place where finished work is kept, and what a person is told where it cannot be used."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from faceexp.errors import InputError, Problem
from faceexp.files import at_home

# What the system says of a place that is full, is broken or takes no more. No plugin is to blame for it.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
TOO_MANY_OPEN = frozenset({errno.EMFILE, errno.ENFILE})
IN_THE_WAY = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
OF_THE_PLACE = FULL | TOO_MANY_OPEN | {errno.EFBIG, errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE}


class StoreError(InputError):
    """Finished work cannot be kept or read: its place is full, for instance, or nothing may be written there.

    This says nothing about the work. The next trial would fail in the same way, so it ends the run.
    """


def default_root() -> Path:
    """Return ``$FACEEXP_STORE``, or else a folder in the user's cache.

    Raises:
        StoreError: The user has no home.
    """
    import platformdirs

    root = os.environ.get("FACEEXP_STORE")
    if root:
        return Path(at_home(root))
    # Where nothing says where the home is, some versions of the library raise an error, and others return "~/.cache".
    with contextlib.suppress(RuntimeError):
        cache = Path(platformdirs.user_cache_dir("faceexp"))
        if cache.is_absolute():
            return cache / "store"
    raise StoreError("the user has no home for finished work; name a store with --store or FACEEXP_STORE")


def is_of_the_place(error: OSError) -> bool:
    """Return whether an error tells of the place where something was written, and not of what was written."""
    # NumPy does not say why it could not write a whole array; nearly always it is because the disk is full.
    return error.errno in OF_THE_PLACE or re.fullmatch(r"\d+ requested and \d+ written", str(error)) is not None


@contextlib.contextmanager
def explained(
    place: Path,
    concerns: Callable[[OSError], bool] | None = None,
    remedy: str = "name another store with --store or FACEEXP_STORE",
) -> Iterator[None]:
    """Turn an error of the system into one line that names the place and says what to do, if it concerns the place."""
    try:
        yield
    except OSError as error:
        if concerns and not concerns(error):
            raise
        # A full disk does not tell which file it was; what is in the way of a file does, but not a temporary name.
        named = None if is_of_the_place(error) else error.filename2 or error.filename
        where = named if isinstance(named, str) and os.path.lexists(named) else str(place)
        raise StoreError(Problem(f"cannot be used: {_reason(error)}; {_remedy(error, remedy)}", where)) from error


def _reason(error: OSError) -> str:
    if error.errno is None:
        return "the disk seems to be full" if is_of_the_place(error) else str(error)
    # A folder that is there already is no error: something else is there.
    return os.strerror(errno.ENOTDIR if error.errno == errno.EEXIST else error.errno)


def _remedy(error: OSError, otherwise: str) -> str:
    if error.errno in TOO_MANY_OPEN:
        return "let programs open more files (ulimit -n)"
    if error.errno in IN_THE_WAY:
        return f"remove what is in the way, or {otherwise}"
    if error.errno in FULL or error.errno is None:
        return f"free space or remove files there, or {otherwise}"
    return otherwise
