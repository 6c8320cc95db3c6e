"""Lists of pairs in the format of LFW's ``pairs.txt``: which images are compared, in folds.

The first line holds the number of folds and the number of similar pairs per fold. Then, fold after fold, come so many
similar pairs, ``identity number number``, and as many different ones, ``identity number identity number``. A number
names one image of the identity: it is the number in the file's name, as in ``Ann_Lee_0004.jpg``. Where the names of the
identity's files hold no number, it is the place of the image among those of the identity, counted from 1. Fields are
separated by tabs, or by spaces where no name holds one. The text is UTF-8, with or without a byte order mark.

References:
    Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in the Wild", University of Massachusetts, Amherst,
    Technical Report 07-49 (2007), http://vis-www.cs.umass.edu/lfw/
"""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.contract import user_path
from faceexp.errors import MAX_LISTED, InputError, Problem, first_of
from faceexp.files import numbered_lines, read_input, text_of

MAX_FILE_BYTES = 64 * 2**20
# Of a number: no list counts further, and Python refuses to read numbers of thousands of digits.
MAX_DIGITS = 9


@dataclass(frozen=True)
class NamedPair:
    """Two images by identity and number, and the line that lists them."""

    first: tuple[str, int]
    second: tuple[str, int]
    line: int


@dataclass(frozen=True)
class PairsFile:
    """A list of pairs: the file's name, and the pairs of each fold."""

    name: str
    folds: tuple[tuple[NamedPair, ...], ...]

    def problem(self, pair: NamedPair, message: str) -> Problem:
        """Return a problem at the line of a pair."""
        return Problem(message, f"{self.name}:{pair.line}")


class _LineError(ValueError):
    """A line is not what it has to be."""


def read(path: str) -> PairsFile:
    """Return the pairs of a file; the paths of an experiment are absolute by now.

    Raises:
        InputError: With every line that is wrong; the file is missing, too large or not UTF-8.
    """
    content = read_input(user_path(path), MAX_FILE_BYTES, "name a list of pairs")
    return _parse(path, text_of(content, path, "it has to be a list of pairs"))


def _parse(name: str, text: str) -> PairsFile:
    lines = numbered_lines(text)
    number, first_line = next(lines, (0, ""))
    if not number:
        raise InputError(Problem("is empty; it has to be a list of pairs", name))
    try:
        folds, similar = _header(first_line)
    except _LineError as error:
        raise InputError(Problem(str(error), f"{name}:{number}")) from None
    expected = 2 * folds * similar
    count = sum(1 for _ in lines)
    if count != expected:
        message = f"lists {count} pairs; its first line promises {folds} folds of 2 x {similar}, {expected} in all"
        raise InputError(Problem(message, name))
    problems: list[Problem] = []
    wrong = 0
    pairs: list[NamedPair] = []
    lines = numbered_lines(text)
    next(lines)
    for place, (number, line) in enumerate(lines):
        try:
            pairs.append(_pair(line, number, similar=place % (2 * similar) < similar))
        except _LineError as error:
            wrong += 1
            if wrong <= MAX_LISTED:
                problems.append(Problem(str(error), f"{name}:{number}"))
    if problems:
        raise InputError(first_of(problems, "and {} more lines", name, wrong))
    return PairsFile(
        name, tuple(tuple(pairs[start : start + 2 * similar]) for start in range(0, expected, 2 * similar))
    )


def _header(line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 2 or not all(field.isdecimal() and len(field) <= MAX_DIGITS for field in fields):
        raise _LineError("the first line has to hold the number of folds and the number of similar pairs per fold")
    folds, similar = map(int, fields)
    if folds < 2 or similar < 1:
        raise _LineError(
            f"{folds} folds of {similar} similar pairs; two folds at least, since each takes its threshold from others"
        )
    return folds, similar


def _pair(line: str, number: int, *, similar: bool) -> NamedPair:
    fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
    if similar and len(fields) == 3:
        name, first, second = fields
        pair = NamedPair((name, _count(first)), (name, _count(second)), number)
        if pair.first == pair.second:
            raise _LineError(f"compares image {first} of {name!r} with itself")
        return pair
    if not similar and len(fields) == 4:
        one, first, other, second = fields
        if one == other:
            raise _LineError(f"is listed among the different pairs, but both images show {one!r}")
        return NamedPair((one, _count(first)), (other, _count(second)), number)
    wanted = "identity, number, number" if similar else "identity, number, identity, number"
    kind = "similar" if similar else "different"
    raise _LineError(f"this line has to be a {kind} pair ({wanted}), but has {len(fields)} fields")


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS or int(text) < 1:
        raise _LineError(f"{text[:40]!r} is no image number; they count from 1")
    return int(text)
