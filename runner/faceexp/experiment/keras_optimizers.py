"""The optimisers of Keras and their options, as its source declares them; importing Keras would take seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

# What an option is called, and its default. That of an option without a plain value is ``None``.
Defaults = Mapping[str, object]


@functools.cache
def keras_optimizers() -> dict[str, Defaults]:
    """Return the options of every optimiser of ``keras.optimizers``, by the name of its class in small letters.

    Only those are listed that change variables by themselves: their first option is ``learning_rate``. Nothing is
    returned where Keras keeps its source elsewhere; then names and options are checked before anything trains, by Keras
    itself.
    """
    return {name.lower(): defaults for file in _sources() for name, defaults in _declared(file)}


def _sources() -> list[Path]:
    spec = importlib.util.find_spec("keras")
    places = (spec.submodule_search_locations if spec else None) or []
    return [file for place in places for file in sorted(Path(place, "src", "optimizers").glob("*.py"))]


def _declared(file: Path) -> Iterator[tuple[str, Defaults]]:
    """Yield the name and the options of each optimiser that a source file exports."""
    text = file.read_text(encoding="utf-8")
    if "keras.optimizers." not in text:
        return
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and f"keras.optimizers.{node.name}" in _exported(node):
            defaults = _defaults(node)
            if next(iter(defaults), None) == "learning_rate":
                yield node.name, defaults


def _exported(node: ast.ClassDef) -> set[object]:
    """Return the names under which a class is exported: the texts of its decorators."""
    parts = (part for decorator in node.decorator_list for part in ast.walk(decorator))
    return {part.value for part in parts if isinstance(part, ast.Constant)}


def _defaults(node: ast.ClassDef) -> Defaults:
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            names = [argument.arg for argument in part.args.args][1:]
            values = [_value(default) for default in part.args.defaults]
            return dict(zip(names, [None] * (len(names) - len(values)) + values, strict=True))
    return {}


def _value(default: ast.expr) -> object:
    try:
        return ast.literal_eval(default)
    except ValueError:
        return None
