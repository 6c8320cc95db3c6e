"""The checksums of a folder, in the format that ``sha256sum -c`` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from faceexp.errors import InputError, Problem
from faceexp.files import check_file, content_digest, explain_os_error, read_input, text_of
from faceexp.store import write_text

LINE = re.compile(r"([0-9a-f]{64})(?:  | [*])(.+)")
# A run of a hundred thousand trials has a list of some ten megabytes.
MAX_BYTES = 32 * 2**20
# No file of a run is so large.
MAX_FILE_BYTES = 2**40


def write_checksums(file: Path) -> None:
    """Write the SHA-256 of every other file in the folder of a file.

    Raises:
        InputError: The name of a file would be no line of its own.
    """
    others = sorted(path for path in file.parent.rglob("*") if path.is_file() and path != file)
    names = [path.relative_to(file.parent).as_posix() for path in others]
    if unfit := [name for name in names if re.search(r"[\\\x00-\x1f]", name)]:
        raise InputError([Problem("has a name that a list of checksums cannot hold", name) for name in unfit])
    lines = [f"{content_digest(path)}  {name}\n" for path, name in zip(others, names, strict=True)]
    write_text(file, "".join(lines))


def check_files(file: Path, needed: Iterable[Path]) -> int:
    """Return how many files are as a list of checksums says.

    Args:
        file: The list.
        needed: Files that have to be in it, where they exist.

    Raises:
        InputError: The list cannot be read, or a file is not as it says, with a line for each.
    """
    text, listed, problems = text_of(read_input(file, MAX_BYTES), str(file), "publish the run again"), set(), []
    for number, line in enumerate(text.splitlines(), 1):
        parts = LINE.fullmatch(line)
        name = PurePosixPath(parts[2] if parts else "")
        if parts is None or name.is_absolute() or ".." in name.parts:
            problems.append(Problem("is not the checksum of a file in this folder", f"{file}:{number}"))
            continue
        path = file.parent / name
        listed.add(path)
        if reason := _difference(path, parts[1], file.name):
            problems.append(Problem(reason, str(path)))
    unnamed = [path for path in needed if path.exists() and path not in listed]
    problems += [Problem(f"is not named in {file.name}", str(path)) for path in unnamed]
    if problems:
        raise InputError(problems)
    return len(listed)


def _difference(path: Path, digest: str, checksums: str) -> str:
    """Return what is wrong with a file; nothing where it has its checksum."""
    try:
        check_file(path, MAX_FILE_BYTES)
        return "" if content_digest(path) == digest else f"differs from what {checksums} says"
    except FileNotFoundError:
        return f"is missing, and {checksums} names it"
    except OSError as error:
        return explain_os_error(error)
