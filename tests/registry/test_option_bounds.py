"""Every option of every installed plugin at its bounds, just inside and just outside: it is taken, or refused by name."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from faceexp.contract import GROUPS
from faceexp.contract.plugin import LARGEST_NUMBER
from faceexp.experiment.messages import explain
from faceexp.registry.installed import discover

REGISTRY = discover()
PLUGINS = [(kind, name) for kind in GROUPS for name in REGISTRY.names(kind)]


def alternatives(place, definitions):
    for one in place.get("anyOf", [place]):
        yield definitions[one["$ref"].rpartition("/")[2]] if "$ref" in one else one


def taken_and_refused(one):
    """Return values that an option of this JSON schema takes, and values that it refuses."""
    lowest, above = one.get("minimum"), one.get("exclusiveMinimum")
    highest, below = one.get("maximum"), one.get("exclusiveMaximum")
    if "enum" in one or "const" in one:
        choices = one.get("enum", [one.get("const")])
        return choices, ["no such choice", *([True] if 1 in choices else [1]), []]
    match one.get("type"):
        case "number":
            taken = [end for end in (lowest, highest) if end is not None]
            taken += [math.nextafter(lowest, math.inf)] if lowest is not None else []
            taken += [math.nextafter(highest, -math.inf)] if highest is not None else []
            taken += [math.nextafter(above, math.inf)] if above is not None else []
            taken += [math.nextafter(below, -math.inf)] if below is not None else []
            taken += [LARGEST_NUMBER] if highest is None and below is None else []
            taken += [-LARGEST_NUMBER] if lowest is None and above is None else []
            refused = [end for end in (above, below) if end is not None]
            refused += [math.nextafter(lowest, -math.inf)] if lowest is not None else []
            refused += [math.nextafter(highest, math.inf)] if highest is not None else []
            return taken, [*refused, 1e300, -1e300, math.inf, math.nan, True, "1.0", [1.0], {}]
        case "integer":
            step = one.get("multipleOf", 1)
            taken = [lowest, lowest + step] if lowest is not None else []
            taken += [highest, highest - step] if highest is not None else []
            refused = [lowest - step] if lowest is not None else []
            refused += [highest + step] if highest is not None else []
            return taken, [*refused, 1.5, True, "1", [1], {}]
        case "boolean":
            return [True, False], [0, 1, 1.0, "true", []]
    others = {"string": [1, 1.5, True, ["a"], {"a": "b"}], "array": [1, "a", {}, [[[]]], [{}]]}
    return [], others.get(one.get("type"), [])


def cases():
    for kind, name in PLUGINS:
        cls = REGISTRY.find(kind, name).load()
        schema = cls.model_json_schema()
        for option, declared in schema.get("properties", {}).items():
            types = list(alternatives(declared, schema.get("$defs", {})))
            tried = [taken_and_refused(one) for one in types if one.get("type") != "null"]
            if len(tried) == 1:  # What one of several types refuses, another may take.
                yield pytest.param(cls, option, *tried[0], id=f"{kind}-{name}-{option}")


def mistakes(cls, options):
    """Return what is wrong with these options, without those that are asked for and not given."""
    try:
        cls.from_toml(options)
    except ValidationError as error:
        return [mistake for mistake in error.errors() if mistake["type"] != "missing"]
    return []


def is_about_two(option, mistake):
    """Whether a plugin that compares two options has refused one that was changed alone, and says which."""
    return mistake["loc"] == () and option in mistake["msg"]


@pytest.mark.parametrize(("cls", "option", "taken", "refused"), list(cases()))
def test_an_option_takes_its_bounds_and_nothing_beyond_them(cls, option, taken, refused):
    for value in taken:
        for mistake in mistakes(cls, {option: value}):
            assert is_about_two(option, mistake), f"{option} = {value!r}: {mistake['msg']}"
    for value in refused:
        if isinstance(value, float) and abs(value) == 1e300 and cls.model_json_schema().get("required"):
            continue  # Numbers that are too large are refused once everything that has to be given is there.
        wrong = mistakes(cls, {option: value})
        assert wrong, f"{option} = {value!r} is taken"
        for mistake in wrong:
            names_it = mistake["loc"][:1] == (option,) or is_about_two(option, mistake)
            assert names_it, f"{option} = {value!r}: {mistake['msg']}"
            assert "\n" not in explain(mistake, [])
