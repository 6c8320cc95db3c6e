"""Ranges that stand in an experiment file in the place of values: where they are, and what is checked of them."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from faceexp.contract import RESERVED
from faceexp.errors import Problem
from faceexp.experiment.combined import usual_name
from faceexp.experiment.lines import KeyPath, TomlTable, walk
from faceexp.experiment.messages import explain, mistakes
from faceexp.experiment.search import Between, OneOf, Space
from faceexp.experiment.toml import Document, spell

# The tables in which a value may be searched for: those of all losses, and those that each has of its own. Data and
# protocol are the same for every loss.
SHARED = ("model", "pretrain", "finetune")
TABLES = (*SHARED, "losses")
# Of those, the ones that all losses share; they are searched before the losses are.
PHASE1 = ("model", "pretrain")
MARKS = frozenset({"low", "high", "choices"})
# Keys that are no settings to be tuned, by the table in which they stand.
UNTUNED = {"model": ("precision",), "pretrain": ("replicas",)}
# What every loss has to be given alike, so that none has a better chance than another, by the table in which it stands.
ALIKE = {"finetune": ("steps", "validate_every"), "pretrain": ("epochs", "replicas")}
# Keys of a loss that are no values of it.
NAMES = RESERVED - {"pretrain", "finetune", "combine"}
# How deep the keys of tables inside the table of a loss are, counted from the whole file.
DEPTHS = {"pretrain": 4, "finetune": 4, "combine": 5}


@dataclass(frozen=True)
class Ranges:
    """Every range of a file.

    Attributes:
        spaces: The ranges by their places; in the place of one that is none, something that may be looked at.
        problems: What is wrong with them.
        wrong: The places of those that are no ranges.
    """

    spaces: Mapping[KeyPath, Space]
    problems: tuple[Problem, ...]
    wrong: tuple[KeyPath, ...]

    def besides(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Yield those problems that are not about a value which stands in the place of a range that is none."""
        told = tuple(f"{spell(path)}{end}" for path in self.wrong for end in (": ", ".", "["))
        return (problem for problem in problems if not problem.message.startswith(told))


def ranges_of(document: Document) -> Ranges:
    """Return every range of a file."""
    spaces: dict[KeyPath, Space] = {}
    problems: list[Problem] = []
    wrong: list[KeyPath] = []
    for path, table in walk(document.data):
        if not isinstance(table, dict) or any(path[: len(at)] == at for at in spaces):
            continue
        if not (_is_range(path, table) if path[0] in TABLES else _is_misplaced(document, table)):
            continue
        try:
            spaces[path] = (OneOf if "choices" in table else Between).model_validate(table)
            message = _out_of_place(document, path)
            if message:
                wrong.append(path)
                problems.append(document.problem(path, message))
        except ValidationError as error:
            keys = sorted(OneOf.model_fields if "choices" in table else Between.model_fields)
            problems += [document.problem((*path, *each["loc"]), explain(each, keys)) for each in mistakes(error)]
            wrong.append(path)
            spaces[path] = _stand_in(table)
    if "search" in document.data:
        problems += _unequal(document)
    return Ranges(spaces, tuple(problems), tuple(wrong))


def _is_range(path: KeyPath, table: TomlTable) -> bool:
    """Return whether a table stands in the place of a value. One that names a plugin has options of these names."""
    if not table.keys() & MARKS or "plugin" in table:
        return False
    # Of whole tables, only those may be chosen that name a plugin.
    if path == ("model",):
        return "choices" in table
    depth = 2 if path[0] in SHARED else DEPTHS.get(str(*path[2:3]), 3)
    return len(path) >= depth and path[2:3] != ("grid",)


def _is_misplaced(document: Document, table: TomlTable) -> bool:
    """Return whether a table is a range where none may be. Without a search, an option may have such tables."""
    is_range = "choices" in table or {"low", "high"} <= table.keys()
    return "search" in document.data and is_range and table.keys() <= Between.model_fields.keys() | {"choices"}


def _stand_in(table: TomlTable) -> Space:
    """Return a range of one value of what is no range: something that may stand in its place."""
    choices = table.get("choices")
    values = choices if isinstance(choices, list) else [table.get("low"), table.get("high")]
    return OneOf.model_construct(choices=[next((value for value in values if value is not None), 1)])


def _out_of_place(document: Document, path: KeyPath) -> str:
    """Return why nothing can be searched for at a place; empty where it can."""
    if "search" not in document.data:
        return "is a range; add [search], which searches it, or write one value"
    if path[0] not in TABLES:
        return f"cannot be searched for: [{path[0]}] is the same for every loss; write one value"
    if path[-1] in UNTUNED.get(str(path[0]), ()):
        reason = "its values differ by how they round, so chance would choose"
        return f"cannot be searched for: {reason}; write one of them"
    if path[0] != "losses":
        is_alike = path[0] == "finetune" and path[-1] in ALIKE["finetune"]
        return f"cannot be searched for: every loss gets the same {path[-1]}; write one number" if is_alike else ""
    is_of_sum = "combine" in document.data["losses"][path[1]]
    name = path[4] if path[2] == "combine" else path[2]
    if name in NAMES or (is_of_sum and path[2] == "distance"):
        return f"cannot be searched for; write a [[losses]] table for each {name}"
    is_alike = path[-1] in ALIKE.get(str(path[2]), ())
    reason = f"cannot be searched for: every loss gets the same {path[-1]}; write one number in [{path[2]}]"
    return reason if is_alike else ""


def _unequal(document: Document) -> Iterator[Problem]:
    """Yield what gives a loss other chances than the rest, or a second way to vary it."""
    tables = document.data.get("losses")
    for index, table in enumerate(tables if isinstance(tables, list) else ()):
        if not isinstance(table, dict):
            continue
        # Without a search, a sum has no grid either, which is told elsewhere.
        if "grid" in table and "combine" not in table:
            message = "is not searched; write { choices = [...] } in the place of each list, or leave [search] out"
            yield document.problem(("losses", index, "grid"), message)
        for name, keys in ALIKE.items():
            own = table.get(name)
            for key in keys:
                # A range in its place is told as one.
                if isinstance(own, dict) and key in own and not isinstance(own[key], dict):
                    message = f"every loss gets the same {key} where settings are searched; write it in [{name}]"
                    yield document.problem(("losses", index, name, key), message)


def with_values(data: TomlTable, values: Mapping[KeyPath, object]) -> TomlTable:
    """Return a copy of the data of a file with values at their places."""
    changed = copy.deepcopy(data)
    for path, value in values.items():
        table: Any = changed
        for part in path[:-1]:
            table = table[part] if isinstance(part, int) else table.setdefault(part, {})
        table[path[-1]] = copy.deepcopy(value)
    return changed


def without(data: TomlTable, paths: Iterable[KeyPath]) -> TomlTable:
    """Return a copy of the data of a file without what stands at some places."""
    changed = copy.deepcopy(data)
    for path in paths:
        table: Any = changed
        for part in path[:-1]:
            table = table[part]
        del table[path[-1]]
    return changed


def representative(space: Space) -> object:
    """Return a value that stands for a range where only one can be looked at."""
    return space.middle if isinstance(space, Between) else space.choices[0]


def settled(document: Document, spaces: Mapping[KeyPath, Space]) -> Document:
    """Return the document with a value in the place of each range; no row is named after such a value."""
    values = {path: representative(space) for path, space in spaces.items()}
    for index in {path[1] for path in spaces if path[0] == "losses"}:
        table = document.data["losses"][index]
        plain = without(table, [path[2:] for path in spaces if path[:2] == ("losses", index)])
        if "label" not in table and (name := usual_name(plain)):
            values["losses", index, "label"] = name
    return dataclasses.replace(document, data=with_values(document.data, values)) if values else document


def extremes(document: Document, spaces: Mapping[KeyPath, Space]) -> Iterator[tuple[Document, frozenset[KeyPath]]]:
    """Yield documents that together have both ends of every range, and each choice; all else is usual.

    Whoever checks these finds every mistake in ranges, such as an end that an option does not take. Tables that have
    nothing to do with each other vary side by side: each loss, and each table that losses share.

    Yields:
        A document, and the tables that have several ranges: values of these may exclude each other only together.
    """
    usual = {path: representative(space) for path, space in spaces.items()}
    variants: dict[KeyPath, list[tuple[KeyPath, object]]] = {}
    several: dict[KeyPath, int] = {}
    for path, space in spaces.items():
        table = path[:2] if path[0] == "losses" else path[:1]
        several[table] = several.get(table, 0) + 1
        variants.setdefault(table, []).extend((path, value) for value in _to_check(space))
    together = frozenset(table for table, number in several.items() if number > 1)
    for row in itertools.zip_longest(*variants.values()):
        chosen = usual | dict(each for each in row if each)
        yield dataclasses.replace(document, data=with_values(document.data, chosen)), together


def _to_check(space: Space) -> list[Any]:
    """Return values of a range: where any of it is refused, one of these is, if bounds are all that a plugin asks."""
    if isinstance(space, OneOf):
        return space.choices
    return [space.low, space.high, *([space.low + space.step] if space.step else [])]


def ranges_as_text(spaces: Mapping[KeyPath, Space]) -> dict[str, str]:
    """Return every range by its place, both in words."""
    return {spell(path): str(space) for path, space in spaces.items()}
