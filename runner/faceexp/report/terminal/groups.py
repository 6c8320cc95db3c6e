"""How often each row is wrong within groups of people, as tables in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.report.groups import HEADINGS, LEGEND, GroupTable, group_tables
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import plain_table
from faceexp.results.schema import RunRecord


def groups(run: RunRecord) -> RenderableType:
    """Return a table for each column and threshold, and what they mean."""
    parts: list[RenderableType] = []
    for table in group_tables(shown(run)):
        parts += [_drawn(table), *(Text(text, style="yellow") for text in table.refused)]
    return Group(*parts, Text(LEGEND, style="dim"))


def _drawn(table: GroupTable) -> RenderableType:
    drawn = plain_table(table.title)
    drawn.add_column("loss or baseline", overflow="fold", min_width=12)
    drawn.add_column("group", overflow="fold")
    drawn.add_column("people", justify="right", no_wrap=True)
    for heading in HEADINGS.values():
        drawn.add_column(heading, overflow="fold")
    before = ""
    for row in table.rows:
        label = Text("" if row.label == before else row.label, style="dim italic" if row.kind == "baseline" else "bold")
        before = row.label
        is_ratio = not row.group
        style = "dim" if is_ratio else ""
        texts = ("worst / best" if is_ratio else row.group, row.people, *row.cells)
        drawn.add_row(label, *(Text(text, style=style) for text in texts))
    return drawn
