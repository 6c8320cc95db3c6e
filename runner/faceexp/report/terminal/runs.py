"""The runs in a folder, in a terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.report.shown import shown
from faceexp.report.terminal.tables import cells, plain_table
from faceexp.results.runs import ListedRunRecord


def runs_table(folder: str, runs: Sequence[ListedRunRecord]) -> RenderableType:
    """Return the table of the runs in a folder, the newest first."""
    folder, runs = shown((folder, runs))
    if not runs:
        return Text(f"no runs in {folder}; `faceexp run SPEC` makes one")
    table = plain_table()
    table.add_column("folder", overflow="fold")
    table.add_column("when", no_wrap=True)
    for heading in ("rows", "ok", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("finding")
    for run in runs:
        when = dt.datetime.fromisoformat(run.when).astimezone().strftime("%Y-%m-%d %H:%M")
        name = Path(run.folder).name
        if run.state == "finished":
            failed = Text(str(run.failed), style="red" if run.failed else "")
            table.add_row(*cells(name, when, str(run.rows), str(run.ok)), failed, Text(run.finding))
            continue
        words = f"broken: {run.finding}"
        if run.state == "not finished":
            words = f"not finished: interrupted, or still going on; {run.ok} trials have ended"
        table.add_row(*cells(name, when, "", "", ""), Text(words, style="yellow"))
    return Group(Text(f"runs in {folder}, the newest first", style="bold"), table)
