"""Ranges that stand in an experiment file in the place of values: where they are, and what is checked of them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from faceexp.contract import RESERVED
from faceexp.errors import Problem
from faceexp.experiment.lines import KeyPath, TomlTable, walk
from faceexp.experiment.messages import explain, mistakes
from faceexp.experiment.parse import spell_options
from faceexp.experiment.search import Between, OneOf, Space
from faceexp.experiment.toml import Document, spell

# The tables in which a value may be searched for. Data and protocol are the same for every loss.
TABLES = ("finetune", "pretrain", "losses")
MARKS = frozenset({"low", "high", "choices"})
# What every loss has to be given alike, so that none has a better chance than another.
SHARED = ("steps", "validate_every")


def ranges_of(document: Document) -> tuple[dict[KeyPath, Space], list[Problem]]:
    """Return every range of a file by its place, and what is wrong with those that are none."""
    spaces: dict[KeyPath, Space] = {}
    problems: list[Problem] = []
    for path, table in walk(document.data):
        if not isinstance(table, dict) or not table.keys() & MARKS or any(path[: len(at)] == at for at in spaces):
            continue
        if path[0] not in TABLES or len(path) < (3 if path[0] == "losses" else 2) or path[2:3] == ("grid",):
            continue
        try:
            spaces[path] = (OneOf if "choices" in table else Between).model_validate(table)
        except ValidationError as error:
            for mistake in mistakes(error):
                keys = sorted(OneOf.model_fields if "choices" in table else Between.model_fields)
                problems.append(document.problem((*path, *mistake["loc"]), explain(mistake, keys)))
            spaces[path] = OneOf.model_construct(choices=[None])
    problems += list(_misplaced(document, spaces))
    return spaces, problems


def _misplaced(document: Document, spaces: Mapping[KeyPath, Space]) -> Iterator[Problem]:
    """Yield ranges without a search, and what gives losses unequal chances."""
    if "search" not in document.data:
        for path in spaces:
            yield document.problem(path, "is a range; add [search], which searches it, or write one value")
        return
    for path in spaces:
        if path[-1] in SHARED:
            yield document.problem(path, f"cannot be searched: every loss gets the same {path[-1]}; write one number")
        if path[0] == "pretrain":
            message = "cannot be searched for all losses together, since they share phase 1; write it in a loss's table"
            yield document.problem(path, f"{message}, as pretrain = {{ {path[-1]} = ... }}")
    yield from _unequal(document)


def _unequal(document: Document) -> Iterator[Problem]:
    """Yield what gives a loss other chances than the rest, or a second way to vary it."""
    tables = document.data.get("losses")
    for index, table in enumerate(tables if isinstance(tables, list) else ()):
        if not isinstance(table, dict):
            continue
        if "grid" in table:
            message = "is not searched; write { choices = [...] } in the place of each list, or leave [search] out"
            yield document.problem(("losses", index, "grid"), message)
        finetune = table.get("finetune")
        for key in SHARED:
            if isinstance(finetune, dict) and key in finetune:
                message = f"every loss gets the same {key} where settings are searched; write it in [finetune]"
                yield document.problem(("losses", index, "finetune", key), message)


def with_values(data: TomlTable, values: Mapping[KeyPath, object]) -> TomlTable:
    """Return a copy of the data of a file with values at their places."""
    changed = copy.deepcopy(data)
    for path, value in values.items():
        table: Any = changed
        for part in path[:-1]:
            table = table[part] if isinstance(part, int) else table.setdefault(part, {})
        table[path[-1]] = copy.deepcopy(value)
    return changed


def without(data: TomlTable, paths: Iterator[KeyPath] | list[KeyPath]) -> TomlTable:
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
        if "label" not in table and isinstance(table.get("plugin"), str):
            plain = {key: value for key, value in table.items() if key not in RESERVED}
            plain = {key: value for key, value in plain.items() if ("losses", index, key) not in spaces}
            values["losses", index, "label"] = table["plugin"] + spell_options(plain)
    return dataclasses.replace(document, data=with_values(document.data, values)) if values else document


def extremes(document: Document, spaces: Mapping[KeyPath, Space]) -> Iterator[Document]:
    """Yield the document with the lowest values of all ranges, with the highest, and with each choice once.

    So whoever checks these finds every mistake in ranges, such as an end that an option does not take.
    """
    values = {
        path: [space.low, space.high] if isinstance(space, Between) else space.choices for path, space in spaces.items()
    }
    for number in range(max((len(each) for each in values.values()), default=0)):
        chosen = {path: each[min(number, len(each) - 1)] for path, each in values.items()}
        yield dataclasses.replace(document, data=with_values(document.data, chosen))


def ranges_as_text(spaces: Mapping[KeyPath, Space]) -> dict[str, str]:
    """Return every range by its place, both in words."""
    return {spell(path): str(space) for path, space in spaces.items()}
