"""The JSON schema of experiment files, with the options of every installed plugin; imports no TensorFlow."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from pydantic import BaseModel, PydanticUserError

from faceexp.contract import Plugin
from faceexp.errors import InputError
from faceexp.registry.describe import JsonSchema
from faceexp.registry.installed import BrokenPluginError, Registry, discover


def schema() -> JsonSchema:
    """Return the JSON schema of experiment files, with the options of every installed plugin."""
    # Imported here: it takes a tenth of a second, which the other commands about plugins do without.
    from faceexp.experiment.schema import Experiment, ModelRef, PluginRef

    registry = discover()
    whole = Experiment.model_json_schema(mode="validation")
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    whole["title"] = "faceexp experiment"
    definitions = whole["$defs"]
    for name in ("PluginRef", "ModelRef", "LossEntry"):
        definitions.pop(name, None)
    whole["properties"]["dataset"] = _plugin_schema("dataset", registry, PluginRef, definitions)
    whole["properties"]["model"] = _plugin_schema("model", registry, ModelRef, definitions)
    definitions["sampler"] = _plugin_schema("sampler", registry, PluginRef, definitions)
    definitions["Finetune"]["properties"]["sampler"] = {"$ref": "#/$defs/sampler"}
    whole["properties"]["losses"] = {"type": "array", "minItems": 1, "items": _loss_schema(registry, definitions)}
    return whole


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


def _plugin_schema(kind: str, registry: Registry, table: type[BaseModel], definitions: JsonSchema) -> JsonSchema:
    keys = table.model_json_schema()["properties"]
    keys.pop("options", None)
    return _one_of([_one(name, cls, keys, definitions) for name, cls in _classes(kind, registry).items()])


def _one_of(tables: Sequence[JsonSchema]) -> JsonSchema:
    # Where no plugin is installed, no table is valid; an empty list would not be a JSON schema.
    return {"type": "object", "oneOf": list(tables) or [False]}


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
    from faceexp.experiment.schema import Finetune, Pretrain

    # A loss may override any part of these tables, so that none of their keys is required.
    for model in (Pretrain, Finetune):
        part = {**definitions[model.__name__], "required": []}
        definitions[f"{model.__name__}Overrides"] = part
    # A sampler table without a plugin overrides options of the shared sampler, whichever that is.
    sampler = {"anyOf": [{"$ref": "#/$defs/sampler"}, {"type": "object", "not": {"required": ["plugin"]}}]}
    definitions["FinetuneOverrides"]["properties"] = {
        **definitions["FinetuneOverrides"]["properties"],
        "sampler": sampler,
    }
    keys = {
        "label": {"type": "string", "description": "Name of the row."},
        "pretrain": {"$ref": "#/$defs/PretrainOverrides"},
        "finetune": {"$ref": "#/$defs/FinetuneOverrides"},
    }
    tables = []
    for name, cls in _classes("loss", registry).items():
        table = _one(name, cls, keys, definitions)
        options = {key: value for key, value in table["properties"].items() if key not in {*keys, "plugin"}}
        grid = {key: {"type": "array", "minItems": 1, "items": value} for key, value in options.items()}
        table["properties"]["grid"] = {"type": "object", "properties": grid, "additionalProperties": False}
        # An option that the plugin requires may be given by the grid instead.
        table["required"] = ["plugin"]
        tables.append(table)
    return _one_of(tables)
