"""The text of an experiment file: it is read, overridden by ``--set``, and written; every key has its line."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w

from faceexp.errors import InputError, Problem
from faceexp.experiment.schema import Experiment

KeyPath = tuple[str | int, ...]
# What TOML gives for a table: nothing is known of its values until `parse` has checked them.
TomlTable = dict[str, Any]


MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class Document:
    """A TOML file as it was read.

    Attributes:
        name: Name of the file, as messages give it.
        text: Its text.
        data: Its content, with ``--set`` overrides applied.
        overrides: Where each overridden value was written.
    """

    name: str
    text: str
    data: TomlTable
    overrides: Mapping[KeyPath, str] = field(default_factory=dict)

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return locate(self.text)

    def where(self, path: KeyPath) -> str:
        """Return ``file:line`` of a key, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
            if path[:end] in self._lines:
                return f"{self.name}:{self._lines[path[:end]]}"
            for key, place in self.overrides.items():
                if key[:end] == path[:end]:
                    return place
        return self.name

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem at a key of this file: ``file:line: losses[2].margn: message``."""
        prefix = f"{spell(path)}: " if path else ""
        return Problem(prefix + message, self.where(path))


def spell(path: KeyPath) -> str:
    """Write a path as people do: ``("losses", 2, "margin")`` becomes ``losses[2].margin``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, at which each key and table of a valid TOML text first appears.

    A statement, that is a ``[header]`` or a ``key = value``, ends at the first line at which the lines since the one
    before parse as TOML. What it defines belongs to the last header; inside an array of tables, to its last table.
    """
    lines = text.split("\n")
    lines_of_keys: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}
    header: KeyPath = ()
    start = 0
    for end in range(1, len(lines) + 1):
        try:
            statement = tomllib.loads("\n".join(lines[start:end]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        if lines[start].lstrip().startswith("["):
            header = _enter(statement, tables)
            new = [header[:depth] for depth in range(1, len(header) + 1)]
        else:
            new = [(*header, *path) for path in _paths(statement)]
        for path in new:
            lines_of_keys.setdefault(path, start + 1)
        start = end
    return lines_of_keys


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


def _paths(value: object, prefix: KeyPath = ()) -> Iterator[KeyPath]:
    items: Iterator[tuple[str | int, object]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, child in items:
        yield (*prefix, key)
        yield from _paths(child, (*prefix, key))


def read(path: str | Path, overrides: tuple[str, ...] = ()) -> Document:
    """Read a TOML file and apply ``key.path=value`` overrides.

    Raises:
        InputError: The file is missing, not text, too large or not TOML; an override is not ``key=value``.
    """
    name = str(path)
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(Problem("no such file; an experiment is a TOML file", name)) from None
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}; an experiment is a TOML file", name)) from None
    if len(raw) > MAX_FILE_BYTES:
        raise InputError(Problem(f"is larger than {MAX_FILE_BYTES} bytes; an experiment is a short TOML file", name))
    try:
        # Some editors put a byte order mark in front.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(Problem(f"is not UTF-8 text (byte {error.start}); save it as UTF-8", name)) from None
    return parse_text(text, name, overrides)


def parse_text(text: str, name: str, overrides: tuple[str, ...] = ()) -> Document:
    """Parse TOML text; see :func:`read`."""
    # TOML allows both line ends; counting lines is simpler with one.
    text = text.replace("\r\n", "\n")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        match = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        line = match.group(1) if match and match.group(1) else str(text.rstrip("\n").count("\n") + 1)
        hint = "; text must stand in quotes" if "Invalid value" in message else ""
        message = message[: match.start()] if match else message
        raise InputError(Problem(f"is not valid TOML: {message}{hint}", f"{name}:{line}")) from None
    places: dict[KeyPath, str] = {}
    problems = []
    for override in overrides:
        try:
            places[_override(data, override)] = f"--set {override}"
        except ValueError as error:
            problems.append(Problem(str(error), f"--set {override}"))
    if problems:
        raise InputError(problems)
    return Document(name, text, data, places)


def _override(data: TomlTable, override: str) -> KeyPath:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ValueError("write it as table.key=value, for instance finetune.steps=100")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        # A shell has eaten the quotes of a plain word; meaning it as text is the only sense it can make.
        value = text.strip()
    # Messages write losses[2].margin, so this can be written here, too.
    written = re.sub(r"\[(\d+)\]", r".\1", key.strip()).split(".")
    parts: list[str | int] = [int(part) if part.isdecimal() else part for part in written]
    target: Any = data
    for here, following in itertools.pairwise(parts):
        try:
            target = target.setdefault(here, {}) if isinstance(target, dict) else target[here]
        except (IndexError, TypeError, KeyError):
            raise ValueError(f"there is no {here!r} to set {following!r} in") from None
    try:
        target[parts[-1]] = value
    except (IndexError, TypeError):
        raise ValueError(f"{parts[-1]!r} cannot be set there") from None
    return tuple(parts)


def dump(experiment: Experiment) -> str:
    """Return the resolved experiment as TOML that :func:`read` takes again: grids spelled out, defaults filled in."""
    data = experiment.model_dump(mode="json", exclude={"losses"}, exclude_none=True)
    for table in (data["dataset"], data["model"], data["finetune"]["sampler"]):
        table.update(table.pop("options"))
    losses = []
    for entry in experiment.losses:
        loss: TomlTable = {"plugin": entry.plugin, "label": entry.label, **entry.options}
        if entry.pretrain != experiment.pretrain:
            loss["pretrain"] = entry.pretrain.model_dump(mode="json", exclude_none=True)
        if entry.finetune != experiment.finetune:
            loss["finetune"] = entry.finetune.model_dump(mode="json", exclude_none=True)
            sampler = loss["finetune"]["sampler"]
            sampler.update(sampler.pop("options"))
        losses.append(loss)
    return tomli_w.dumps({**data, "losses": losses})
