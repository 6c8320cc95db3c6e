"""What the field reports beside the usual metrics, as tables of a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from faceexp.report.rates import rates_tables
from faceexp.report.terminal.tables import cells, plain_table
from faceexp.results.schema import RunRecord


def rates(run: RunRecord) -> Iterator[RenderableType]:
    """Yield each table, and what a reader has to know of it."""
    for each in rates_tables(run):
        table = plain_table(each.title)
        table.add_column("loss or baseline", overflow="fold", min_width=12)
        for heading in each.headings:
            table.add_column(Text(heading), justify="right")
        for label, texts in each.rows:
            table.add_row(*cells(label, *texts))
        yield table
        yield Text(each.text, style="dim")
