"""Pairs of images as a table: the first line names its columns, each other line is a pair.

The columns are ``a,b``, two images; behind them, where they are known, ``same`` (1: both show one person, 0: two), the
people ``identity_a,identity_b``, and ``fold``. Columns are separated by commas, by semicolons, as Excel writes them in
some countries, or by tabs. The same table is a list of pairs of a protocol and of ``faceexp verify --pairs``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from faceexp.errors import MAX_LISTED, InputError, Problem, first_of

PHOTOS, TRUTH, IDENTITIES, FOLD = ("a", "b"), ("same",), ("identity_a", "identity_b"), ("fold",)
COLUMNS = frozenset(
    (*PHOTOS, *truth, *identities, *fold)
    for truth in ((), TRUTH)
    for identities in ((), IDENTITIES)
    for fold in ((), FOLD)
)
HEADERS = "a,b or a,b,same, with or without identity_a,identity_b and then fold behind them"
# A column of numbers some of which are missing is often written as 1.0 and 0.0; with a decimal comma in some countries.
MEANINGS = dict.fromkeys(("1", "true", "yes", "1.0", "1,0"), True) | dict.fromkeys(
    ("0", "false", "no", "0.0", "0,0"), False
)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# A list of some million pairs has some hundred megabytes.
MAX_LIST_BYTES = 2**30


@dataclass(frozen=True)
class PairTable:
    """The pairs of a table.

    Attributes:
        images: What the table calls each image, without repetition.
        pairs: For each pair the places of its images in ``images``.
        same: For each pair whether it shows one person; ``None`` where the table does not say it.
        identities: For each pair whom its images show; nothing where the table does not say it.
        folds: For each pair what its fold is called; nothing where the table has none.
        lines: The row of each pair in the table, its first line being 1.
    """

    images: list[str]
    pairs: list[tuple[int, int]]
    same: list[bool | None]
    identities: list[tuple[str, str]]
    folds: list[str]
    lines: list[int]


def is_table(first_line: str) -> bool:
    """Return whether a file that begins with this line is such a table, as far as one can tell."""
    return any(_columns(first_line, mark)[:2] == PHOTOS for mark in SEPARATORS)


def read_table(lines: Iterable[str], name: str) -> PairTable:
    """Return the pairs of a table.

    Args:
        lines: The lines of the file with their ends, as a file gives them that is opened with ``newline=""``.
        name: What the user called it.

    Raises:
        InputError: With the lines that are wrong, or because there is no pair.
    """
    rest = iter(lines)
    first = next(rest, "")
    separator = next((mark for mark in SEPARATORS if _columns(first, mark) in COLUMNS), None)
    if separator is None:
        message = f"the first line has to name the columns: {HEADERS}, and no others; it is {first.strip()[:100]!r}"
        raise InputError(Problem(message, f"{name}:1"))
    try:
        table = _pairs(csv.reader(rest, delimiter=separator, skipinitialspace=True), first, separator, name)
    except csv.Error as error:
        raise InputError(Problem(f"cannot be read as a list of pairs: {error}", name)) from None
    if not table.pairs:
        raise InputError(Problem("lists no pair; add lines with two photos each", name))
    return table


def _columns(line: str, separator: str) -> tuple[str, ...]:
    """Return the names of the columns that the first line of a list of pairs gives."""
    try:
        cells = next(csv.reader([line[:1000]], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return ()
    return tuple(name.strip().lower() for name in cells)


def _pairs(rows: Iterable[list[str]], first: str, separator: str, name: str) -> PairTable:
    columns = _columns(first, separator)
    width = len(columns)
    truth_at, identities_at, fold_at = (
        columns.index(column) if column in columns else 0 for column in ("same", "identity_a", "fold")
    )
    # A long list names the same images again and again.
    places: dict[str, int] = {}
    table = PairTable([], [], [], [], [], [])
    problems: list[Problem] = []
    wrong = 0
    for number, given in enumerate(rows, 2):
        cells = [*map(str.strip, given)]
        is_whole = len(cells) == width and cells[0] and cells[1]
        if not is_whole and not any(cells):
            continue
        same = MEANINGS.get(cells[truth_at].lower()) if truth_at and is_whole else None
        message = ""
        if not is_whole or (truth_at and same is None) or identities_at:
            message = _fault(dict(zip(columns, cells, strict=False)), cells, columns, separator)
        if not message and fold_at and not cells[fold_at]:
            message = "names no fold; give each pair one"
        if message:
            wrong += 1
            if wrong <= MAX_LISTED:
                problems.append(Problem(message, f"{name}:{number}"))
            continue
        if identities_at:
            one, other = cells[identities_at], cells[identities_at + 1]
            same = one == other
            table.identities.append((one, other))
        if fold_at:
            table.folds.append(cells[fold_at])
        pair = places.setdefault(cells[0], len(places)), places.setdefault(cells[1], len(places))
        table.pairs.append(pair)
        table.same.append(same)
        table.lines.append(number)
    if problems:
        raise InputError(first_of(problems, "{:,} more lines are wrong", name, wrong))
    table.images.extend(places)
    return table


def _fault(row: Mapping[str, str], cells: Sequence[str], columns: Sequence[str], separator: str) -> str:
    """Return what is wrong with a line alone, or nothing."""
    if len(cells) != len(columns):
        return _miscounted(cells, columns, separator)
    if not row["a"] or not row["b"]:
        return "names no photo in a or b"
    same = row.get("same")
    if same is not None and same.lower() not in MEANINGS:
        return f"{same[:100]!r} is neither 1 nor 0: 1 means that both photos show one person"
    people = [row[name] for name in IDENTITIES if name in row]
    if not all(people):
        return "names no person in identity_a or identity_b"
    if people and same is not None and MEANINGS[same.lower()] != (people[0] == people[1]):
        return f"same is {same}, but the people are {people[0][:100]!r} and {people[1][:100]!r}"
    return ""


def _miscounted(cells: Sequence[str], columns: Sequence[str], separator: str) -> str:
    """Return what is wrong with a line that has more or fewer columns than the first one, and what it may be."""
    text = f"has {len(cells)} column{'s' if len(cells) > 1 else ''}, the first line {len(columns)}"
    other = next((mark for mark in SEPARATORS if mark != separator and cells[0].count(mark) == len(columns) - 1), None)
    if len(cells) == 1 and other:
        return f"{text}: separate both with {SEPARATORS[other]}, or both with {SEPARATORS[separator]}"
    if separator == "," and len(cells) > len(columns):
        return f"{text}: put what holds a comma in quotes, or separate columns with semicolons; write 1, not 1,0"
    return text
