"""What files of networks have in common: how large they may be, what is said of them, and what they are when opened."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faceexp.files import check_file, explain_os_error

if TYPE_CHECKING:
    from faceexp.arrays import AnyArray, FloatArray

T = TypeVar("T")

# A network for faces has at most some hundred megabytes. A file of this size is something else.
MAX_BYTES = 4 * 2**30
# How many threads libraries may use in a worker, which shares the cores with others: the worker's process is started
# with it.
THREADS = "OMP_NUM_THREADS"


class NetworkFileError(ValueError):
    """A file is not opened. Its text says why, and continues the name of the file."""


@dataclass(frozen=True)
class Port:
    """An input or an output of a network.

    Attributes:
        name: Its name in the file.
        shape: Its sizes, ``None`` for those that are free; the first is that of a batch.
        is_whole: Whether its numbers are whole ones, such as the pixels themselves.
    """

    name: str
    shape: tuple[int | None, ...]
    is_whole: bool = False


@dataclass(frozen=True)
class OpenNetwork:
    """A network that was opened.

    Attributes:
        inputs: What it takes.
        outputs: What it gives.
        run: From numbers for the first input, and the name of an output, to the numbers of that output.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    run: Callable[[AnyArray, str], FloatArray]


def check_network_file(path: Path) -> None:
    """Refuse what must not be read, by its kind and size; the file itself is not opened.

    Raises:
        NetworkFileError: It is missing, no ordinary file, or too large.
    """
    try:
        check_file(path, MAX_BYTES)
    except FileNotFoundError:
        raise NetworkFileError("is missing: no such file") from None
    except OSError as error:
        raise NetworkFileError(explain_os_error(error)) from None


def holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Return whether the bytes of a file hold a pattern. The file is not read into the memory as a whole."""
    with path.open("rb") as opened:
        if not opened.seek(0, os.SEEK_END):
            return False
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return pattern.search(content) is not None


def of_option(path: str, check: Callable[[Path], T]) -> T:
    """Return what a check of the file gives that an option of a plugin names.

    Raises:
        ValueError: The check has refused it; the text begins with the path, as the option has it.
    """
    try:
        return check(Path(path).expanduser())
    except NetworkFileError as error:
        raise ValueError(f"{path} {error}") from None
    except OSError as error:
        raise ValueError(f"{path} {explain_os_error(error)}") from None


def digest_of(path: Path, expected: str | None = None) -> str:
    """Return the SHA-256 of a file of a network.

    Results are kept under the options of a plugin, of which the digest is one: another file under the same name is
    another network.

    Args:
        path: The file.
        expected: What the digest has to be, if that is known.

    Raises:
        NetworkFileError: It is another one, or the file cannot be read.
    """
    check_network_file(path)
    try:
        with path.open("rb") as file:
            measured = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NetworkFileError(explain_os_error(error)) from None
    return same_digest(measured, expected)


def same_digest(measured: str, expected: str | None) -> str:
    """Return a digest that was measured, which has to be the expected one, if there is one.

    Raises:
        NetworkFileError: It is not.
    """
    if expected not in (None, measured):
        raise NetworkFileError(f"is another file: its digest is {measured}")
    return measured


def threads() -> int:
    """Return how many threads a library should use; 0 where it may decide itself."""
    asked = os.environ.get(THREADS, "")
    return int(asked) if asked.isdecimal() else 0


def reason_of(error: Exception) -> str:
    """Return what a library has said, on one line that is not too long."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def sides(shape: tuple[int | None, ...]) -> str:
    """Return a shape in words, such as ``any x 3 x 112 x 112``."""
    return " x ".join("any" if side is None else str(side) for side in shape)
