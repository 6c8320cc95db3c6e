"""What a report shows: the texts of a record may hold anything, and nobody who reads them may be harmed."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from faceexp.errors import printable
from faceexp.results.record import Record

Shown = TypeVar("Shown")


def shown(value: Shown) -> Shown:
    """Return a record, or whatever else is reported, with every text in it made printable.

    Every function that returns a report does this first. So labels that are equal in one place of it are so in all.
    Where nothing has to be changed, the very same value is returned: a run holds a hundred thousand numbers.
    """
    changed: Any = value
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        changed = printable(value)
    elif isinstance(value, Record):
        changes = _changes(value, type(value).model_fields)
        changed = value.model_copy(update=changes) if changes else value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = _changes(value, [field.name for field in dataclasses.fields(value)])
        changed = dataclasses.replace(value, **changes) if changes else value
    elif isinstance(value, Mapping):
        items = [(shown(key), shown(content)) for key, content in value.items()]
        same = all(
            key is one and content is other for (key, content), (one, other) in zip(items, value.items(), strict=True)
        )
        changed = value if same else dict(items)
    elif isinstance(value, list | tuple):
        parts = [part if isinstance(part, float) else shown(part) for part in value]
        changed = value if all(map(operator.is_, parts, value)) else type(value)(parts)
    return cast("Shown", changed)


def _each(values: Iterable[Any]) -> list[Any]:
    return [value if isinstance(value, float) else shown(value) for value in values]


def _changes(value: object, names: Iterable[str]) -> dict[str, object]:
    """Return the attributes that have to be changed, each as it is shown."""
    before = {name: getattr(value, name) for name in names}
    return {name: after for name, content in before.items() if (after := shown(content)) is not content}
