"""The JSON schema of experiment files, with the options of every installed plugin; imports no TensorFlow.

What a table may hold depends on the plugin that it names. The schema says so with ``if`` and ``then``, so that a
mistake is told for that plugin alone: "margn was unexpected", not "not valid under any of the given schemas".
"""

from __future__ import annotations

import inspect
from typing import Any

import pydantic
from pydantic import BaseModel, PydanticUserError

from faceexp.contract import RESERVED, Plugin
from faceexp.errors import InputError
from faceexp.registry.describe import JsonSchema
from faceexp.registry.installed import BrokenPluginError, Registry, discover


def schema() -> JsonSchema:
    """Return the JSON schema of experiment files, with the options of every installed plugin."""
    # Imported here: it takes a tenth of a second, which the other commands about plugins do without.
    from faceexp.experiment.executor import ExecutorRef
    from faceexp.experiment.ranges import ALIKE, UNTUNED
    from faceexp.experiment.schema import Experiment, ModelRef, PluginRef, PretrainedEntry
    from faceexp.registry.range_schema import a_choice_or, add_ranges, with_ranges

    registry = discover()
    whole = Experiment.model_json_schema(mode="validation")
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    whole["title"] = "faceexp experiment"
    whole["$comment"] = f"Written by `faceexp schema`, with pydantic {pydantic.VERSION}."
    definitions = whole["$defs"]
    for name in ("PluginRef", "ModelRef", "LossEntry", "LossPart", "PretrainedEntry"):
        definitions.pop(name, None)
    definitions["dataset"] = _plugin_schema("dataset", registry, PluginRef, definitions)
    whole["properties"]["dataset"] = {"$ref": "#/$defs/dataset"}
    definitions["SetEntry"]["properties"]["dataset"] = {"$ref": "#/$defs/dataset"}
    add_ranges(definitions)
    definitions["model"] = _plugin_schema("model", registry, ModelRef, definitions, ranges=True)
    whole["properties"]["model"] = a_choice_or({"$ref": "#/$defs/model"})
    from faceexp.experiment.detect import USUAL, Detect

    detect, keys = _plugin_schema("detector", registry, Detect, definitions, usual=USUAL), definitions["Detect"]
    keys["properties"].pop("options")
    properties = {**keys["properties"], **detect.get("properties", {})}
    definitions["Detect"] = {**detect, "properties": properties, "description": keys["description"]}
    found = {"$ref": "#/$defs/Detect"}
    # Such a table of a test set without a plugin has options of the shared detector, whichever that is.
    own = {"type": "object", "if": {"required": ["plugin"]}, "then": found}
    for table, allowed in (("Preprocess", found), ("SetEntry", own)):
        key = definitions[table]["properties"]["detect"]
        definitions[table]["properties"]["detect"] = {
            "description": key["description"],
            **_or_false(allowed),
            "allOf": [_offering(found)],
        }
    definitions["sampler"] = _plugin_schema("sampler", registry, PluginRef, definitions, ranges=True)
    definitions["Finetune"]["properties"]["sampler"] = a_choice_or({"$ref": "#/$defs/sampler"})
    definitions["classifier"] = _classifier_schema(registry, definitions["Pretrain"]["properties"]["loss"])
    definitions["Pretrain"]["properties"]["loss"] = {"$ref": "#/$defs/classifier"}
    tables_of_training = {"sampler", "optimizer", "schedule", "proxies", "loss"}
    definitions["Pretrain"] = with_ranges(definitions["Pretrain"], {*tables_of_training, *UNTUNED["pretrain"]})
    definitions["Finetune"] = with_ranges(definitions["Finetune"], {*tables_of_training, *ALIKE["finetune"]})
    row = _plugin_schema("model", registry, PretrainedEntry, definitions, "pretrained")
    whole["properties"]["pretrained"] = {"type": "array", "items": row}
    tracker = _plugin_schema("tracker", registry, PluginRef, definitions)
    whole["properties"]["trackers"] = {
        "description": whole["properties"]["trackers"]["description"],
        "type": "array",
        "items": tracker,
    }
    whole["properties"]["executor"] = _plugin_schema("executor", registry, ExecutorRef, definitions)
    whole["properties"]["losses"] = {"type": "array", "minItems": 1, "items": _loss_schema(registry, definitions)}
    # What is only measured needs no network that is trained.
    trained = {"required": ["losses", "model", "finetune"]}
    whole["allOf"] = [
        {"if": {"not": {"required": ["pretrained"]}}, "then": trained},
        {"if": {"required": ["losses"]}, "then": trained},
    ]
    without_null: JsonSchema = _without_null(whole)
    return without_null


def _classifier_schema(registry: Registry, key: JsonSchema) -> JsonSchema:
    """Return the schema of a loss of phase 1, which is its name alone, or a table.

    Options are left to the check of the file: listing them twice would double the schema.
    """
    name = {"enum": [*_classes("loss", registry)]}
    table = {"properties": {"plugin": name}, "required": ["plugin"]}
    by_kind = {"if": {"type": "string"}, "then": name, "else": table}
    return {"description": key["description"], "type": ["string", "object"], **by_kind}


def _without_null(schema: Any) -> Any:  # noqa: ANN401 - a part of a JSON schema
    """Return a schema in which nothing may be null: TOML has no such value, and a choice of two hides what is wrong."""
    if isinstance(schema, list):
        return [_without_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _without_null(value) for key, value in schema.items()}
    if {"type": "null"} not in parts.get("anyOf", ()):
        return parts
    choices = [choice for choice in parts.pop("anyOf") if choice != {"type": "null"}]
    return {**choices[0], **parts} if len(choices) == 1 else {**parts, "anyOf": choices}


def _classes(kind: str, registry: Registry) -> dict[str, type[Plugin]]:
    classes = {}
    for name in registry.names(kind):
        try:
            cls = registry.find(kind, name).load()
            # An option of a type that JSON does not have has no schema; its plugin cannot be described.
            cls.model_json_schema()
        except (BrokenPluginError, InputError, PydanticUserError):
            continue
        classes[name] = cls
    return classes


def _plugin_schema(
    kind: str,
    registry: Registry,
    table: type[BaseModel],
    definitions: JsonSchema,
    use: str = "",
    usual: str = "",
    *,
    ranges: bool = False,
) -> JsonSchema:
    """Return the schema of a table that names a plugin, or means the usual one where it names none.

    Args:
        kind: The kind of plugin.
        registry: The installed plugins.
        table: What the table has beside options.
        definitions: Takes the table of each plugin.
        use: What the table is for, if not for its kind alone.
        usual: The plugin that is meant where none is named.
        ranges: Whether a range may stand in the place of each value.
    """
    from faceexp.experiment.ranges import UNTUNED
    from faceexp.registry.range_schema import a_choice_or, with_ranges

    keys = table.model_json_schema()["properties"]
    for key in ("options", "index"):
        keys.pop(key, None)
    tables = {name: _one(name, cls, keys, definitions) for name, cls in _classes(kind, registry).items()}
    if usual in tables:
        tables[usual]["required"].remove("plugin")
    if not ranges:
        return _by_plugin(use or kind, tables, definitions, usual)
    tables = {name: with_ranges(each, {"plugin", *UNTUNED.get(kind, ())}) for name, each in tables.items()}
    made = _by_plugin(use or kind, tables, definitions, usual)
    if tables:
        made["properties"]["plugin"] = a_choice_or(made["properties"]["plugin"])
    return made


def _by_plugin(kind: str, tables: dict[str, JsonSchema], definitions: JsonSchema, usual: str = "") -> JsonSchema:
    """Return the schema of a table that names a plugin, each of which has a table of its own.

    A table that names none is that of the usual one, where there is a usual one.
    """
    if not tables:
        return {"type": "object", "not": {}}  # where no plugin is installed, no table is valid
    references = {name: {"$ref": f"#/$defs/plugin.{kind}.{name}"} for name in tables}
    definitions.update({f"plugin.{kind}.{name}": table for name, table in tables.items()})
    cases = [
        {"if": {"properties": {"plugin": {"const": name}}, "required": [] if name == usual else ["plugin"]}}
        | {"then": reference}
        for name, reference in references.items()
    ]
    return {
        "type": "object",
        "properties": {"plugin": {"enum": list(tables)}},
        "required": [] if usual else ["plugin"],
        "allOf": [*cases, _offering(*references.values())],
    }


def _offering(*tables: JsonSchema) -> JsonSchema:
    """Return a schema that everything satisfies: editors offer the keys of its tables, not those in a ``then``."""
    return {"anyOf": [*tables, {}]}


def _or_false(table: JsonSchema) -> JsonSchema:
    """Return the schema of a table in whose place ``false`` may stand; what is wrong is told of the table alone."""
    return {"if": {"type": "boolean"}, "then": {"const": False}, "else": table}


def _one(name: str, cls: type[Plugin], keys: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    options = cls.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    definitions.update({f"{name}.{key}": value for key, value in options.get("$defs", {}).items()})
    return {
        "title": name,
        "description": (inspect.getdoc(cls) or "").partition("\n")[0],
        "type": "object",
        "properties": {**options.get("properties", {}), **keys, "plugin": {"const": name}},
        "required": ["plugin", *options.get("required", [])],
        "additionalProperties": False,
    }


def _loss_schema(registry: Registry, definitions: JsonSchema) -> JsonSchema:
    from faceexp.experiment.ranges import ALIKE
    from faceexp.experiment.schema import Finetune, LossEntry, Pretrain
    from faceexp.registry.range_schema import a_choice_or, with_ranges

    # A loss may override any part of these tables, so that none of their keys is required.
    for model in (Pretrain, Finetune):
        part = {**definitions[model.__name__], "required": []}
        definitions[f"{model.__name__}Overrides"] = part
    # Every loss gets as much of phase 1.
    for key in ALIKE["pretrain"]:
        alike = Pretrain.model_json_schema()["properties"][key]
        properties = definitions["PretrainOverrides"]["properties"]
        definitions["PretrainOverrides"]["properties"] = {**properties, key: alike}
    # A sampler table without a plugin overrides options of the shared sampler, whichever that is.
    shared = {"$ref": "#/$defs/sampler"}
    sampler = {"type": "object", "allOf": [{"if": {"required": ["plugin"]}, "then": shared}, _offering(shared)]}
    definitions["FinetuneOverrides"]["properties"] = {
        **definitions["FinetuneOverrides"]["properties"],
        "sampler": a_choice_or(sampler),
    }
    keys = {
        "label": {"type": "string", "description": "Name of the row."},
        "setting_of": {"type": "string", "description": LossEntry.model_fields["setting_of"].description},
        "pretrain": {"$ref": "#/$defs/PretrainOverrides"},
        "finetune": {"$ref": "#/$defs/FinetuneOverrides"},
    }
    tables = {}
    for name, cls in _classes("loss", registry).items():
        table = _one(name, cls, keys, definitions)
        options = {key: value for key, value in table["properties"].items() if key not in {*keys, "plugin"}}
        grid = {key: {"type": "array", "minItems": 1, "items": value} for key, value in options.items()}
        table = with_ranges(table, {*keys, "plugin"})
        table["properties"]["grid"] = {"type": "object", "properties": grid, "additionalProperties": False}
        # An option that the plugin requires may be given by the grid instead.
        table["required"] = ["plugin"]
        tables[name] = table
    definitions["combine"] = _sum_schema({name: [*table["properties"]] for name, table in tables.items()}, definitions)
    definitions["combine"]["properties"] |= keys
    made, combined = _by_plugin("loss", tables, definitions), {"$ref": "#/$defs/combine"}
    if tables:
        one = {"required": made.pop("required")}
        made |= {"if": {"required": ["combine"]}, "then": combined, "else": one}
        made["allOf"][-1]["anyOf"].insert(0, combined)
    return made


def _sum_schema(keys: dict[str, list[str]], definitions: JsonSchema) -> JsonSchema:
    """Return the schema of a table with a weighted sum of losses.

    Args:
        keys: The keys of the table of each loss, whose schemas hold for its options in a part as well.
        definitions: Takes the table of each loss in a part.
    """
    from faceexp.experiment.combined import MAX_PARTS
    from faceexp.experiment.loss_part import OF_PART, LossPart
    from faceexp.experiment.schema import LossEntry
    from faceexp.registry.range_schema import a_range_or

    of_part, of_row = LossPart.model_json_schema()["properties"], LossEntry.model_json_schema()["properties"]
    own = {
        "weight": a_range_or(of_part["weight"]),
        "options": {"type": "object", "description": "Options that are called weight or options."},
    }
    parts = {
        name: {
            "title": name,
            "type": "object",
            "properties": {
                **{
                    key: {"$ref": f"#/$defs/plugin.loss.{name}/properties/{key}"}
                    for key in options
                    if key not in RESERVED | OF_PART
                },
                **own,
                "plugin": {"const": name},
            },
            "required": ["plugin"],
            "additionalProperties": False,
        }
        for name, options in keys.items()
    }
    items = {"type": "array", "minItems": 1, "maxItems": MAX_PARTS, "items": _by_plugin("part", parts, definitions)}
    return {
        "title": "combine",
        "type": "object",
        "properties": {
            "combine": {"description": of_row["combine"]["description"], **items},
            "distance": of_row["distance"],
        },
        "required": ["combine"],
        "additionalProperties": False,
    }
