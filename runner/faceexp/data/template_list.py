"""Lists of templates: which images make one template, and which medium each of them is of.

- **InsightFace's** ``ijbc_face_tid_mid.txt``: every line is ``image template medium``, separated by spaces, or by tabs
  where names hold spaces. It does not say whom a template shows.
- **NIST's** CSV files, such as ``ijbc_1N_probe_mixed.csv`` and ``enroll_templates.csv``: the first line names the
  columns. ``TEMPLATE_ID`` and ``FILENAME`` (or ``FILE``) are needed, ``SUBJECT_ID`` (the person) and ``MEDIA_ID`` or
  ``SIGHTING_ID`` (the medium) are used where they are there, and all others are left alone.

A medium is a photo or a video; frames of one video have one medium. An image may be in several templates. Several files
are one list: NIST has one for the galleries and another for the probes. The text is UTF-8.

References:
    Whitelam et al., "IARPA Janus Benchmark-B Face Dataset", CVPR Workshops (2017).
    Maze et al., "IARPA Janus Benchmark - C: Face Dataset and Protocol", ICB (2018).
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import user_path
from faceexp.data.pair_table import MAX_LIST_BYTES, SEPARATORS
from faceexp.errors import MAX_LISTED, InputError, Problem, first_of, printable
from faceexp.files import numbered_lines, read_input, text_of

# What the columns are called in the files of IJB-A, IJB-B and IJB-C; of several, the first that is there is meant.
TEMPLATE, IMAGE = ("template_id", "template"), ("filename", "file", "image", "path")
SUBJECT, MEDIUM = ("subject_id", "subject", "identity"), ("media_id", "sighting_id", "medium", "media")
# A line: its image, its template, its medium and its person; the last two are empty where they are not known.
Cells = tuple[str, str, str, str]
# Ids of more digits are texts: Python refuses to read numbers of thousands.
MAX_DIGITS = 18


@dataclass(frozen=True, eq=False)
class Named:
    """What the lines of a list call something.

    Attributes:
        names: Each name, without repetition.
        number: int (L,), the place in ``names`` of what each line says.
    """

    names: tuple[str, ...]
    number: IntArray


@dataclass(frozen=True, eq=False)
class TemplateList:
    """A list of templates, with a line for each image in each of them.

    Attributes:
        files: The files, as the experiment names them.
        images: The images.
        templates: The templates.
        media: The media; an empty name is no known one.
        subjects: Whom the lines show; ``None`` where the list does not say it.
        file: int (L,), the place in ``files`` of the one with the line.
        line: int (L,), the number of the line there.
    """

    files: tuple[str, ...]
    images: Named
    templates: Named
    media: Named
    subjects: Named | None
    file: IntArray
    line: IntArray

    def place(self, row: int) -> str:
        """Return where a line is."""
        return f"{self.files[self.file[row]]}:{self.line[row]}"

    def beside(self, row: int, other: int) -> str:
        """Return where another line is, for somebody who looks at one."""
        is_here = self.file[row] == self.file[other]
        return f"line {self.line[other]}" if is_here else self.place(other)

    def conflicts(self, people: IntArray, names: Sequence[str]) -> list[Problem]:
        """Return a problem for each line whose person is not that of the first line of its template.

        Args:
            people: int (L,), whom each line shows.
            names: What these are called.
        """
        _, first, number = np.unique(self.templates.number, return_index=True, return_inverse=True)
        begins = first[number]
        wrong = np.flatnonzero(people != people[begins])
        problems = []
        for row in wrong[:MAX_LISTED].tolist():
            template, begin = self.templates.names[self.templates.number[row]], int(begins[row])
            message = (
                f"template {template!r} shows {printable(names[people[row]])!r} here and "
                f"{printable(names[people[begin]])!r} in {self.beside(row, begin)}; a template shows one person"
            )
            problems.append(Problem(message, self.place(row)))
        return first_of(problems, "and {} more lines of templates that show several people", self.files[0], len(wrong))


class _LineError(ValueError):
    """A line is not what it has to be."""


def one_id(text: str) -> str:
    """Return an id in the one form that lists and columns are compared in: a whole number has no leading zeros."""
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return str(int(text)) if is_number else text


def read(paths: Sequence[str]) -> TemplateList:
    """Return the templates of one or several files; the paths of an experiment are absolute by now.

    Raises:
        InputError: With every line that is wrong; a file is missing, too large, or no such list.
    """
    made = _Lines()
    for path in paths:
        content = read_input(user_path(path), MAX_LIST_BYTES, "name a list of templates")
        text = text_of(content, path, "it has to be a list of templates")
        made.begin(path)
        for number, cells in _rows(text, path):
            made.add(number, cells)
    return made.complete()


@dataclass
class _Lines:
    """The lines of a list, as they are read."""

    files: list[str] = field(default_factory=list)
    places: list[dict[str, int]] = field(default_factory=lambda: [{}, {}, {}, {}])
    # Arrays of numbers, since a list of a million of Python's takes a multiple of their memory.
    numbers: list[array[int]] = field(default_factory=lambda: [array("q") for _ in range(4)])
    file: array[int] = field(default_factory=lambda: array("q"))
    line: array[int] = field(default_factory=lambda: array("q"))
    problems: list[Problem] = field(default_factory=list)
    wrong: int = 0

    def begin(self, path: str) -> None:
        """Go on with another file."""
        self.files.append(path)

    def add(self, number: int, cells: Cells | _LineError) -> None:
        """Take a line."""
        if isinstance(cells, _LineError):
            self.wrong += 1
            if self.wrong <= MAX_LISTED:
                self.problems.append(Problem(str(cells), f"{self.files[-1]}:{number}"))
            return
        for place, numbers, cell in zip(self.places, self.numbers, cells, strict=True):
            numbers.append(place.setdefault(cell, len(place)))
        self.file.append(len(self.files) - 1)
        self.line.append(number)

    def complete(self) -> TemplateList:
        """Return the list.

        Raises:
            InputError: With what is wrong with it.
        """
        if self.problems:
            raise InputError(first_of(self.problems, "and {} more lines", self.files[-1], self.wrong))
        images, templates, media, subjects = (
            Named(tuple(place), np.frombuffer(numbers, np.int64))
            for place, numbers in zip(self.places, self.numbers, strict=True)
        )
        file, line = (np.frombuffer(each, np.int64) for each in (self.file, self.line))
        listed = TemplateList(tuple(self.files), images, templates, media, subjects, file, line)
        if set(subjects.names) == {""}:
            return TemplateList(listed.files, images, templates, media, None, file, line)
        if "" in subjects.names:
            row = int(np.flatnonzero(subjects.number == subjects.names.index(""))[0])
            message = "does not say whom the template shows, and other lines do; fill in SUBJECT_ID"
            raise InputError(Problem(message, listed.place(row)))
        if conflicts := listed.conflicts(subjects.number, subjects.names):
            raise InputError(conflicts)
        return listed


def _rows(text: str, name: str) -> Iterator[tuple[int, Cells | _LineError]]:
    """Yield number and content of every line of a file; what its first line holds tells its form."""
    number, first = next(numbered_lines(text), (0, ""))
    if not number:
        raise InputError(Problem("is empty; it has to be a list of templates", name))
    for separator in SEPARATORS:
        columns = [cell.strip().lower() for cell in next(csv.reader([first[:10_000]], delimiter=separator), [])]
        if any(column in TEMPLATE for column in columns):
            yield from _of_table(text, name, separator, columns, number)
            return
    yield from _of_fields(text)


def _of_fields(text: str) -> Iterator[tuple[int, Cells | _LineError]]:
    for number, line in numbered_lines(text):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if len(fields) == 3 and all(fields):
            yield number, (fields[0], one_id(fields[1]), fields[2], "")
        else:
            yield (
                number,
                _LineError(
                    f"has {_fields(sum(map(bool, fields)))}; a line has an image, its template and its medium, such as "
                    "'1.jpg 1 69544' (tabs between them where names hold spaces), or the first line of the list names "
                    "the columns TEMPLATE_ID, FILENAME and SIGHTING_ID"
                ),
            )


def _of_table(
    text: str, name: str, separator: str, columns: list[str], header: int
) -> Iterator[tuple[int, Cells | _LineError]]:
    at = {names: next((columns.index(each) for each in names if each in columns), None) for names in _COLUMNS}
    image_at, template_at = at[IMAGE], at[TEMPLATE]
    if image_at is None or template_at is None:
        raise InputError(Problem("names no column FILENAME or FILE, which has to hold the images", f"{name}:{header}"))
    medium_at, subject_at = at[MEDIUM], at[SUBJECT]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        for cells in rows:
            if rows.line_num == header or not any(map(str.strip, cells)):
                continue
            if len(cells) != len(columns):
                yield rows.line_num, _LineError(f"has {_fields(len(cells))}, the first line {len(columns)}")
                continue
            image, template = cells[image_at].strip(), one_id(cells[template_at].strip())
            if not image or not template:
                yield rows.line_num, _LineError(f"names no {'image' if template else 'template'}")
                continue
            medium = "" if medium_at is None else cells[medium_at].strip()
            subject = "" if subject_at is None else one_id(cells[subject_at].strip())
            yield rows.line_num, (image, template, medium, subject)
    except csv.Error as error:
        raise InputError(Problem(f"cannot be read as a list of templates: {error}", name)) from None


_COLUMNS = (TEMPLATE, IMAGE, SUBJECT, MEDIUM)


def _fields(count: int) -> str:
    return f"{count} field{'s' if count != 1 else ''}"
