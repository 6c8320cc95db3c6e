"""What a report shows: the texts of a record may hold anything, and nobody who reads them may be harmed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from faceexp.errors import printable
from faceexp.results.record import Record

Shown = TypeVar("Shown")


def shown(value: Shown) -> Shown:
    """Return a record, or whatever else is reported, with every text in it made printable.

    Every function that returns a report does this first. So labels that are equal in one place of it are so in all.
    """
    changed: Any = value
    if isinstance(value, str):
        changed = printable(value)
    elif isinstance(value, Record):
        changed = value.model_copy(update=_changes(value, type(value).model_fields))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        changed = dataclasses.replace(value, **_changes(value, names))
    elif isinstance(value, Mapping):
        changed = {shown(key): shown(content) for key, content in value.items()}
    elif isinstance(value, list | tuple):
        changed = type(value)(map(shown, value))
    return cast("Shown", changed)


def _changes(value: object, names: Iterable[str]) -> dict[str, object]:
    return {name: shown(getattr(value, name)) for name in names}
