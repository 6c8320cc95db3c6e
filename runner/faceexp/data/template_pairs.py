"""Lists of pairs of templates, as NIST's IJB sets are judged by.

- **InsightFace's** ``ijbc_template_pair_label.txt``: every line is ``template template label``, separated by spaces or
  tabs; the label is 1 where both show one person, and 0 where they do not.
- **NIST's** ``match.csv`` or ``ijbc_11_G1_G2_matches.csv``: every line is ``template,template``, with or without a
  first line such as ``ENROLL_TEMPLATE_ID,VERIF_TEMPLATE_ID``. Whether both show one person, the templates have to tell.
- **A table** whose first line is ``a,b`` or ``template_a,template_b``, and behind them, where they are known, ``same``
  (or ``label``) and ``fold``.

The list of IJB-C has 15,658,489 pairs. So ids that are whole numbers are read by pandas into arrays, without an object
for each of them; a list that this cannot read, or whose ids are texts, is read line by line, which also says what is
wrong.

References:
    Maze et al., "IARPA Janus Benchmark - C: Face Dataset and Protocol", ICB (2018).
"""

from __future__ import annotations

import csv
import io
from array import array
from dataclasses import dataclass

import numpy as np

from faceexp.arrays import BoolArray, IntArray
from faceexp.contract import user_path
from faceexp.data.pair_table import MAX_LIST_BYTES, MEANINGS
from faceexp.data.pairs_file import NO_NUMBER, PairsFile
from faceexp.data.template_list import TemplateList, one_id
from faceexp.errors import MAX_LISTED, InputError, Problem, first_of
from faceexp.files import check_file, numbered_lines, read_input, text_of

# Of a file, so much is looked at to tell what it lists.
BEGINNING = 4096
TRUTH, FOLD = ("same", "label"), "fold"


@dataclass(frozen=True)
class _Form:
    """How the lines of a list are written.

    Attributes:
        separator: A comma; nothing for spaces and tabs.
        columns: What stands in a line: ``one`` and ``other``, and maybe ``same`` and ``fold``.
        header: Whether the first line names them.
    """

    separator: str | None
    columns: tuple[str, ...]
    header: bool

    def cells(self, line: str) -> list[str]:
        """Return what stands in a line."""
        if self.separator is None:
            return line.split()
        return [cell.strip() for cell in next(csv.reader([line], delimiter=self.separator), [])]

    @property
    def wanted(self) -> str:
        """What a line has to hold."""
        known = {"same": "1 or 0", "fold": "a fold"}
        further = [known[column] for column in self.columns[2:]]
        return " and ".join(["two templates", *further])


def is_of_templates(path: str) -> bool:
    """Return whether a list names templates, as far as its first line tells; pairs of images are written otherwise."""
    try:
        check_file(user_path(path), MAX_LIST_BYTES)
        with user_path(path).open("rb") as file:
            beginning = file.read(BEGINNING).decode("utf-8-sig", "replace")
    except OSError:
        return False  # which is told where it is read
    _, line = next(numbered_lines(beginning), (0, ""))
    form = _form(line)
    if form is None:
        return False
    if form.header:
        return "template" in form.cells(line)[0].lower()
    numbers = form.cells(line)
    is_counted = len(numbers) == 3 or form.separator is not None
    return is_counted and all(map(_is_number, numbers)) and numbers[-1] in ("0", "1", *numbers[:2])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _form(line: str) -> _Form | None:
    """Return how a list is written that begins with this line; nothing where it is no list of pairs of templates."""
    separator = "," if "," in line else None
    cells = _Form(separator, (), header=False).cells(line)
    names = [cell.lower() for cell in cells]
    if names[:2] == ["a", "b"] or (len(names) > 1 and all("template" in name for name in names[:2])):
        columns = ["same" if name in TRUTH else name for name in names[2:]]
        is_known = columns in ([], ["same"], [FOLD], ["same", FOLD])
        return _Form(separator, ("one", "other", *columns), header=True) if is_known else None
    if len(cells) not in (2, 3):
        return None
    return _Form(separator, ("one", "other", "same")[: len(cells)], header=False)


def read(path: str) -> PairsFile:
    """Return the pairs of a file; the paths of an experiment are absolute by now.

    Raises:
        InputError: With every line that is wrong; the file is missing, too large or not UTF-8.
    """
    content = read_input(user_path(path), MAX_LIST_BYTES, "name a list of pairs of templates")
    number, line = next(numbered_lines(content[:BEGINNING].decode("utf-8-sig", "replace")), (0, ""))
    if not number:
        raise InputError(Problem("is empty; it has to be a list of pairs of templates", path))
    form = _form(line)
    if form is None:
        message = (
            "is no pair of templates: two ids and 1 or 0, such as '1 11065 1', or two ids with a comma between them, "
            "or the names of such columns: a,b,same,fold"
        )
        raise InputError(Problem(message, f"{path}:{number}"))
    columns = _numbers(content, form) if number == 1 else None
    pairs = _of_numbers(path, form, columns, content) if columns is not None else None
    pairs = pairs or _of_lines(path, form, text_of(content, path, "it has to be a list of pairs of templates"))
    alone = np.flatnonzero(pairs.rows[:, 0] == pairs.rows[:, 1])
    if len(alone):
        problems = [
            pairs.problem(pair, f"compares template {pairs.images[pairs.rows[pair, 0]][0]!r} with itself")
            for pair in alone[:MAX_LISTED].tolist()
        ]
        raise InputError(first_of(problems, "and {} more lines that compare a template with itself", path, len(alone)))
    return pairs


def check(pairs: PairsFile, listed: TemplateList) -> None:
    """Refuse pairs of templates that a list of templates does not have.

    Raises:
        InputError: With the line of each such pair.
    """
    known = set(listed.templates.names)
    lacking = {place: name for place, (name, _) in enumerate(pairs.images) if name not in known}
    if not lacking:
        return
    wrong = np.flatnonzero(np.isin(pairs.rows, list(lacking)).any(axis=1))
    problems = []
    for pair in wrong[:MAX_LISTED].tolist():
        name = next(lacking[place] for place in pairs.rows[pair].tolist() if place in lacking)
        message = f"template {name!r} is not in the list of templates, {', '.join(listed.files)}"
        problems.append(pairs.problem(pair, message))
    raise InputError(first_of(problems, "and {} more pairs of templates that are not listed", pairs.name, len(wrong)))


def _numbers(content: bytes, form: _Form) -> list[IntArray] | None:
    """Return the columns of a list of whole numbers; nothing if it holds anything else, or a line is wrong."""
    import pandas as pd

    try:
        table = pd.read_csv(
            io.BytesIO(content),
            sep=form.separator or r"\s+",
            header=None,
            skiprows=int(form.header),
            dtype=np.int32,
            na_filter=False,
            quoting=csv.QUOTE_NONE,
        )
    except (ValueError, OverflowError):
        return None
    columns = [table[column].to_numpy() for column in table.columns]
    is_whole = len(columns) == len(form.columns) and len(table) and min(column.min() for column in columns) >= 0
    return columns if is_whole else None


def _of_numbers(path: str, form: _Form, columns: list[IntArray], content: bytes) -> PairsFile | None:
    """Return the pairs of a list of whole numbers; nothing if a truth value is none."""
    import pandas as pd

    given = dict(zip(form.columns, columns, strict=True))
    same = given.get("same")
    if same is not None and same.max() > 1:
        return None
    ids = np.union1d(pd.unique(given["one"]), pd.unique(given["other"]))
    rows = np.empty((len(given["one"]), 2), np.int32)
    rows[:, 0], rows[:, 1] = (np.searchsorted(ids, given[name]) for name in ("one", "other"))
    ends = content.count(b"\n") + (not content.endswith(b"\n"))
    lines = np.arange(1, len(rows) + 1, dtype=np.int32) + form.header
    if ends != len(rows) + form.header:
        text = text_of(content, path, "it has to be a list of pairs of templates")
        lines = np.fromiter((number for number, _ in numbered_lines(text)), np.int32)[int(form.header) :]
    fold = pd.factorize(given[FOLD])[0].astype(np.int32) if FOLD in given else None
    return _made(path, [str(number) for number in ids.tolist()], rows, None if same is None else same == 1, fold, lines)


def _of_lines(path: str, form: _Form, text: str) -> PairsFile:
    places: dict[str, int] = {}
    folds: dict[str, int] = {}
    rows, same, fold, lines = array("q"), array("b"), array("q"), array("q")
    problems: list[Problem] = []
    wrong = 0
    content = numbered_lines(text)
    if form.header:
        next(content)
    for number, line in content:
        cells = form.cells(line)
        given = dict(zip(form.columns, cells, strict=False))
        truth = MEANINGS.get(given.get("same", "").lower())
        message = ""
        if len(cells) != len(form.columns) or not all(cells):
            filled = sum(map(bool, cells))
            count = f"{filled} field{'s' if filled != 1 else ''}"
            message = f"has {count}; a line of this list has {len(form.columns)}: {form.wanted}"
        elif "same" in given and truth is None:
            message = f"{given['same'][:100]!r} is neither 1 nor 0: 1 means that both templates show one person"
        if message:
            wrong += 1
            if wrong <= MAX_LISTED:
                problems.append(Problem(message, f"{path}:{number}"))
            continue
        for cell in cells[:2]:
            rows.append(places.setdefault(one_id(cell), len(places)))
        same.append(truth or False)
        fold.append(folds.setdefault(given.get(FOLD, ""), len(folds)))
        lines.append(number)
    if problems:
        raise InputError(first_of(problems, "and {} more lines", path, wrong))
    if not lines:
        raise InputError(Problem("lists no pair; add lines with two templates each", path))
    return _made(
        path,
        list(places),
        np.frombuffer(rows, np.int64).reshape(-1, 2),
        np.frombuffer(same, np.int8) == 1 if "same" in form.columns else None,
        np.frombuffer(fold, np.int64) if FOLD in form.columns else None,
        np.frombuffer(lines, np.int64),
    )


def _made(
    path: str, templates: list[str], rows: IntArray, same: BoolArray | None, fold: IntArray | None, lines: IntArray
) -> PairsFile:
    # Where there are no folds, one number stands for all.
    folds = np.broadcast_to(np.zeros(1, np.int32), len(rows)) if fold is None else fold
    names = tuple((template, NO_NUMBER) for template in templates)
    return PairsFile(path, names, rows, same, folds, lines, of_templates=True)
