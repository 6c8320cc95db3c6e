"""What every record of a run is: a frozen part of a JSON file, in which each key has a type and a description."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _finite(value: object) -> object:
    """Return ``None`` for infinity and for a result that is no number, because JSON has no word for them."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _defined(values: object) -> object:
    """Return nothing for a curve with values that are not defined: it cannot be drawn, nor be averaged with others."""
    is_broken = isinstance(values, list | tuple) and any(_finite(value) is None for value in values)
    return () if is_broken else values


Number = Annotated[float | None, BeforeValidator(_finite)]
Curve = Annotated[tuple[float, ...], BeforeValidator(_defined)]
Interval = tuple[float, float]
# A number that is written as it is given, so that a count of pairs stays a whole number in JSON.
Amount = Annotated[int | float | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """A frozen part of the files of a run. Keys that a newer version has added are ignored when a file is read."""

    # A class is built when the first record of it is made, since most commands need only a few of them. Only `Number`
    # may be given what is not finite: everywhere else that is a mistake, which JSON could not hold.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        from_attributes=True,
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    def to_jsonable(self) -> dict[str, Any]:
        """Return the record as JSON data. A key that was not given stays out, so that older files stay as they are."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
