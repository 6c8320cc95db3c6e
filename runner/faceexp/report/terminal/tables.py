"""What every table in a terminal looks like."""

from __future__ import annotations

from rich import box
from rich.table import Table


def plain_table(title: str | None = None) -> Table:
    """Return an empty table with a line below its headings and nothing around it."""
    return Table(title=title, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False)


def facts_table() -> Table:
    """Return an empty table of two columns: dim names, and what is said of each."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    return facts
