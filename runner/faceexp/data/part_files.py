"""Official lists: which people or images are trained on, tuned on and tested on, a text file for each part.

A line names an identity, and means all of its images, or it names one image: by the name of its file, or by the end of
its path, as in ``Ann_Lee/0004.jpg``. What is both is an identity. Empty lines and comments, which begin with ``#``, do
not count. The text is UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.contract import user_path
from faceexp.errors import InputError, Problem
from faceexp.experiment.protocol import PARTS, Protocol
from faceexp.files import numbered_lines, read_input, text_of

MAX_FILE_BYTES = 64 * 2**20
HINT = "name a list of people or images, one a line"


@dataclass(frozen=True)
class PartFile:
    """The list of one part.

    Attributes:
        name: The file, as the experiment names it.
        lines: Number and text of each line that names somebody.
    """

    name: str
    lines: tuple[tuple[int, str], ...]

    def place(self, line: int) -> str:
        """Return where a line is, for messages."""
        return f"{self.name}:{line}"


# Of training, validation and test.
PartFiles = tuple[PartFile, PartFile, PartFile]


def read(protocol: Protocol) -> PartFiles:
    """Return the lists of a protocol, whose paths are absolute by now.

    Raises:
        InputError: With every list that is missing, too large, not UTF-8, or empty.
    """
    files: list[PartFile] = []
    problems: list[Problem] = []
    for part in PARTS:
        path = getattr(protocol, part) or ""
        try:
            files.append(_read(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    train, validation, test = files
    return train, validation, test


def _read(path: str) -> PartFile:
    text = text_of(read_input(user_path(path), MAX_FILE_BYTES, HINT), path, HINT)
    stripped = ((number, line.strip()) for number, line in numbered_lines(text))
    lines = tuple((number, line) for number, line in stripped if not line.startswith("#"))
    if not lines:
        raise InputError(Problem(f"names nobody; {HINT}", path))
    return PartFile(path, lines)
