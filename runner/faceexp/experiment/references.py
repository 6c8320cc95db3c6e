"""Where an experiment file names a plugin, whose options stand in one table with other keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from faceexp.errors import Problem
from faceexp.experiment.detect import Detect, inheriting
from faceexp.experiment.executor import ExecutorRef
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.schema import PluginRef
from faceexp.experiment.toml import Document

SEE_LIST = "`faceexp list-plugins` shows the names"


@dataclass(frozen=True)
class Reference:
    """A place in the file that names a plugin; the registry says whether it exists and takes these options."""

    kind: str
    name: str
    options: TomlTable
    path: KeyPath


def shared_by(path: KeyPath) -> KeyPath:
    """Return the place of the table from which one of a loss or of a test set takes what it does not say itself."""
    return ("preprocess", *path[2:]) if path[0] == "test_sets" else path[2:]


def plugin_table(
    document: Document,
    table: object,
    path: KeyPath,
    model: type[BaseModel],
    problems: list[Problem],
    references: list[Reference],
    kind: str,
) -> Any:  # noqa: ANN401 - whatever the file has there
    """Move the options of a plugin, which the file has in one table with other keys, into ``options``."""
    if not isinstance(table, dict):
        return table
    keys = set(model.model_fields) - {"options", "index"}
    options = {key: value for key, value in table.items() if key not in keys}
    if isinstance(table.get("plugin"), str):
        references.append(Reference(kind, table["plugin"], options, path))
    elif "plugin" not in table:
        problems.append(document.problem(path, f'names no plugin; add plugin = "..." ({kind}); {SEE_LIST}'))
        # An empty name is not reported a second time.
        return {**{key: table[key] for key in keys & set(table)}, "options": options, "plugin": ""}
    return {**{key: table[key] for key in keys & set(table)}, "options": options}


def with_classifier(
    document: Document, around: TomlTable, path: KeyPath, problems: list[Problem], references: list[Reference]
) -> TomlTable:
    """Return the file, or a loss, in which the loss of ``pretrain`` is a plugin with its options moved.

    The file has its name alone, or a table.
    """
    table = around.get("pretrain")
    if not isinstance(table, dict) or "loss" not in table:
        return around
    named = {"plugin": table["loss"]} if isinstance(table["loss"], str) else table["loss"]
    place = (*path, "pretrain", "loss")
    loss = plugin_table(document, named, place, PluginRef, problems, references, "loss")
    return {**around, "pretrain": {**table, "loss": loss}}


def sets_of(document: Document, problems: list[Problem], references: list[Reference]) -> TomlTable:
    """Return the tables [[test_sets]] with options of their plugins moved, if the file has such."""
    tables = document.data.get("test_sets")
    if not isinstance(tables, list):
        return {}
    preprocess = document.data.get("preprocess")
    shared = preprocess.get("detect") if isinstance(preprocess, dict) else None
    moved: list[object] = []
    # Capitals do not count: sets name files, too.
    names = [str(entry.get("name")).casefold() if isinstance(entry, dict) else None for entry in tables]
    for place, entry in enumerate(tables):
        if names[place] is not None and names.index(names[place]) < place and "name" in entry:
            message = f"is already the name of test_sets[{names.index(names[place])}]; give each its own"
            problems.append(document.problem(("test_sets", place, "name"), message))
        if not isinstance(entry, dict):
            moved.append(entry)
            continue
        changed: TomlTable = {}
        if "dataset" in entry:
            path: KeyPath = ("test_sets", place, "dataset")
            changed["dataset"] = plugin_table(
                document, entry["dataset"], path, PluginRef, problems, references, "dataset"
            )
        if isinstance(entry.get("detect"), dict):
            path, whole = ("test_sets", place, "detect"), inheriting(entry["detect"], shared)
            changed["detect"] = plugin_table(document, whole, path, Detect, problems, references, "detector")
        moved.append({**entry, **changed})
    return {"test_sets": moved}


def trackers_of(document: Document, problems: list[Problem], references: list[Reference]) -> TomlTable:
    """Return the tables [[trackers]] with options of their plugins moved, if the file has such."""
    tables = document.data.get("trackers")
    if not isinstance(tables, list):
        return {}
    moved = [
        plugin_table(document, table, ("trackers", place), PluginRef, problems, references, "tracker")
        for place, table in enumerate(tables)
    ]
    return {"trackers": moved}


def executor_of(document: Document, problems: list[Problem], references: list[Reference]) -> TomlTable:
    """Return the table [executor] with the options of its plugin moved, if the file has one."""
    table = document.data.get("executor")
    if not isinstance(table, dict):
        return {}
    return {"executor": plugin_table(document, table, ("executor",), ExecutorRef, problems, references, "executor")}
