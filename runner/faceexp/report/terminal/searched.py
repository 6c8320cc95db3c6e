"""What a search found, in a terminal: what each loss gained, and each of its settings."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.report.columns import primary
from faceexp.report.searched import budgets_sentence, edges, failures, loss_rows, setting_rows
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import cells, plain_table
from faceexp.results.schema import RunRecord
from faceexp.results.search_record import SearchRecord

EDGE = "*"
# As a file says the same, where a column is narrow.
BY_ORDERS = "by orders of magnitude"
STYLES = {"gains": "bold green", "loses": "red"}


def searched(run: RunRecord, search: SearchRecord, *, told: bool = False) -> RenderableType:
    """Return what a search found.

    Args:
        run: What the run found.
        search: What was searched before.
        told: Whether the reader has the notes of the run above it.
    """
    run, search = shown((run, search))
    parts: list[RenderableType] = [Text(budgets_sentence(search, run.chosen_by))]
    parts += [_losses(run, search)] if search.losses else []
    parts += [_settings(search)]
    return Group(*parts, *_below(run, search, told=told))


def _losses(run: RunRecord, search: SearchRecord) -> RenderableType:
    table = plain_table("what tuning gained")
    table.add_column("loss", overflow="fold", min_width=10)
    for heading in ("defaults", "chosen"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(f"{primary(run).name} gained", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("trials", overflow="fold")
    for row in loss_rows(run, search):
        gain = f"{row.gain} ({row.interval})" if row.verdict else row.gain
        verdict = Text(row.verdict, style=STYLES.get(row.verdict, ""))
        label, default, chosen, gained, ended = cells(row.label, row.default, row.chosen, gain, row.ended)
        table.add_row(label, default, chosen, gained, verdict, ended)
    return table


def _settings(search: SearchRecord) -> RenderableType:
    table = plain_table("settings")
    table.add_column("loss", overflow="fold", min_width=10)
    table.add_column("setting", no_wrap=True)
    table.add_column("tried", overflow="fold")
    table.add_column("default", overflow="fold", justify="right")
    table.add_column("chosen", overflow="fold", justify="right")
    table.add_column("share", justify="right", no_wrap=True)
    before = ""
    for row in setting_rows(search):
        tried = f"{row.tried.replace(BY_ORDERS, 'log')}{' (suggested)' if row.suggested else ''}"
        chosen = f"{row.chosen}{EDGE if row.at_edge else ''}"
        label = "" if row.label == before else row.label
        table.add_row(*cells(label, row.setting, tried, row.default, chosen, row.share))
        before = row.label
    return table


def _below(run: RunRecord, search: SearchRecord, *, told: bool) -> Iterator[RenderableType]:
    """Yield what went wrong, what may be better still, and what the columns mean."""
    yield from (Text(f"x {line}", style="red") for line in failures(search))
    yield from (Text(f"! {line}", style="yellow") for line in edges(search))
    if not told:
        yield from (Text(note.text, style="yellow") for note in run.remarks if note.kind == "search")
    gained = f"gained: on test, chosen minus defaults in {primary(run).name}, with the interval at the corrected level"
    marks = ["defaults, chosen: mean validation score over the seeds and folds of the search", gained, "?: undecided"]
    rows = setting_rows(search)
    marks += (
        ["share: of what makes scores differ, in % (PED-ANOVA), rough with few trials"]
        if any(row.share for row in rows)
        else []
    )
    marks += [f"{EDGE} at an end of its range"] if any(row.at_edge for row in rows) else []
    yield Text("; ".join(marks), style="dim")
