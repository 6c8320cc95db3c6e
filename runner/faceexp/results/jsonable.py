"""Frozen values and records as JSON data, and JSON data as text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from faceexp.results.record import Record


def to_jsonable(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a frozen value as JSON data. Infinity, and a result that is no number, become null."""
    if isinstance(value, Record):
        return value.to_jsonable()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value: object) -> str:
    """Return a value as the text of a JSON file."""
    return json.dumps(to_jsonable(value), indent=1, allow_nan=False) + "\n"
