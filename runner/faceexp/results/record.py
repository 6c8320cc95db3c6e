"""What every record of a run is: a frozen part of a JSON file, with a type and a description for each key."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _finite(value: object) -> object:
    """Return nothing for a number that is none: JSON has no word for it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Interval = tuple[float, float]
# Counts of pairs stay whole numbers in JSON, and differences do not.
Amount = Annotated[int | float | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """A part of a run's files: frozen; keys that a newer version has added are passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", from_attributes=True, populate_by_name=True, defer_build=True
    )

    def to_jsonable(self) -> dict[str, Any]:
        """Return the record as JSON data; a key that was never given, and is not in an older file, stays out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
