"""What is known about plugins and experiment files, as plain data; imports no TensorFlow."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from faceexp.contract import GROUPS, Plugin
from faceexp.errors import InputError
from faceexp.importable import Known, recall, remember
from faceexp.registry import BrokenPluginError, Registry, discover


def listing(memory: Path | None = None) -> dict[str, list[dict[str, str]]]:
    """Return every installed plugin by kind; a broken one has an ``error``.

    Args:
        memory: A file that keeps which plugins imported well, so that they need not be imported the next time.
    """
    began = time.time_ns()
    registry = discover()
    known = recall(memory) if memory else Known()
    imported = []
    found: dict[str, list[dict[str, str]]] = {kind: [] for kind in GROUPS}
    for plugin in registry.plugins:
        item = {key: getattr(plugin, key) for key in ("name", "distribution", "version", "module")}
        try:
            registry.find(plugin.kind, plugin.name)
            if plugin not in known.plugins:
                plugin.load()
                imported.append(plugin)
        except BrokenPluginError as error:
            item["error"] = error.reason
        except InputError as error:
            item["error"] = str(error)
        found[plugin.kind].append(item)
    if memory and imported:
        remember(memory, known, imported, began)
    return found


def describe(kind: str, name: str) -> dict[str, Any]:
    """Return summary, options, facts and file of one plugin.

    Raises:
        InputError: It is not installed, or broken.
    """
    found = discover().find(kind, name)
    try:
        cls = found.load()
    except BrokenPluginError as error:
        raise InputError(f"{error}; reinstall or remove {found.distribution}") from error
    summary, _, text = (inspect.getdoc(cls) or "").partition("\n")
    return {
        "kind": kind,
        "name": name,
        "summary": summary,
        "text": text.strip(),
        "facts": {**_facts(cls), "distribution": f"{found.distribution} {found.version}", "file": str(found.file)},
        "options": _options(cls),
    }


def _facts(cls: type[Plugin]) -> dict[str, str]:
    """Return what the class says about itself in class variables, in the reader's words."""
    facts = {}
    for name in ("reference", "distance", "licence", "source"):
        value = getattr(cls, name, None)
        if value is not None:
            facts[name] = str(value)
    needs = getattr(cls, "needs", None)
    if needs is not None:
        wants = [f"{needs.classes} identities"]
        if needs.images_per_class > 1:
            wants.append(f"{needs.images_per_class} images of an identity")
        if needs.halves:
            wants.append(f"halves: rows i and i + B/2 {needs.halves}")
        facts["a batch holds"] = ", ".join(wants) + ", at least"
        facts["compiles under XLA"] = "yes" if getattr(cls, "xla", True) else "no"
    return facts


def _options(cls: type[Plugin]) -> list[dict[str, Any]]:
    schema = cls.model_json_schema()
    named = schema.get("$defs", {})
    # What a property refers to, a list of choices for instance, is as good as written in its place.
    properties = {
        name: {**named.get(str(own.get("$ref", "")).rpartition("/")[2], {}), **own}
        for name, own in schema.get("properties", {}).items()
    }
    return [
        {
            "name": name,
            "type": _type_name(properties[name]),
            "default": "required"
            if field.is_required()
            else to_jsonable_python(field.get_default(call_default_factory=True)),
            "bounds": _bounds(properties[name]),
            "unit": properties[name].get("unit", "none"),
            "description": field.description or "",
        }
        for name, field in cls.model_fields.items()
    ]


def _type_name(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type_name(item) for item in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_name(schema.get('items', {}))}"
    return {"number": "float", "integer": "int", "boolean": "bool", "string": "text", "null": "nothing"}.get(
        str(schema.get("type")), str(schema.get("type", "any"))
    )


def _bounds(schema: Mapping[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    lengths = {"minItems": "items >=", "maxItems": "items <=", "minLength": "letters >=", "maxLength": "letters <="}
    own = [f"{sign} {schema[key]:g}" for key, sign in {**signs, **lengths}.items() if key in schema]
    inner = [_bounds(item) for item in [schema.get("items", {}), *schema.get("anyOf", [])] if item]
    return ", ".join(text for text in [*own, *inner] if text)


def schema() -> dict[str, Any]:
    """Return the JSON schema of experiment files, with the options of every installed plugin."""
    # It takes a while to import, and listing does without it.
    from faceexp.experiment import Experiment, ModelRef, PluginRef

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
            classes[name] = registry.find(kind, name).load()
        except (BrokenPluginError, InputError):
            continue
    return classes


def _plugin_schema(
    kind: str, registry: Registry, table: type[BaseModel], definitions: dict[str, Any]
) -> dict[str, Any]:
    own = table.model_json_schema()["properties"]
    own.pop("options", None)
    return _any_of([_one(name, cls, own, definitions) for name, cls in _classes(kind, registry).items()])


def _any_of(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    # Where nothing is installed, nothing is right; an empty list would be no schema.
    return {"type": "object", "oneOf": list(tables) or [False]}


def _one(name: str, cls: type[Plugin], own: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    options = cls.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    definitions.update({f"{name}.{key}": value for key, value in options.get("$defs", {}).items()})
    return {
        "title": name,
        "description": (inspect.getdoc(cls) or "").partition("\n")[0],
        "type": "object",
        "properties": {**options.get("properties", {}), **own, "plugin": {"const": name}},
        "required": ["plugin", *options.get("required", [])],
        "additionalProperties": False,
    }


def _loss_schema(registry: Registry, definitions: dict[str, Any]) -> dict[str, Any]:
    from faceexp.experiment import Finetune, Pretrain

    # A loss may give any part of these tables.
    for model in (Pretrain, Finetune):
        part = {**definitions[model.__name__], "required": []}
        definitions[f"{model.__name__}Overrides"] = part
    # Without a name they are options of the shared sampler, whichever that is.
    sampler = {"anyOf": [{"$ref": "#/$defs/sampler"}, {"type": "object", "not": {"required": ["plugin"]}}]}
    definitions["FinetuneOverrides"]["properties"] = {
        **definitions["FinetuneOverrides"]["properties"],
        "sampler": sampler,
    }
    own = {
        "label": {"type": "string", "description": "How the row is called."},
        "pretrain": {"$ref": "#/$defs/PretrainOverrides"},
        "finetune": {"$ref": "#/$defs/FinetuneOverrides"},
    }
    tables = []
    for name, cls in _classes("loss", registry).items():
        table = _one(name, cls, own, definitions)
        options = {key: value for key, value in table["properties"].items() if key not in {*own, "plugin"}}
        grid = {key: {"type": "array", "minItems": 1, "items": value} for key, value in options.items()}
        table["properties"]["grid"] = {"type": "object", "properties": grid, "additionalProperties": False}
        # The grid may give what is required, too.
        table["required"] = ["plugin"]
        tables.append(table)
    return _any_of(tables)
