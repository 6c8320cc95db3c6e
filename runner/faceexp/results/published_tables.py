"""Tables of accuracies that others have published, read from CSV files and judged by the counts behind them.

A file has one row for each loss and one column for each test set::

    # Where the numbers were published
    loss,LFW,CFP-FP,AgeDB-30
    pairs,6000,7000,6000
    ArcFace,99.53,95.56,95.15
    CosFace,99.51,95.44,-

The row ``pairs`` says how many pairs each test set has; test sets that everybody knows need none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from faceexp.errors import InputError, Problem, first_of
from faceexp.files import read_input, text_of
from faceexp.statistics.power import CountPower, UnanswerableError, from_counts
from faceexp.statistics.power.counts import MOST_PAIRS

# Pairs of the official lists, by the letters and digits of the name. References: Huang et al., University of
# Massachusetts 07-49 (2007); Zheng et al., arXiv 1708.08197 (2017); Zheng and Deng, Beijing University of Posts and
# Telecommunications 18-01 (2018); Moschoglou et al., CVPR Workshops (2017); Sengupta et al., WACV (2016).
KNOWN_PAIRS = {"lfw": 6000, "calfw": 6000, "cplfw": 6000, "agedb30": 6000, "agedb": 6000, "cfpfp": 7000}
KNOWN_NAMES = "LFW, CALFW, CPLFW, AgeDB-30, CFP-FP"
MAX_FILE_BYTES = 2**20
# Test sets in a file: each is judged by itself, which takes a few seconds where there are many losses.
MOST_SETS = 20
MOST_CHARACTERS = 200
NOT_REPORTED = frozenset(["", "-", "--", "\N{EN DASH}", "\N{EM DASH}", "n/a", "na"])
HINT = "name a CSV file with a row for each loss and a column for each test set"


@dataclass(frozen=True)
class JudgedSet:
    """One test set of a published table.

    Attributes:
        name: The heading of its column.
        pairs: How many pairs it has.
        count_error: By how many pairs a count of right answers may be wrong, since accuracies were rounded.
        power: What the counts say, and what it would have taken.
    """

    name: str
    pairs: int
    count_error: int
    power: CountPower


@dataclass(frozen=True)
class JudgedTable:
    """A published table: where it was published, if the file says so, and each of its test sets."""

    source: str
    sets: tuple[JudgedSet, ...]


@dataclass(frozen=True)
class _Cell:
    """An accuracy as it was written, and where."""

    label: str
    value: Decimal
    digits: int
    line: int


class _Table:
    """What a file holds, and every mistake in it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.source = ""
        self.sets: list[str] = []
        self.pairs: dict[str, int] = {}
        self.cells: dict[str, list[_Cell]] = {}
        self._labels: set[str] = set()
        try:
            rows = self._rows(text)
            if heading := next(rows, None):
                self._heading(*heading)
            else:
                self.say(f"is empty; {HINT}")
            for line, fields in rows:
                self._row(line, fields)
        except csv.Error as error:
            self.say(f"is no CSV: {error}; {HINT}")

    def say(self, message: str, line: int | None = None) -> None:
        self.problems.append(Problem(message, self.name if line is None else f"{self.name}:{line}"))

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield number and fields of every line that is neither empty nor a comment; comments are the source."""
        lines = text.splitlines()
        heading = next((line for line in lines if line.strip() and not line.startswith(("#", '"#'))), "")
        # Spreadsheets write semicolons where the comma is the decimal sign.
        self.separator = max(",;\t", key=heading.count)
        for number, line in enumerate(lines, 1):
            fields = [field.strip() for field in next(csv.reader([line], delimiter=self.separator), [])]
            # A spreadsheet puts a comment that holds a comma between quotation marks.
            if line.startswith(("#", '"#')):
                comment = line if line.startswith("#") else fields[0]
                self.source = f"{self.source} {comment.lstrip('#').strip()}".strip()
            elif line.strip():
                yield number, fields

    def _heading(self, line: int, fields: list[str]) -> None:
        self.sets = fields[1:]
        self.cells = {name: [] for name in self.sets}
        if not 1 <= len(self.sets) <= MOST_SETS:
            self.say(f"the heading names {len(self.sets)} test sets; write 1 to {MOST_SETS}", line)
        for name in self.sets:
            if not name or len(name) > MOST_CHARACTERS:
                self.say("the heading has a column without a name, or with a very long one", line)
            elif name.lower() == "pairs":
                self.say("the sizes of the test sets are a row and no column: pairs,6000,7000", line)
        if len(self.cells) < len(self.sets):
            self.say("the heading names a test set twice", line)

    def _row(self, line: int, fields: list[str]) -> None:
        label = fields[0]
        if len(fields) != 1 + len(self.sets):
            self.say(f"has {len(fields)} fields, and the heading {1 + len(self.sets)}", line)
        elif not label or len(label) > MOST_CHARACTERS:
            self.say("the first field has to name the loss, in at most 200 letters", line)
        elif label in self._labels:
            self.say(f"{label!r} has a row already; tell the two apart", line)
        else:
            self._labels.add(label)
            for name, text in zip(self.sets, fields[1:], strict=True):
                if label.lower() == "pairs":
                    self._size(name, text, line)
                elif text.lower() not in NOT_REPORTED:
                    self._accuracy(name, label, text, line)

    def _size(self, name: str, text: str, line: int) -> None:
        if text and not re.fullmatch("[0-9]{1,10}", text):
            self.say(f"{text[:40]!r} is no number of pairs; write it in digits alone", line)
        elif text and not 1 <= int(text) <= MOST_PAIRS:
            self.say(f"a test has 1 to {MOST_PAIRS:,} pairs, not {int(text):,}", line)
        elif text:
            self.pairs[name] = int(text)

    def _accuracy(self, name: str, label: str, text: str, line: int) -> None:
        number = text.removesuffix("%").strip()
        if self.separator != ",":
            number = number.replace(",", ".")
        if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{0,12})?", number) or float(number) > 100:
            self.say(f"{text[:40]!r} is no accuracy, such as 99.53; write - where none was published", line)
        else:
            self.cells[name].append(_Cell(label, Decimal(number), len(number.partition(".")[2]), line))

    def sizes(self, of: int | None) -> dict[str, int]:
        """Return how many pairs each test set has: what the file says, else what everybody knows, else the option."""
        known = {name: KNOWN_PAIRS.get(re.sub("[^a-z0-9]", "", name.lower())) for name in self.sets}
        sizes = {name: self.pairs.get(name) or known[name] or of for name in self.sets}
        for name, size in sizes.items():
            if size is None:
                self.say(f"of how many pairs is {name}? add --of PAIRS, or a row: pairs,6000 (known: {KNOWN_NAMES})")
        if of is not None and of not in sizes.values():
            name, size = next(iter(sizes.items()))
            self.say(f"{name} has {size:,} pairs, not {of:,}; if yours has others, say so in a row: pairs,{of}")
        return {name: size for name, size in sizes.items() if size}

    def counts(self, name: str, pairs: int) -> tuple[dict[str, int], int]:
        """Return how many pairs each loss judged right, and by how many that may be wrong."""
        cells = self.cells[name]
        are_shares = all(cell.value <= 1 for cell in cells)
        right: dict[str, int] = {}
        for cell in cells:
            if not are_shares and 0 < cell.value <= 1:
                self.say(f"{cell.value} of {name} stands among percentages; write all as % or all as shares", cell.line)
            right[cell.label] = round(cell.value * pairs / (1 if are_shares else 100))
        # Spreadsheets leave out zeros at the end, so the accuracy with the most digits tells how many there were.
        digits = max((cell.digits for cell in cells), default=0) + (0 if are_shares else 2)
        return right, pairs // (2 * 10**digits)

    def check(self) -> None:
        """Raise what is wrong so far.

        Raises:
            InputError: Something is.
        """
        if self.problems:
            raise InputError(first_of(self.problems, "and {} more mistakes", self.name))


def judge_table(file: Path, of: int | None, alpha: float, power: float, difference: float | None) -> JudgedTable:
    """Return what can be said about the losses of a published table, for each test set.

    Args:
        file: The CSV file; the docstring of this module shows one.
        of: The number of pairs of test sets whose size neither the file says nor everybody knows.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        difference: A difference in accuracy, from 0 to 1, for which to answer as well.

    Raises:
        InputError: With a line for every mistake in the file; or the question has no answer.
    """
    if of is not None and not 1 <= of <= MOST_PAIRS:
        raise InputError(Problem(f"a test has 1 to {MOST_PAIRS:,} pairs; say how many", f"--of {of:,}"))
    text = text_of(read_input(file, MAX_FILE_BYTES, HINT), str(file), HINT)
    table = _Table(str(file), text)
    table.check()
    sizes = table.sizes(of)
    table.check()
    counts = {name: (size, *table.counts(name, size)) for name, size in sizes.items()}
    table.check()
    judged = []
    for name, (pairs, right, count_error) in counts.items():
        try:
            judged.append(JudgedSet(name, pairs, count_error, from_counts(right, pairs, alpha, power, difference)))
        except UnanswerableError as error:
            table.say(f"{name}: {error}")
    table.check()
    return JudgedTable(table.source, tuple(judged))
