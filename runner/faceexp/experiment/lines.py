"""The text of a TOML file as statements: at which line each begins, and whether one is too much for the TOML parser.

Only brackets, quotes and comments are told apart here; what they mean is the business of ``tomllib``.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str | int, ...]
# What TOML gives for a table: nothing is known of its values until `parse` has checked them.
TomlTable = dict[str, Any]

# Far more than an experiment needs, and far less than what the parser, which calls itself for each level, can take.
MAX_DEPTH = 16
# Of a number or of a key without quotes. Python refuses to read whole numbers of more than 4300 digits.
MAX_WORD = 1000

# Every part of this takes what it can and never goes back, so that the time is proportional to the length of the text.
_TOKEN = re.compile(
    r'''
    """(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}   # text in quotes: of several lines
    | \'\'\'(?:[^']|'{1,2}(?!'))*+'{3,5}
    | "(?:[^"\\\n]|\\[^\n])*+"              # of one line
    | '[^'\n]*+'
    | \#[^\n]*+                             # a comment
    | [\[\]{}.,=\n]
    | [^\s"'\#\[\]{}.,=]++                  # a number, a date, or a part of a key
    | ["']                                  # a quote that is never closed
    ''',
    re.VERBOSE | re.DOTALL,
)


def too_much(text: str) -> tuple[int, str] | None:
    """Return the first line that the TOML parser should not be given, and why, or ``None``."""
    line, depth, parts = 1, 0, 1
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece in ('"', "'"):
            return None  # The parser stops here, too, and says why.
        if piece in ("[", "{"):
            depth, parts = depth + 1, 1
        elif piece in ("]", "}"):
            depth -= 1
        elif piece == ".":
            parts += 1
        elif piece in ("=", ",", "\n"):
            parts = 1
        elif len(piece) > MAX_WORD and piece[0] not in "\"'#":
            return line, f"a number or a key without quotes has more than {MAX_WORD:,} letters"
        if depth > MAX_DEPTH:
            return line, f"lists and tables are nested more than {MAX_DEPTH} levels deep"
        if parts > MAX_DEPTH:
            return line, f"a key has more than {MAX_DEPTH} parts"
        line += piece.count("\n")
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each statement, a header or a pair, of a valid TOML text."""
    line = first_line = 1
    start = depth = 0
    empty = True
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece in ("[", "{"):
            depth += 1
        elif piece in ("]", "}"):
            depth -= 1
        line += piece.count("\n")
        if piece == "\n" and depth == 0:
            if not empty:
                yield first_line, text[start : match.end()]
            start, first_line, empty = match.end(), line, True
        elif piece[0] != "#":
            empty = False
    if not empty:
        yield first_line, text[start:]


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, at which each key and table of a valid TOML text first appears.

    A statement is a ``[header]`` or a ``key = value``. What a value defines belongs to the last header; inside an array
    of tables, to its last table. What is inside a list is where the item of the list begins.
    """
    lines_of_keys: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}
    header: KeyPath = ()
    for line, statement in _statements(text):
        parsed = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            header = _enter(parsed, tables)
            new = [(header[:depth], line) for depth in range(1, len(header) + 1)]
        else:
            items = _lines_of_items(statement, line)
            new = [((*header, *path), items.get(_item(path), line)) for path, _ in walk(parsed)]
        for path, begins in new:
            lines_of_keys.setdefault(path, begins)
    return lines_of_keys


def _item(path: KeyPath) -> KeyPath:
    """Return the numbers that lead to an item of the list which a key holds; none where it holds something else."""
    inside = itertools.dropwhile(lambda part: isinstance(part, str), path)
    return tuple(itertools.takewhile(lambda part: isinstance(part, int), inside))


def _lines_of_items(statement: str, line: int) -> dict[KeyPath, int]:
    """Return the line at which each item of ``key = [...]`` begins, those of lists inside the list included."""
    lines: dict[KeyPath, int] = {}
    place: list[int] = []
    braces = 0
    for match in _TOKEN.finditer(statement):
        piece = match[0]
        if braces or piece in ("{", "}"):
            if place and not braces:
                lines.setdefault(tuple(place), line)
            braces += (piece == "{") - (piece == "}")
        elif piece == "]":
            place.pop()
        elif piece == ",":
            place[-1] += 1
        elif piece[0] not in "\n#":
            if place:
                lines.setdefault(tuple(place), line)
            if piece == "[":
                place.append(0)
        line += piece.count("\n")
    return lines


def _enter(statement: TomlTable, tables: dict[KeyPath, int]) -> KeyPath:
    """Return the path of the table that a header opens, and count the tables of each array in ``tables``."""
    path: KeyPath = ()
    current: Any = statement
    while current:
        (key,) = current
        path, current = (*path, key), current[key]
        if isinstance(current, list):
            tables[path] = tables.get(path, -1) + 1
            current = current[0]
        if path in tables:
            path = (*path, tables[path])
    return path


def walk(data: object) -> Iterator[tuple[KeyPath, object]]:
    """Yield the path and the value of everything inside a table or list, what is around before what is inside."""
    waiting: list[tuple[KeyPath, object]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if path:
            yield path, value
        if isinstance(value, dict):
            waiting += reversed([((*path, key), child) for key, child in value.items()])
        elif isinstance(value, list):
            waiting += reversed([((*path, index), child) for index, child in enumerate(value)])
