"""What a run will take, in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.experiment.asked import Asked
from faceexp.report.terminal.tables import facts_table
from faceexp.report.words import duration, many
from faceexp.results.outlook import OutlookRecord

RULE = "a rule of thumb for small trunks on two cores; a large trunk takes ten times as long or more"


def outlook_text(expected: OutlookRecord, asked: Asked) -> RenderableType:
    """Return in a few lines what a run will take, and how that is known."""
    stored = f", of which {expected.finished:,} are finished and lie in the store" if expected.finished else ""
    facts = facts_table()
    if expected.search_trainings:
        ended = f", of which {expected.search_finished:,} are finished" if expected.search_finished else ""
        facts.add_row("search", f"{many(expected.search_trainings, 'training')} of settings, before the trials{ended}")
    facts.add_row("trials", f"{expected.trials:,}{stored}; {many(expected.rows, 'row')} in the table")
    if expected.finished < expected.trials or expected.search_finished < expected.search_trainings:
        basis = RULE if expected.basis == "rule of thumb" else expected.basis
        basis = f"{basis}, the rest by {RULE}" if expected.basis == "partly measured" else basis
        facts.add_row("time", f"about {duration(expected.minutes)} with one process")
        facts.add_row("disk", f"about {max(1, round(expected.megabytes)):,} MB more")
        facts.add_row("source", basis)
    more = "These are the seeds of the file; until its questions are decided, more may follow."
    return Group(facts, *([Text(more)] if asked.until == "decided" else []), Text("Nothing was trained."))
