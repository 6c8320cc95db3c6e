"""Images that could not be used, in a terminal: a line below the table, and error rates that count them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from faceexp.report.failures import HEADINGS, LEGEND, error_rows, lost_sentence, title
from faceexp.report.terminal.tables import plain_table
from faceexp.results.schema import RunRecord


def lost(run: RunRecord) -> Iterator[Text]:
    """Yield the line that says what was lost, if anything was."""
    if sentence := lost_sentence(run):
        yield Text(f"! {sentence}", style="yellow")


def error_rates_on_set(run: RunRecord) -> Iterator[RenderableType]:
    """Yield that table for a test set alone: of the test part it stands among the notes."""
    if run.measured_on:
        yield from error_rates(run)


def error_rates(run: RunRecord) -> Iterator[RenderableType]:
    """Yield a table of the error rates with what was lost, if anything was."""
    rows = error_rows(run)
    if not rows:
        return
    table = plain_table(title(run))
    table.add_column("loss or baseline", overflow="fold", min_width=12)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(Text(row.label), *map(Text, row.cells))
    yield table
    yield Text(LEGEND, style="dim")
