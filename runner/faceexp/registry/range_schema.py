"""The part of the JSON schema that lets a range stand in the place of a value.

Editors offer what stands in an ``anyOf``; what is wrong is told by ``if``, ``then`` and ``else``, since whatever does
not fit an ``anyOf`` is only said to be "not valid under any of the given schemas". So both are written.
"""

from __future__ import annotations

from collections.abc import Collection

from faceexp.registry.describe import JsonSchema

RANGE, CHOICES = {"$ref": "#/$defs/Range"}, {"$ref": "#/$defs/OneOf"}
# What is told of a value wherever it stands, whatever is written in its place.
TOLD = ("title", "description", "default", "unit", "search")


def add_ranges(definitions: JsonSchema) -> None:
    """Add the tables that a range may be."""
    from faceexp.experiment.search import Between, OneOf

    between, one_of = Between.model_json_schema(), OneOf.model_json_schema()
    for key in ("low", "high", "step"):
        # A whole number is a number, so that a choice of both would only hide what is wrong.
        told = {name: value for name, value in between["properties"][key].items() if name in TOLD and value is not None}
        between["properties"][key] = {**told, "type": "number"}
    definitions |= {"Between": between, "OneOf": one_of}
    definitions["Range"] = {
        "description": "A range, which [search] searches.",
        "type": "object",
        "if": {"required": ["choices"]},
        "then": CHOICES,
        "else": {"$ref": "#/$defs/Between"},
        "anyOf": [{"$ref": "#/$defs/Between"}, CHOICES, {}],
    }


def a_range_or(value: JsonSchema) -> JsonSchema:
    """Return the schema of a value, or of a range in its place."""
    return _or(value, RANGE, ["low", "high", "choices"])


def a_choice_or(value: JsonSchema) -> JsonSchema:
    """Return the schema of a value, or of a list of choices in its place."""
    return _or(value, CHOICES, ["choices"])


def _or(value: JsonSchema, otherwise: JsonSchema, marks: Collection[str]) -> JsonSchema:
    told = {key: value[key] for key in TOLD if key in value}
    rest = {key: part for key, part in value.items() if key not in TOLD}
    marked = {"type": "object", "anyOf": [{"required": [mark]} for mark in marks]}
    return {**told, "if": marked, "then": otherwise, "else": rest, "anyOf": [rest, otherwise, {}]}


def with_ranges(table: JsonSchema, left_out: Collection[str] = ()) -> JsonSchema:
    """Return the schema of a table in which a range may stand in the place of each value.

    Args:
        table: The schema without ranges.
        left_out: Keys of which every loss has the same value, or which are no values.
    """
    properties = table.get("properties", {})
    changed = {key: value if key in left_out else a_range_or(value) for key, value in properties.items()}
    return {**table, "properties": changed}
