"""How the options of a plugin are called, and which of them are paths: their types say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from faceexp.contract import Plugin
from faceexp.files import NamesPath

Wanted = Literal["file", "folder", "anything"]
# pydantic's own types of paths, by what they say of themselves.
_PYDANTIC: dict[str, Wanted] = {"file": "file", "dir": "folder"}


def path_options(cls: type[Plugin]) -> dict[str, Wanted]:
    """Return the options of a plugin that are paths, or lists of them, with what has to be there.

    Their types are ``InputFile``, ``InputFolder`` and ``AnyPath`` of the contract, ``pathlib.Path``, or pydantic's
    ``FilePath`` and ``DirectoryPath``.
    """
    wanted = {name: list(_wanted(field.annotation, *field.metadata)) for name, field in cls.model_fields.items()}
    return {name: kinds[0] for name, kinds in wanted.items() if kinds}


def _wanted(*parts: object) -> Iterator[Wanted]:
    """Yield what the parts of a type say of a path, what is more exact first."""
    for part in parts:
        if isinstance(part, NamesPath):
            yield part.wanted
        elif (kind := getattr(part, "path_type", None)) in _PYDANTIC:
            yield _PYDANTIC[kind]
    for part in parts:
        inner = (*getattr(part, "__metadata__", ()), *get_args(part))
        if inner:
            yield from _wanted(*inner)
    if any(isinstance(part, type) and issubclass(part, Path) for part in parts):
        yield "anything"


def option_names(cls: type[Plugin]) -> set[str]:
    """Return the keys that experiment files use for the options of a plugin."""
    names = set(cls.model_fields)
    for field in cls.model_fields.values():
        names |= {alias for alias in (field.alias, field.validation_alias) if isinstance(alias, str)}
    return names
