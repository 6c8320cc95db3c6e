"""What every table in a terminal looks like."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text


def plain_table(title: str | None = None) -> Table:
    """Return an empty table with a line below its headings and nothing around it."""
    return Table(
        title=None if title is None else Text(title, style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )


def cells(*texts: str) -> list[Text]:
    """Return the cells of a row, or headings, that are shown as they are: brackets in them are no markup."""
    return [Text(text) for text in texts]


def facts_table() -> Table:
    """Return an empty table of two columns: dim names, and what is said of each."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    return facts
