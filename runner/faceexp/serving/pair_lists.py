"""Lists of pairs of photos that people give to a model: who is in them, as far as the list says it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from faceexp.data.pair_table import MAX_LIST_BYTES, PairTable, read_table
from faceexp.errors import InputError, Problem, first_of
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.evaluation.people import PeopleOfPairs, people_of
from faceexp.files import at_home, check_file, explain_os_error

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray, IntArray

# Two photos, and whether they show the same person, if the list says it.
ListedPair = tuple[str, str, bool | None]


@dataclass(frozen=True, eq=False)
class PairList:
    """A list of pairs.

    Attributes:
        file: Where it lies.
        sha256: The digest of the file.
        photos: The photos, each once, in the order in which the list names them.
        rows: int (P, 2), both photos of each pair, as places in ``photos``.
        truths: For each pair whether it shows one person; ``None`` where the list does not say it.
        person: Whom each photo shows, by its path; empty where that is not known.
        people_from: How that is known: from the columns of the list; or from the folders of the photos, if two photos
            lie in the same folder exactly where the list says that they show one person.
    """

    file: Path
    sha256: str
    photos: Sequence[str]
    rows: IntArray
    truths: Sequence[bool | None]
    person: Mapping[str, str]
    people_from: Literal["columns", "folders"] | None

    @property
    def pairs(self) -> list[ListedPair]:
        """The pairs, in their order."""
        photos = self.photos
        rows = zip(self.rows.tolist(), self.truths, strict=True)
        return [(photos[first], photos[second], same) for (first, second), same in rows]

    def labelled(self, distances: FloatArray) -> tuple[PairDistances, PeopleOfPairs | None]:
        """Return the pairs of which the truth is known, with their distances, and whom they show, if that is known.

        Args:
            distances: float (P,), of all pairs of the list.
        """
        truths = np.array([-1 if same is None else same for same in self.truths], np.int8)
        known = truths >= 0
        measured = PairDistances(distances[known], truths[known] == 1)
        if not self.person or not known.any():
            return measured, None
        numbers: dict[str, int] = {}
        for name in self.person.values():
            numbers.setdefault(name, len(numbers))
        person = np.array([numbers[self.person[photo]] for photo in self.photos], np.int64)
        shown = person[self.rows[known]]
        return measured, people_of(shown.ravel(), np.arange(shown.size, dtype=np.int64).reshape(-1, 2))


def read_pairs(file: str | Path) -> PairList:
    """Return the pairs of a table; see :mod:`faceexp.data.pair_table`. Its folds mean nothing here.

    Paths are relative to the folder of the file; ``~`` is the user's home. Where the people are named, they say whether
    both are the same.

    Raises:
        InputError: With the lines that are wrong, or because there is no pair.
    """
    path = Path(file)
    try:
        check_file(path, MAX_LIST_BYTES)
        with path.open("rb") as binary:
            sha256 = hashlib.file_digest(binary, "sha256").hexdigest()
        with path.open(encoding="utf-8-sig", newline="") as opened:
            table = read_table(opened, str(file))
    except OSError as error:
        message = "no such file" if isinstance(error, FileNotFoundError) else explain_os_error(error)
        raise InputError(Problem(f"{message}; it has to be a list of pairs", str(file))) from None
    except UnicodeDecodeError:
        message = 'is no list of pairs in UTF-8; in Excel, save it as "CSV UTF-8"'
        raise InputError(Problem(message, str(file))) from None
    files = [str(path.parent / at_home(cell)) for cell in table.images]
    # A list may write the path of one photo in several ways.
    photos = list(dict.fromkeys(files))
    place = {photo: number for number, photo in enumerate(photos)}
    rows = np.array([place[photo] for photo in files], np.int64)[np.array(table.pairs, np.int64)]
    if table.identities:
        person: dict[str, str] = _named(table, files, str(file))
        return PairList(path, sha256, photos, rows, table.same, person, "columns")
    person = _folders(photos, rows, table.same)
    return PairList(path, sha256, photos, rows, table.same, person, "folders" if person else None)


def _named(table: PairTable, photos: Sequence[str], file: str) -> dict[str, str]:
    """Return whom each photo shows, as the columns of the table say it."""
    person: dict[str, str] = {}
    problems: list[Problem] = []
    for line, pair, names in zip(table.lines, table.pairs, table.identities, strict=True):
        for place, name in zip(pair, names, strict=True):
            photo = photos[place]
            if person.setdefault(photo, name) != name:
                problems.append(Problem(f"{photo} shows {person[photo]!r} in a line before this one", f"{file}:{line}"))
                break
    if problems:
        raise InputError(first_of(problems, "{:,} more lines are wrong", file))
    return person


def _folders(photos: Sequence[str], rows: IntArray, truths: Sequence[bool | None]) -> dict[str, str]:
    """Return the folder of each photo, if folders are people: they agree with the truth of all pairs, of both kinds."""
    if set(truths) != {True, False}:
        return {}
    folders = [str(Path(photo).parent) for photo in photos]
    _, number = np.unique(folders, return_inverse=True)
    first, second = number[rows].T
    agree = np.array_equal(first == second, np.array(truths, bool))
    return dict(zip(photos, folders, strict=True)) if agree else {}
