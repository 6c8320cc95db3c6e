"""Lists of pairs of a protocol: which images are compared, in folds. What a list begins with tells its format.

- **LFW's** ``pairs.txt``: the first line holds the number of folds and the number of similar pairs per fold. Then, fold
  after fold, come so many similar pairs, ``identity number number``, and as many different ones,
  ``identity number identity number``. A number names one image of the identity: it is the number in the file's name, as
  in ``Ann_Lee_0004.jpg``. Where the names of the identity's files hold no number, it is the place of the image among
  those of the identity, counted from 1.
- **A table**: the first line names its columns, ``a,b,same`` and maybe ``fold``; see :mod:`faceexp.data.pair_table`.
- **VoxCeleb's**: every line is ``1 a b`` or ``0 a b``; 1 means that both images show one person. It has no folds.

In the last two, an image is called by the end of its path, as in ``Ann_Lee/0004.jpg``, or by its path relative to the
list. Fields are separated by tabs, or by spaces where no name holds one. The text is UTF-8, with or without a byte
order mark.

References:
    Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in the Wild", University of Massachusetts, Amherst,
    Technical Report 07-49 (2007), http://vis-www.cs.umass.edu/lfw/
    Nagrani, Chung and Zisserman, "VoxCeleb: a Large-scale Speaker Identification Dataset", Interspeech (2017).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from faceexp.arrays import BoolArray, IntArray
from faceexp.contract import user_path
from faceexp.data.pair_table import MAX_LIST_BYTES, MEANINGS, is_table, read_table
from faceexp.errors import MAX_LISTED, InputError, Problem, first_of
from faceexp.files import numbered_lines, read_input, text_of

# Of a number: no list counts further, and Python refuses to read numbers of thousands of digits.
MAX_DIGITS = 9
# An image: its identity and its number, which is 1 or more; or the end of its path, and no number.
ImageName = tuple[str, int]
NO_NUMBER = 0
# Two images, and whether they show one person.
Pair = tuple[ImageName, ImageName, bool]


@dataclass(frozen=True, eq=False)
class PairsFile:
    """A list of pairs.

    Attributes:
        name: The file, as the experiment names it.
        images: The images that it names, without repetition.
        rows: int (P, 2), the places in ``images`` of each pair.
        same: bool (P,), whether it shows one person; ``None``: the list does not say it.
        fold: int (P,), its fold, counted from 0.
        lines: int (P,), the line that lists it.
        of_templates: Whether what it calls images are templates; see :mod:`faceexp.data.template_pairs`.
    """

    name: str
    images: tuple[ImageName, ...]
    rows: IntArray
    same: BoolArray | None
    fold: IntArray
    lines: IntArray
    of_templates: bool = False

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return int(self.fold.max()) + 1

    def problem(self, pair: int, message: str) -> Problem:
        """Return a problem at the line of a pair."""
        return Problem(message, f"{self.name}:{self.lines[pair]}")


class _LineError(ValueError):
    """A line is not what it has to be."""


def read(path: str) -> PairsFile:
    """Return the pairs of a file; the paths of an experiment are absolute by now.

    Raises:
        InputError: With every line that is wrong; the file is missing, too large or not UTF-8.
    """
    content = read_input(user_path(path), MAX_LIST_BYTES, "name a list of pairs")
    text = text_of(content, path, "it has to be a list of pairs")
    number, first_line = next(numbered_lines(text), (0, ""))
    if not number:
        raise InputError(Problem("is empty; it has to be a list of pairs", path))
    if is_table(first_line):
        return _of_table(path, text)
    fields = _fields(first_line)
    if len(fields) == 3 and fields[0] in ("0", "1"):
        return _of_truths(path, text)
    return _of_lfw(path, text)


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.split("\t")] if "\t" in line else line.split()


def _of_table(name: str, text: str) -> PairsFile:
    table = read_table(io.StringIO(text, newline=""), name)
    if table.same[0] is None:
        message = "says of no pair whether it shows one person; add a column same with 1 or 0 behind a,b"
        raise InputError(Problem(message, f"{name}:1"))
    places: dict[str, int] = {}
    fold = [places.setdefault(called, len(places)) for called in table.folds] or [0] * len(table.pairs)
    return PairsFile(
        name,
        tuple((image, NO_NUMBER) for image in table.images),
        np.array(table.pairs, np.int64),
        np.array(table.same, bool),
        np.array(fold, np.int64),
        np.array(table.lines, np.int64),
    )


def _of_truths(name: str, text: str) -> PairsFile:
    def pairs() -> Iterator[tuple[int, Pair | _LineError]]:
        for number, line in numbered_lines(text):
            fields = _fields(line)
            if len(fields) == 3 and fields[0] in ("0", "1") and all(fields):
                yield number, ((fields[1], NO_NUMBER), (fields[2], NO_NUMBER), MEANINGS[fields[0]])
            else:
                yield number, _LineError("is not 1 or 0 and two images (1: both show one person); use tabs for spaces")

    return _collected(name, pairs(), pairs_per_fold=None)


def _of_lfw(name: str, text: str) -> PairsFile:
    lines = numbered_lines(text)
    number, first_line = next(lines)
    try:
        folds, similar = _header(first_line)
    except _LineError as error:
        raise InputError(Problem(str(error), f"{name}:{number}")) from None
    expected = 2 * folds * similar
    count = sum(1 for _ in lines)
    if count != expected:
        message = f"lists {count} pairs; its first line promises {folds} folds of 2 x {similar}, {expected} in all"
        raise InputError(Problem(message, name))

    def pairs() -> Iterator[tuple[int, Pair | _LineError]]:
        lines = numbered_lines(text)
        next(lines)
        for place, (number, line) in enumerate(lines):
            try:
                yield number, _pair(line, similar=place % (2 * similar) < similar)
            except _LineError as error:
                yield number, error

    return _collected(name, pairs(), pairs_per_fold=2 * similar)


def _collected(name: str, pairs: Iterator[tuple[int, Pair | _LineError]], pairs_per_fold: int | None) -> PairsFile:
    """Return the pairs of a list line by line, or refuse it with the lines that are wrong."""
    places: dict[ImageName, int] = {}
    rows: list[int] = []
    same: list[bool] = []
    lines: list[int] = []
    problems: list[Problem] = []
    wrong = 0
    for number, pair in pairs:
        if isinstance(pair, _LineError):
            wrong += 1
            if wrong <= MAX_LISTED:
                problems.append(Problem(str(pair), f"{name}:{number}"))
            continue
        rows += [places.setdefault(pair[0], len(places)), places.setdefault(pair[1], len(places))]
        same.append(pair[2])
        lines.append(number)
    if problems:
        raise InputError(first_of(problems, "and {} more lines", name, wrong))
    return PairsFile(
        name,
        tuple(places),
        np.array(rows, np.int64).reshape(-1, 2),
        np.array(same, bool),
        np.arange(len(same)) // (pairs_per_fold or len(same)),
        np.array(lines, np.int64),
    )


def _header(line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 2 or not all(field.isdecimal() and len(field) <= MAX_DIGITS for field in fields):
        raise _LineError(
            "the first line has to hold the number of folds and the number of similar pairs per fold, as in LFW's "
            "pairs.txt, or to name the columns a,b,same, or to be a pair like '1 Ann/1.jpg Ann/2.jpg'"
        )
    folds, similar = map(int, fields)
    if folds < 2 or similar < 1:
        raise _LineError(
            f"{folds} folds of {similar} similar pairs; two folds at least, since each takes its threshold from others"
        )
    return folds, similar


def _pair(line: str, *, similar: bool) -> Pair:
    fields = _fields(line)
    if similar and len(fields) == 3:
        name, first, second = fields
        if _count(first) == _count(second):
            raise _LineError(f"compares image {first} of {name!r} with itself")
        return (name, _count(first)), (name, _count(second)), True
    if not similar and len(fields) == 4:
        one, first, other, second = fields
        if one == other:
            raise _LineError(f"is listed among the different pairs, but both images show {one!r}")
        return (one, _count(first)), (other, _count(second)), False
    wanted = "identity, number, number" if similar else "identity, number, identity, number"
    kind = "similar" if similar else "different"
    raise _LineError(f"this line has to be a {kind} pair ({wanted}), but has {len(fields)} fields")


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS or int(text) < 1:
        raise _LineError(f"{text[:40]!r} is no image number; they count from 1")
    return int(text)
