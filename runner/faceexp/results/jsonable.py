"""Frozen values and records as JSON data, and JSON data as text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from faceexp.results.record import Record


def to_jsonable(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a frozen value as JSON data; numbers that are none become null."""
    if isinstance(value, Record):
        return value.to_jsonable()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value: object) -> str:
    """Return a value as the text of a JSON file."""
    return json.dumps(to_jsonable(value), indent=1, allow_nan=False) + "\n"
