"""What is known about installed plugins; nothing here imports TensorFlow."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from faceexp.contract import GROUPS, DetectorPlugin, Plugin
from faceexp.errors import InputError
from faceexp.registry.guard import PluginFaultError, ask
from faceexp.registry.import_cache import ImportCache, Known, recall, remember
from faceexp.registry.installed import BrokenPluginError, InstalledPlugin, discover

# What pydantic tells of a value: its JSON schema.
JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class ListedPlugin:
    """One line of the list of installed plugins.

    Attributes:
        name: Its name in experiment files.
        distribution: The package that brings it.
        version: That package's version.
        module: The module that it is imported from.
        error: Why it cannot be used; ``None`` where it can.
        summary: The first line of its docstring; empty if it is broken.
        slow: Why importing it took long; ``None`` where it did not.
    """

    name: str
    distribution: str
    version: str
    module: str
    error: str | None = None
    summary: str = ""
    slow: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return it as JSON data; a broken plugin has an ``error`` and no summary, and only a slow one says why."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class OptionDescription:
    """One option of a plugin, in words.

    Attributes:
        name: Its key in experiment files.
        type: What kind of value it takes.
        default: Its value where the file gives none, or ``"required"``.
        bounds: Which values are allowed.
        unit: What its number counts.
        description: What it does.
        search: The values that ``[search]`` tries where the file gives none; empty where it leaves the option alone.
    """

    name: str
    type: str
    default: object
    bounds: str
    unit: str
    description: str
    search: str = ""


@dataclass(frozen=True)
class PluginDescription:
    """Everything there is to know about one plugin.

    Attributes:
        kind: loss, model, dataset, sampler, detector, tracker or executor.
        name: Its name in experiment files.
        summary: The first line of its docstring.
        text: The rest of its docstring.
        facts: What it says about itself, by the names that a reader sees.
        options: Its options, in the order in which it declares them.
        remarks: What its author should know of it, although it works: each is a sentence of which it is the subject.
    """

    kind: str
    name: str
    summary: str
    text: str
    facts: Mapping[str, str]
    options: tuple[OptionDescription, ...]
    remarks: tuple[str, ...] = ()


def listing(memory: Path | None = None) -> dict[str, list[ListedPlugin]]:
    """Return every installed plugin by kind.

    Args:
        memory: A file that keeps which plugins were imported without error, so that the next listing is quicker.
    """
    began = time.time_ns()
    registry = discover()
    cache = recall(memory) if memory else ImportCache()
    imported: dict[InstalledPlugin, Known] = {}
    by_kind: dict[str, list[ListedPlugin]] = {kind: [] for kind in GROUPS}
    for plugin in registry.plugins:
        error, known = None, cache.plugins.get(plugin)
        try:
            registry.find(plugin.kind, plugin.name)
            if known is None:
                known = imported[plugin] = Known(summary_of(plugin.load()), plugin.slow)
        except BrokenPluginError as broken:
            error = broken.reason
        except InputError as offered_twice:
            error = str(offered_twice)
        summary, slow = known if known and not error else ("", "")
        by_kind[plugin.kind].append(
            ListedPlugin(plugin.name, plugin.distribution, plugin.version, plugin.module, error, summary, slow or None)
        )
    if memory and imported:
        remember(memory, cache, imported, began)
    return by_kind


def summary_of(cls: type[Plugin]) -> str:
    """Return the first line of a plugin's docstring."""
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def kinds_of(name: str) -> list[str]:
    """Return of which kinds there are plugins of a name."""
    return list(dict.fromkeys(plugin.kind for plugin in discover().plugins if plugin.name == name))


def describe(kind: str, name: str) -> PluginDescription:
    """Return summary, options, facts and file of one plugin.

    Raises:
        InputError: It is not installed, or it is broken.
    """
    plugin = discover().find(kind, name)
    try:
        cls = plugin.load()
        facts, options = ask(lambda: (_facts(cls), tuple(_options(cls))))
    except BrokenPluginError as error:
        raise error.as_input_error() from error
    except PluginFaultError as fault:
        raise BrokenPluginError.by(plugin, fault).as_input_error() from fault
    summary, _, text = (inspect.getdoc(cls) or "").partition("\n")
    installed = {"distribution": f"{plugin.distribution} {plugin.version}", "file": str(plugin.file)}
    return PluginDescription(kind, name, summary, text.strip(), facts | installed, options, plugin.remarks)


def _facts(cls: type[Plugin]) -> dict[str, str]:
    """Return what the class says about itself in its class variables, by the names that a reader sees."""
    facts = {}
    for name in ("reference", "distance", "licence", "source"):
        value = getattr(cls, name, None)
        if value is not None:
            facts[name] = str(value)
    if issubclass(cls, DetectorPlugin):
        facts["beside boxes"] = {"none": "nothing", "eyes": "the eyes", "five": "five points"}[cls.points]
        facts |= {"needs of the data": f"the column {', '.join(cls.columns)}"} if cls.columns else {}
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


def _options(cls: type[Plugin]) -> Iterator[OptionDescription]:
    schema = cls.model_json_schema()
    definitions = schema.get("$defs", {})
    # A property may refer to a definition, a list of choices for instance; here that is written in its place.
    properties = {
        name: {**definitions.get(str(described.get("$ref", "")).rpartition("/")[2], {}), **described}
        for name, described in schema.get("properties", {}).items()
    }
    for name, field in cls.model_fields.items():
        default = None if field.is_required() else to_jsonable_python(field.get_default(call_default_factory=True))
        yield OptionDescription(
            name=name,
            type=_type_name(properties[name]),
            default="required" if field.is_required() else default,
            bounds=_bounds(properties[name]),
            unit=properties[name].get("unit", "none"),
            description=field.description or "",
            search=_search(field.json_schema_extra),
        )


def _search(told: object) -> str:
    """Return the range that an option suggests to a search, in words."""
    if not isinstance(told, dict) or "search" not in told:
        return ""
    # Imported here, as in `json_schema`.
    from faceexp.experiment.search import suggestion

    return str(suggestion(told["search"]))


def _type_name(schema: JsonSchema) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type_name(item) for item in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_name(schema.get('items', {}))}"
    return {"number": "float", "integer": "int", "boolean": "bool", "string": "text", "null": "nothing"}.get(
        str(schema.get("type")), str(schema.get("type", "any"))
    )


def _bounds(schema: JsonSchema) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    lengths = {"minItems": "items >=", "maxItems": "items <=", "minLength": "letters >=", "maxLength": "letters <="}
    outer = [f"{sign} {schema[key]:g}" for key, sign in {**signs, **lengths}.items() if key in schema]
    inner = [_bounds(item) for item in [schema.get("items", {}), *schema.get("anyOf", [])] if item]
    return ", ".join(text for text in [*outer, *inner] if text)
