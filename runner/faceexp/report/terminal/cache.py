"""What a store holds, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def store_contents(data: Mapping[str, Any]) -> RenderableType:
    """Return what a store holds, kind by kind."""
    kinds = data["kinds"]
    table = Table(title=data["store"], box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False)
    table.add_column("kind")
    table.add_column("artefacts", justify="right")
    table.add_column("MB", justify="right")
    for kind, held in kinds.items():
        table.add_row(kind, f"{held['artefacts']:,}", f"{held['bytes'] / 1e6:,.1f}")
    number, size = (sum(held[key] for held in kinds.values()) for key in ("artefacts", "bytes"))
    words = "removed" if data["cleared"] else "kept"
    return Group(table, Text(f"{number:,} artefacts, {size / 1e6:,.1f} MB {words}", style="bold"))
