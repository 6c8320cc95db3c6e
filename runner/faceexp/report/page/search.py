"""The section of the page about a search."""

from __future__ import annotations

from faceexp.report.page.figures import PageJson
from faceexp.report.searched import budgets_sentence, edges, every_part, failures, loss_rows, setting_rows
from faceexp.results.schema import RunRecord


def section(run: RunRecord) -> PageJson | None:
    """Return what the template shows of a search; ``None`` where nothing was searched."""
    search = run.search
    if search is None:
        return None
    settings = setting_rows(search)
    pairs = zip(loss_rows(run, search), search.losses, strict=True)
    return {
        "budgets": budgets_sentence(search, run.chosen_by),
        "honesty": [note.text for note in run.remarks if note.kind == "search"],
        "losses": [(row, loss.trainings, loss.steps, loss.images) for row, loss in pairs],
        "settings": settings,
        "has_suggested": any(row.suggested for row in settings),
        "has_edges": any(row.at_edge for row in settings),
        "edges": edges(search),
        "failures": failures(search),
        "labels": [part.label for part in every_part(search)],
    }
