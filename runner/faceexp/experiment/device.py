"""Which device trains: the processor, or a GPU by its number."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

AUTO, CPU = "auto", "cpu"
_GPU = re.compile(r"gpu:(\d{1,3})", re.ASCII)


def number_of(device: str) -> int | None:
    """Return the number of a GPU that is named, counted from 0; ``None`` for ``"auto"`` and ``"cpu"``."""
    named = _GPU.fullmatch(device)
    return int(named[1]) if named else None


def _known(device: str) -> str:
    if device not in (AUTO, CPU) and number_of(device) is None:
        raise ValueError('must be "auto", "cpu", or a GPU by its number, such as "gpu:0"')
    return device


Device = Annotated[
    str, AfterValidator(_known), Field(json_schema_extra={"pattern": rf"^({AUTO}|{CPU}|{_GPU.pattern})$"})
]
