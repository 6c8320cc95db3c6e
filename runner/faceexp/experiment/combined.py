"""A weighted sum of losses, ``combine = [...]`` in the place of ``plugin``, and the names of rows without a label."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, ValidationError

from faceexp.contract import RESERVED, Distance
from faceexp.errors import Problem, did_you_mean
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.loss_part import OF_PART, LossPart
from faceexp.experiment.messages import explain, mistakes
from faceexp.experiment.references import Reference, plugin_table
from faceexp.experiment.schema import PluginRef
from faceexp.experiment.table import Table
from faceexp.experiment.toml import Document

# More than this are no sum that somebody has thought of.
MAX_PARTS = 20
NO_GRID = "write a [[losses]] table for each setting, all with one setting_of"
NO_SUM = "is a sum within a sum; write its parts beside the others, each with its weight times that of the sum"
# Keys of a table with `combine`, which has no options of its own.
BESIDE = RESERVED - {"plugin", "grid"} | {"distance"}


class Combination(Table):
    """What a table says of a sum."""

    combine: tuple[LossPart, ...] = Field(min_length=1, max_length=MAX_PARTS, strict=False)
    distance: Distance | None = None


def combination_of(
    document: Document, table: TomlTable, path: KeyPath, problems: list[Problem], references: list[Reference]
) -> Combination | None:
    """Return the sum that a ``[[losses]]`` table with ``combine`` asks for; nothing where it is none, which is told."""
    before = len(problems)
    problems += [document.problem((*path, key), message) for key, message in _misplaced(table)]
    given = table["combine"]
    moved = [
        _moved(document, part, (*path, "combine", place), problems, references)
        for place, part in enumerate(given if isinstance(given, list) else ())
    ]
    try:
        read = Combination.model_validate(
            {"combine": moved if isinstance(given, list) else given}
            | {key: table[key] for key in ("distance",) if key in table}
        )
    except ValidationError as error:
        keys = sorted(OF_PART)
        problems += [document.problem((*path, *each["loc"]), explain(each, keys)) for each in mistakes(error)]
        return None
    if len(read.combine) == 1 and read.combine[0].weight == 1:
        message = "has one part of weight 1, which is that loss alone; add a part, or write its plugin without combine"
        problems.append(document.problem((*path, "combine"), message))
    return read if len(problems) == before else None


def _misplaced(table: TomlTable) -> Iterator[tuple[str, str]]:
    """Yield each key that cannot stand beside ``combine``, and what to do about it."""
    for key in table:
        if key == "plugin":
            yield key, "stands beside combine; write one of them"
        elif key == "grid":
            yield key, f"does not vary the parts of combine; {NO_GRID}"
        elif key not in BESIDE:
            near = did_you_mean(key, BESIDE, always_list=False) or "options stand in the parts"
            yield key, f"is no key of a table with combine; {near}"


def _moved(
    document: Document, part: object, path: KeyPath, problems: list[Problem], references: list[Reference]
) -> object:
    """Return a part with the options of its plugin moved into ``options``."""
    if not isinstance(part, dict):
        return part
    if "combine" in part:
        problems.append(document.problem((*path, "combine"), NO_SUM))
        return {"plugin": ""}  # an empty name is not reported a second time
    problems += [
        document.problem(
            (*path, key), f"is no key of a part; {NO_GRID if key == 'grid' else 'write it beside combine'}"
        )
        for key in part
        if key in RESERVED - OF_PART
    ]
    part = {key: value for key, value in part.items() if key not in RESERVED - OF_PART}
    options, apart = options_of_part(part), part.get("options")
    problems += [
        document.problem((*path, "options", key), "is also written beside options; write it once")
        for key in (apart if isinstance(apart, dict) else ())
        if key in part.keys() - OF_PART
    ]
    named = {key: part[key] for key in ("plugin",) if key in part}
    # The weight is not among them, since an option may be called like it.
    moved = plugin_table(document, {**options, **named}, path, PluginRef, problems, references, "loss")
    return {**moved, **{key: part[key] for key in ("weight",) if key in part}}


def options_of_part(part: TomlTable) -> TomlTable:
    """Return the options of the plugin of a part: every other key of it, and what stands in ``options``."""
    apart = part.get("options", {})
    beside = {key: value for key, value in part.items() if key not in OF_PART}
    return {**beside, **(apart if isinstance(apart, dict) else {"options": apart})}


def place_of_option(name: str) -> KeyPath:
    """Return where in a part an option of its plugin is written."""
    return ("options", name) if name in OF_PART else (name,)


def usual_name(table: TomlTable) -> str:
    """Return how the row of a ``[[losses]]`` table is called that has no label: ``arcface(margin=20.0) + 0.01 center``.

    It is empty where the table does not name its plugins.
    """
    if "combine" not in table:
        return _spelled(table.get("plugin"), {key: value for key, value in table.items() if key not in RESERVED})
    parts = table["combine"]
    names = [_name_of_part(part) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return " + ".join(names) if all(names) else ""


def _name_of_part(part: TomlTable) -> str:
    weight, name = part.get("weight", 1), _spelled(part.get("plugin"), options_of_part(part))
    return f"{_spell_value(weight)} {name}" if name and weight != 1 else name


def _spelled(plugin: object, options: TomlTable) -> str:
    return plugin + spell_options(options) if isinstance(plugin, str) else ""


def spell_options(options: TomlTable) -> str:
    """Return the options of a loss as the name of its row has them, in brackets; nothing where there are none."""
    return f"({', '.join(f'{key}={_spell_value(value)}' for key, value in options.items())})" if options else ""


def _spell_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # Short, but never so short that two values look the same.
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
