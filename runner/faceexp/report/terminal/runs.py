"""The runs in a folder, in a terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from faceexp.report.shown import shown
from faceexp.report.terminal.tables import cells, plain_table
from faceexp.results.runs import ListedRunRecord

# Characters that the columns between folder and finding take with their gaps, and those that a finding needs at least.
NUMBERS_WIDTH = 46
FINDING_WIDTH = 40


def runs_table(folder: str, runs: Sequence[ListedRunRecord], width: int) -> RenderableType:
    """Return the runs in a folder, the newest first: as a table, or below one another where it would fold the names.

    Args:
        folder: The folder.
        runs: The runs in it.
        width: Characters in a line of the screen.
    """
    folder, runs = shown((folder, runs))
    if not runs:
        return Text(f"no runs in {folder}; `faceexp run SPEC` makes one")
    head = Text(f"runs in {folder}, the newest first", style="bold", no_wrap=True, overflow="ignore")
    longest = max(len(_name(run)) for run in runs)
    if longest + NUMBERS_WIDTH + FINDING_WIDTH > width:
        return Group(head, *(part for run in runs for part in _lines(run)))
    table = plain_table()
    table.add_column("folder", no_wrap=True)
    table.add_column("when", no_wrap=True)
    for heading in ("rows", "ok", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("finding")
    for run in runs:
        finding = _finding(run)
        if run.state == "finished":
            failed = Text(str(run.failed), style="red" if run.failed else "")
            table.add_row(*cells(_name(run), _when(run), str(run.rows), str(run.ok)), failed, finding)
        else:
            table.add_row(*cells(_name(run), _when(run), "", "", ""), finding)
    return Group(head, table)


def _lines(run: ListedRunRecord) -> Iterator[RenderableType]:
    """Yield the name of a run on a line of its own, which is never broken, and what is to be said of it below."""
    yield Text(_name(run), style="bold", no_wrap=True, overflow="ignore")
    counts = ""
    if run.state == "finished":
        failed = f", {run.failed:,} failed" if run.failed else ""
        counts = f"{run.rows:,} rows, {run.ok:,} trials ok{failed}: "
    yield Padding(Text(f"{_when(run)}, {counts}").append_text(_finding(run)), (0, 0, 0, 2))


def _name(run: ListedRunRecord) -> str:
    return Path(run.folder).name


def _when(run: ListedRunRecord) -> str:
    return dt.datetime.fromisoformat(run.when).astimezone().strftime("%Y-%m-%d %H:%M")


def _finding(run: ListedRunRecord) -> Text:
    """Return what a run found, or why it found nothing."""
    if run.state == "finished":
        return Text(run.finding)
    if run.state == "not finished":
        ended = f"{run.ok} trials have ended" if run.ok else "no trial has ended"
        return Text(f"not finished: interrupted, or still going on; {ended}", style="yellow")
    return Text(f"broken: {run.finding}", style="yellow")
