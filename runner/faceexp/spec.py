"""From a TOML file to an :class:`~faceexp.experiment.Experiment`, with a file and line for every mistake."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

from faceexp.contract import RESERVED
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.experiment import Experiment, Finetune, LossEntry, ModelRef, PluginRef, Pretrain

Path_ = tuple[str | int, ...]
T = TypeVar("T", bound=BaseModel)

MAX_FILE_BYTES = 1_000_000
MAX_LABEL = 200
LISTED = "`faceexp list-plugins` shows the names"


@dataclass(frozen=True)
class Document:
    """A TOML file as it was read.

    Attributes:
        name: How the file is called in messages.
        text: Its text.
        data: Its content, with ``--set`` overrides applied.
        overrides: Where each overridden value was written.
    """

    name: str
    text: str
    data: dict[str, Any]
    overrides: Mapping[Path_, str] = field(default_factory=dict)

    @cached_property
    def _lines(self) -> dict[Path_, int]:
        return locate(self.text)

    def where(self, path: Path_) -> str:
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

    def problem(self, path: Path_, message: str) -> Problem:
        """Return a problem at a key of this file: ``file:line: losses[2].margn: message``."""
        prefix = f"{spell(path)}: " if path else ""
        return Problem(prefix + message, self.where(path))


@dataclass(frozen=True)
class Reference:
    """A place in the file that names a plugin; the registry says whether it exists and takes these options."""

    kind: str
    name: str
    options: Mapping[str, Any]
    path: Path_


def spell(path: Path_) -> str:
    """Write a path as people do: ``("losses", 2, "margin")`` becomes ``losses[2].margin``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def locate(text: str) -> dict[Path_, int]:
    """Return the line, counted from 1, at which each key and table of a valid TOML text first appears.

    A statement, that is a ``[header]`` or a ``key = value``, ends at the first line at which the lines since the one
    before parse as TOML. What it defines belongs to the last header; inside an array of tables, to its last table.
    """
    lines = text.split("\n")
    found: dict[Path_, int] = {}
    tables: dict[Path_, int] = {}
    header: Path_ = ()
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
            found.setdefault(path, start + 1)
        start = end
    return found


def _enter(statement: Mapping[str, Any], tables: dict[Path_, int]) -> Path_:
    """Return the path of the table that a header opens, and count the tables of each array in ``tables``."""
    path: Path_ = ()
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


def _paths(value: object, prefix: Path_ = ()) -> Iterator[Path_]:
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
    places: dict[Path_, str] = {}
    problems = []
    for override in overrides:
        try:
            places[_override(data, override)] = f"--set {override}"
        except ValueError as error:
            problems.append(Problem(str(error), f"--set {override}"))
    if problems:
        raise InputError(problems)
    return Document(name, text, data, places)


def _override(data: dict[str, Any], override: str) -> Path_:
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


def parse(document: Document) -> tuple[Experiment | None, list[Problem], list[Reference]]:
    """Return the experiment, every mistake in it, and every place that names a plugin.

    The experiment is ``None`` where there are mistakes; the references are found all the same, so that the plugins'
    own options can be checked in the same pass.
    """
    problems: list[Problem] = []
    data = dict(document.data)
    references: list[Reference] = []
    for key, model in (("dataset", PluginRef), ("model", ModelRef)):
        if key in data:
            data[key] = _plugin_table(document, data[key], (key,), model, problems, references, key)
    if isinstance(data.get("finetune"), dict):
        data["finetune"] = _with_sampler(document, data["finetune"], ("finetune",), problems, references)
    data["losses"] = _losses(document, data, problems, references)
    experiment = None
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        # Losses are checked one by one below, where their place in the file is known.
        problems += [
            problem for item, problem in _explain(document, error, (), Experiment) if not (item and item[0] == "losses")
        ]
    return (None if problems else experiment), problems, references


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems as they stand in the file, each once."""

    def line(problem: Problem) -> int:
        match = re.search(r":(\d+)$", problem.where)
        return int(match.group(1)) if match else 0

    return sorted(dict.fromkeys(problems), key=line)


def _plugin_table(
    document: Document,
    table: object,
    path: Path_,
    model: type[PluginRef],
    problems: list[Problem],
    references: list[Reference],
    kind: str,
) -> object:
    """Move a plugin's own options out of the flat table into ``options``."""
    if not isinstance(table, dict):
        return table
    own = set(model.model_fields) - {"options"}
    options = {key: value for key, value in table.items() if key not in own}
    if isinstance(table.get("plugin"), str):
        references.append(Reference(kind, table["plugin"], options, path))
    elif "plugin" not in table:
        problems.append(document.problem(path, f'names no plugin; add plugin = "..." ({kind}); {LISTED}'))
        # Said once is enough.
        return {**{key: table[key] for key in own & set(table)}, "options": options, "plugin": ""}
    return {**{key: table[key] for key in own & set(table)}, "options": options}


def _with_sampler(
    document: Document, table: dict[str, Any], path: Path_, problems: list[Problem], references: list[Reference]
) -> dict[str, Any]:
    if "sampler" not in table:
        problems.append(
            document.problem(path, f'names no sampler; add [finetune.sampler] with plugin = "..."; {LISTED}')
        )
        return {**table, "sampler": {"plugin": ""}}
    sampler = _plugin_table(document, table["sampler"], (*path, "sampler"), PluginRef, problems, references, "sampler")
    return {**table, "sampler": sampler}


def _losses(
    document: Document, data: Mapping[str, Any], problems: list[Problem], references: list[Reference]
) -> tuple[LossEntry, ...]:
    tables = document.data.get("losses")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        problems.append(
            document.problem(("losses",), f'no loss to compare; add [[losses]] with plugin = "..."; {LISTED}')
        )
        return ()
    entries: list[LossEntry] = []
    seen: dict[str, int] = {}
    for index, table in enumerate(tables):
        for entry in _expand(document, table, index, data, problems, references):
            if entry.label in seen:
                message = (
                    f"label {entry.label!r} is already that of losses[{seen[entry.label]}]; give each its own label"
                )
                problems.append(document.problem(("losses", index), message))
            seen.setdefault(entry.label, index)
            entries.append(entry)
    return tuple(entries)


def _expand(
    document: Document,
    table: dict[str, Any],
    index: int,
    data: Mapping[str, Any],
    problems: list[Problem],
    references: list[Reference],
) -> Iterator[LossEntry]:
    """Yield the entries of one ``[[losses]]`` table: one, or one for each point of its grid."""
    path: Path_ = ("losses", index)
    name = table.get("plugin")
    if not isinstance(name, str):
        problems.append(document.problem(path, f'names no plugin; add plugin = "..." (loss); {LISTED}'))
        return
    label = table.get("label", name)
    if not isinstance(label, str) or not label.strip():
        problems.append(document.problem((*path, "label"), "must be a text, not empty"))
        return
    pretrain = _override_table(document, data, table, path, "pretrain", Pretrain, problems)
    finetune = _override_finetune(document, data, table, path, problems, references)
    options = {key: value for key, value in table.items() if key not in RESERVED}
    grid = table.get("grid", {})
    if not isinstance(grid, dict) or any(not isinstance(values, list) or not values for values in grid.values()):
        problems.append(document.problem((*path, "grid"), "must be a table of lists: grid = { margin = [0.5, 1.0] }"))
        grid = {}
    for key in grid:
        if key in RESERVED or key in options:
            why = "is reserved" if key in RESERVED else "is also given outside the grid"
            problems.append(document.problem((*path, "grid", key), f"{why}; a grid holds options of the loss"))
    for point in itertools.product(*grid.values()):
        chosen = dict(zip(grid, point, strict=True))
        references.append(Reference("loss", name, {**options, **chosen}, path))
        if pretrain is None or finetune is None:
            continue
        row = label + _spell_options(chosen if grid or "label" in table else options)
        if len(row) > MAX_LABEL or not row.isprintable():
            message = f"must be printable and of {MAX_LABEL} letters at most, not {_short(row)}; set a shorter label"
            problems.append(document.problem((*path, "label"), message))
            return
        yield LossEntry(
            plugin=name,
            label=row,
            options={**options, **chosen},
            pretrain=pretrain,
            finetune=finetune,
            index=index,
        )


def _spell_options(options: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key}={_spell_value(value)}' for key, value in options.items())})" if options else ""


def _spell_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # Short, but never so short that two values look the same.
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def _override_table(
    document: Document,
    data: Mapping[str, Any],
    table: Mapping[str, Any],
    path: Path_,
    key: str,
    model: type[T],
    problems: list[Problem],
) -> T | None:
    """Return a table with a loss's overrides; mistakes are reported where they were written."""
    base, own = data.get(key, {}), table.get(key, {})
    if not isinstance(base, dict):
        return None
    if not isinstance(own, dict):
        problems.append(document.problem((*path, key), "must be a table"))
        return None
    try:
        return model.model_validate({**base, **own})
    except ValidationError as error:
        problems += [
            problem for item, problem in _explain(document, error, (*path, key), model) if item and item[0] in own
        ]
        return None


def _override_finetune(
    document: Document,
    data: Mapping[str, Any],
    table: Mapping[str, Any],
    path: Path_,
    problems: list[Problem],
    references: list[Reference],
) -> Finetune | None:
    own = table.get("finetune")
    if isinstance(own, dict) and isinstance(own.get("sampler"), dict):
        sampler = own["sampler"]
        base = document.data.get("finetune", {})
        inherited = base.get("sampler") if isinstance(base, dict) else None
        if "plugin" not in sampler and isinstance(inherited, dict):
            # Options alone change the shared sampler; another plugin starts afresh.
            sampler = {**inherited, **sampler}
        here = (*path, "finetune", "sampler")
        moved = _plugin_table(document, sampler, here, PluginRef, problems, references, "sampler")
        table = {**table, "finetune": {**own, "sampler": moved}}
    return _override_table(document, data, table, path, "finetune", Finetune, problems)


def _explain(
    document: Document, error: ValidationError, prefix: Path_, model: type[BaseModel]
) -> Iterator[tuple[Path_, Problem]]:
    """Yield ``(path inside the table, problem)`` for every error pydantic found."""
    for item in mistakes(error):
        inner = tuple(part for part in item["loc"] if part != "options")
        path = (*prefix, *inner)
        yield inner, document.problem(path, explain(item, _known(model, inner)))


def mistakes(error: ValidationError) -> list[Any]:
    """Return the errors pydantic found, without those that only follow from others: a list short of its bad items."""
    found = error.errors(include_url=False)
    return [
        item
        for item in found
        if item["type"] != "too_short"
        or not any(
            len(other["loc"]) > len(item["loc"]) and other["loc"][: len(item["loc"])] == item["loc"] for other in found
        )
    ]


def _known(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the keys that exist beside the last one of a path."""
    current: Any = model
    for part in path[:-1]:
        fields = current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}
        current = fields[part].annotation if isinstance(part, str) and part in fields else None
    if isinstance(current, type) and issubclass(current, BaseModel):
        return sorted(current.model_fields)
    return []


WANTED = {
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
}


def explain(item: Mapping[str, Any], known: list[str]) -> str:
    """Say in one sentence what pydantic found wrong with a value, and what to do.

    Args:
        item: One of ``ValidationError.errors()``.
        known: The keys that exist in its place.
    """
    kind, loc = item["type"], item["loc"]
    if kind in WANTED:
        return f"must be {WANTED[kind].format(**item.get('ctx', {}))}, not {_short(item['input'])}"
    if kind == "extra_forbidden":
        hint = did_you_mean(str(loc[-1]), known)
        return f"unknown key{'; ' + hint if hint else ''}"
    if kind == "missing":
        table = len(loc) == 1 and loc[-1] in ("dataset", "model", "protocol", "finetune")
        add = f"add [{loc[-1]}]" if table else f"add {loc[-1]}"
        return f"is missing; {'the list is too short' if isinstance(loc[-1], int) else add}"
    message, should_be = str(item["msg"]).removeprefix("Value error, "), "Input should be "
    if kind == "string_pattern_mismatch":
        message, should_be = "letters, digits, '.', '_' and '-', beginning with a letter or digit", ""
    if kind == "value_error" and isinstance(item["input"], dict):
        # About several options together: the message names them.
        return message
    if message.startswith(should_be):
        return f"must be {message.removeprefix(should_be)}, not {_short(item['input'])}"
    return f"{message[:1].lower()}{message[1:]} (is {_short(item['input'])})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def dump(experiment: Experiment) -> str:
    """Return the resolved experiment as TOML that :func:`read` takes again: grids spelled out, defaults filled in."""
    data = experiment.model_dump(mode="json", exclude={"losses"}, exclude_none=True)
    for table in (data["dataset"], data["model"], data["finetune"]["sampler"]):
        table.update(table.pop("options"))
    losses = []
    for entry in experiment.losses:
        loss: dict[str, Any] = {"plugin": entry.plugin, "label": entry.label, **entry.options}
        if entry.pretrain != experiment.pretrain:
            loss["pretrain"] = entry.pretrain.model_dump(mode="json", exclude_none=True)
        if entry.finetune != experiment.finetune:
            loss["finetune"] = entry.finetune.model_dump(mode="json", exclude_none=True)
            sampler = loss["finetune"]["sampler"]
            sampler.update(sampler.pop("options"))
        losses.append(loss)
    return tomli_w.dumps({**data, "losses": losses})
