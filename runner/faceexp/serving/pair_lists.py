"""Lists of pairs of photos that people give to a model: who is in them, as far as the list says it."""

from __future__ import annotations

import csv
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from faceexp.errors import MAX_LISTED, InputError, Problem, first_of
from faceexp.evaluation.pairs import PairDistances
from faceexp.evaluation.people import PeopleOfPairs, people_of
from faceexp.files import at_home, check_file, explain_os_error

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray

# Two photos, and whether they show the same person, if the list says it.
ListedPair = tuple[str, str, bool | None]
# A list of some million pairs has some hundred megabytes.
MAX_LIST_BYTES = 2**30
PHOTOS, TRUTH, IDENTITIES = ("a", "b"), ("same",), ("identity_a", "identity_b")
COLUMNS = (PHOTOS, PHOTOS + TRUTH, PHOTOS + IDENTITIES, PHOTOS + TRUTH + IDENTITIES)
HEADERS = "a,b or a,b,same, with or without identity_a,identity_b behind them"
# A column of numbers some of which are missing is often written as 1.0 and 0.0; with a decimal comma in some countries.
MEANINGS = dict.fromkeys(("1", "true", "yes", "1.0", "1,0"), True) | dict.fromkeys(
    ("0", "false", "no", "0.0", "0,0"), False
)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class PairList:
    """A list of pairs.

    Attributes:
        file: Where it lies.
        sha256: The digest of the file.
        pairs: The pairs, in their order.
        person: Whom each photo shows, by its path; empty where that is not known.
        people_from: How that is known: from the columns of the list; or from the folders of the photos, if two photos
            lie in the same folder exactly where the list says that they show one person.
    """

    file: Path
    sha256: str
    pairs: Sequence[ListedPair]
    person: Mapping[str, str]
    people_from: Literal["columns", "folders"] | None

    @property
    def truths(self) -> list[bool | None]:
        """For each pair whether it shows one person; ``None`` where the list does not say it."""
        return [same for _, _, same in self.pairs]

    def labelled(self, distances: FloatArray) -> tuple[PairDistances, PeopleOfPairs | None]:
        """Return the pairs of which the truth is known, with their distances, and whom they show, if that is known.

        Args:
            distances: float (P,), of all pairs of the list.
        """
        chosen = [place for place, same in enumerate(self.truths) if same is not None]
        measured = PairDistances(distances[chosen], np.array([self.truths[place] for place in chosen], bool))
        if not self.person or not chosen:
            return measured, None
        names = np.array([[self.person[photo] for photo in self.pairs[place][:2]] for place in chosen])
        return measured, people_of(names.ravel(), np.arange(names.size, dtype=np.int64).reshape(-1, 2))


def read_pairs(file: str | Path) -> PairList:
    """Return the pairs of a CSV file: two paths per line, and 1 or 0 in the column ``same``, if there is one.

    Paths are relative to the folder of the file; ``~`` is the user's home. The first line names the columns; see
    :data:`HEADERS`. Where the people are named, they say whether both are the same. Instead of commas there may be
    semicolons, as Excel writes them in some countries, or tabs.

    Raises:
        InputError: With the lines that are wrong, or because there is no pair.
    """
    path = Path(file)
    try:
        check_file(path, MAX_LIST_BYTES)
        with path.open("rb") as binary:
            sha256 = hashlib.file_digest(binary, "sha256").hexdigest()
        with path.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline(1000)
            separator = next((mark for mark in SEPARATORS if _columns(first, mark) in COLUMNS), None)
            if separator is None:
                message = (
                    f"the first line has to name the columns: {HEADERS}, and no others; it is {first.strip()[:100]!r}"
                )
                raise InputError(Problem(message, f"{file}:1"))
            rows = csv.reader(opened, delimiter=separator, skipinitialspace=True)
            pairs, person = _pairs(rows, path, _columns(first, separator), separator)
    except OSError as error:
        message = "no such file" if isinstance(error, FileNotFoundError) else explain_os_error(error)
        raise InputError(Problem(f"{message}; it has to be a list of pairs", str(file))) from None
    except UnicodeDecodeError:
        message = 'is no list of pairs in UTF-8; in Excel, save it as "CSV UTF-8"'
        raise InputError(Problem(message, str(file))) from None
    except csv.Error as error:
        raise InputError(Problem(f"cannot be read as a list of pairs: {error}", str(file))) from None
    if not pairs:
        raise InputError(Problem("lists no pair; add lines with two photos each", str(file)))
    if person:
        return PairList(path, sha256, pairs, person, "columns")
    folders = _folders(pairs)
    return PairList(path, sha256, pairs, folders, "folders" if folders else None)


def _folders(pairs: Sequence[ListedPair]) -> dict[str, str]:
    """Return the folder of each photo, if folders are people: they agree with the truth of all pairs, of both kinds."""
    folder = {photo: str(Path(photo).parent) for pair in pairs for photo in pair[:2]}
    agree = all(same == (folder[a] == folder[b]) for a, b, same in pairs)
    return folder if agree and {same for _, _, same in pairs} == {True, False} else {}


def _columns(line: str, separator: str) -> tuple[str, ...]:
    """Return the names of the columns that the first line of a list of pairs gives."""
    cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return tuple(name.strip().lower() for name in cells)


def _pairs(
    rows: Iterable[list[str]], list_file: Path, columns: tuple[str, ...], separator: str
) -> tuple[list[ListedPair], dict[str, str]]:
    """Return the pairs in the rows of a list behind its first line, and whom each photo shows, if columns say it.

    Raises:
        InputError: With the lines that are wrong.
    """
    pairs: list[ListedPair] = []
    person: dict[str, str] = {}
    problems: list[Problem] = []
    wrong = 0

    # A long list names the same photos again and again.
    @functools.cache
    def photo(cell: str) -> str:
        return str(list_file.parent / at_home(cell.strip()))

    for number, cells in enumerate(rows, 2):
        if not any(map(str.strip, cells)):
            continue
        row = dict(zip(columns, map(str.strip, cells), strict=False))
        message = _fault(row, cells, columns, separator)
        if not message:
            pair = photo(cells[0]), photo(cells[1])
            given = zip(pair, (row[name] for name in IDENTITIES if name in row), strict=False)
            twice = next((name for name, who in given if person.setdefault(name, who) != who), None)
            message = f"{twice} shows {person[twice]!r} in a line before this one" if twice else ""
        if not message:
            pairs.append((*pair, _truth(row)))
            continue
        wrong += 1
        if wrong <= MAX_LISTED:
            problems.append(Problem(message, f"{list_file}:{number}"))
    if problems:
        raise InputError(first_of(problems, "{:,} more lines are wrong", str(list_file), wrong))
    return pairs, person


def _truth(row: Mapping[str, str]) -> bool | None:
    """Return whether a line says that its photos show one person."""
    if "identity_a" in row:
        return row["identity_a"] == row["identity_b"]
    return MEANINGS[row["same"].lower()] if "same" in row else None


def _fault(row: Mapping[str, str], cells: Sequence[str], columns: Sequence[str], separator: str) -> str:
    """Return what is wrong with a line alone, or nothing."""
    if len(cells) != len(columns):
        return _miscounted(cells, columns, separator)
    same = row.get("same")
    if same is not None and same.lower() not in MEANINGS:
        return f"{same[:100]!r} is neither 1 nor 0: 1 means that both photos show one person"
    if "identity_a" not in row:
        return ""
    if not row["identity_a"] or not row["identity_b"]:
        return "names no person in identity_a or identity_b"
    if same is not None and MEANINGS[same.lower()] != _truth(row):
        names = f"{row['identity_a'][:100]!r} and {row['identity_b'][:100]!r}"
        return f"same is {same}, but the people are {names}"
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
