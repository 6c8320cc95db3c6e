"""What ``--set`` gives for a text is a text, even where it looks like something else: ``--set name=2024``.

A shell takes the quotes away, so that only the schema, or the plugin whose option it is, can say what was meant.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

from pydantic import PydanticUserError

from faceexp.errors import InputError
from faceexp.experiment.detect import USUAL
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.references import shared_by
from faceexp.experiment.schema import Experiment
from faceexp.experiment.toml import Document
from faceexp.registry.describe import JsonSchema
from faceexp.registry.installed import BrokenPluginError, Registry

# Where a file names plugins, and of which kind; 0 stands for any number.
_PLUGINS: dict[KeyPath, str] = {
    ("dataset",): "dataset",
    ("test_sets", 0, "dataset"): "dataset",
    ("preprocess", "detect"): "detector",
    ("test_sets", 0, "detect"): "detector",
    ("model",): "model",
    ("pretrain", "loss"): "loss",
    ("pretrained", 0): "model",
    ("trackers", 0): "tracker",
    ("executor",): "executor",
    ("finetune", "sampler"): "sampler",
    ("losses", 0): "loss",
    ("losses", 0, "combine", 0): "loss",
    ("losses", 0, "pretrain", "loss"): "loss",
    ("losses", 0, "finetune", "sampler"): "sampler",
}


def with_words(document: Document, registry: Registry) -> Document:
    """Return the document in which each value of ``--set`` is the text as it was written, where a text is wanted."""
    if not document.overrides:
        return document
    data, tables = copy.deepcopy(document.data), Experiment.model_json_schema()
    for path, override in document.overrides.items():
        value = _at(data, path)
        if not isinstance(value, str) and _wants_text(data, path, tables, registry, value):
            container: Any = _at(data, path[:-1])
            container[path[-1]] = override.text
    return dataclasses.replace(document, data=data)


def _wants_text(data: TomlTable, path: KeyPath, tables: JsonSchema, registry: Registry, value: object) -> bool:
    schema, inner = tables, path
    for length in range(len(path) - 1, 0, -1):
        kind = _PLUGINS.get(tuple(0 if isinstance(part, int) else part for part in path[:length]))
        if kind is None:
            continue
        options = _options(data, path[:length], kind, registry)
        key = path[length:]
        # A grid holds a list of values for an option.
        key = (key[1], *key[3:]) if kind == "loss" and key[0] == "grid" and len(key) > 2 else key
        if key[0] in options.get("properties", {}):
            schema, inner = options, key
        break
    types = {place.get("type") for place in _places(schema, inner)}
    return "string" in types and not types & _types(value)


def _options(data: TomlTable, path: KeyPath, kind: str, registry: Registry) -> JsonSchema:
    """Return the JSON schema of the options of the plugin that a table names, or an empty one."""
    # A sampler of a loss that names no plugin is the shared one, and so is a detector of a test set.
    name = _at(data, (*path, "plugin")) or _at(data, (*shared_by(path), "plugin"))
    if name is None and kind == "detector":
        name = USUAL
    try:
        return registry.find(kind, name).load().model_json_schema() if isinstance(name, str) else {}
    except (InputError, BrokenPluginError, PydanticUserError):
        return {}


def _at(data: TomlTable, path: KeyPath) -> object:
    value: Any = data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _places(schema: JsonSchema, path: KeyPath) -> list[JsonSchema]:
    """Return what a JSON schema says of a place: several schemas where it allows several types."""
    places = [*_alternatives(schema, schema)]
    for part in path:
        children = [child for place in places for child in _children(place, part)]
        places = [alternative for child in children for alternative in _alternatives(child, schema)]
    return places


def _children(place: JsonSchema, part: str | int) -> Iterator[JsonSchema]:
    if isinstance(part, int):
        items = [*place.get("prefixItems", ()), place.get("items")]
        child = items[min(part, len(items) - 1)]
    else:
        child = place.get("properties", {}).get(part, place.get("additionalProperties"))
    if isinstance(child, dict):
        yield child


def _alternatives(place: JsonSchema, schema: JsonSchema) -> Iterator[JsonSchema]:
    if "$ref" in place:
        yield from _alternatives(schema["$defs"][place["$ref"].rpartition("/")[2]], schema)
    elif "anyOf" in place:
        for alternative in place["anyOf"]:
            yield from _alternatives(alternative, schema)
    else:
        yield place


def _types(value: object) -> set[str]:
    """Return the types of JSON that a value of TOML is."""
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    return {"number" if isinstance(value, float) else "object" if isinstance(value, dict) else "array"}
