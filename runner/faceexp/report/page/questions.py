"""The answers to the questions of a run, as a table and a chart of the page."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.evaluation.catalogue import Metric
from faceexp.report.answers import best_word
from faceexp.report.columns import primary, rows_of
from faceexp.report.page.figures import Figure
from faceexp.report.page.figures_of_rows import helps
from faceexp.report.words import NOTHING, probability, signed
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import ClaimRecord, SpreadRecord, StandingRecord

# A table on a page has room for the other verdicts as they are.
WORDS = {"better": "helps", "worse": "hurts"}


@dataclass(frozen=True)
class JudgedRow:
    """What is shown of a loss: compared with the phase-1 embedding, and with the best of the others; all as text.

    ``people`` is the share of people in the spread of its trials; empty where that cannot be told.
    """

    label: str
    difference: str
    interval: str
    p: str
    verdict: str
    from_best: str
    from_best_interval: str
    may_be_best: str
    people: str


def chart(run: RunRecord) -> Figure | None:
    """Return the chart of the question "helps"; ``None`` where it was not asked or could not be answered."""
    asked = run.verdict
    return helps(asked.helps, primary(run), asked.equivalence) if asked else None


def judged_rows(run: RunRecord) -> list[JudgedRow]:
    """Return what is shown of each loss, those that help most first."""
    if run.verdict is None:
        return []
    metric = primary(run)
    standings = {standing.label: standing for standing in run.verdict.best}
    claims = {claim.label: claim for claim in run.verdict.helps}
    of_people = {spread.label: _share(spread) for spread in run.verdict.spread}
    labels = [row.label for row in rows_of(run) if row.label in standings or row.label in claims]
    return [
        JudgedRow(
            label,
            *_difference(claims.get(label), metric),
            probability(claims[label].p_corrected if label in claims else None),
            WORDS.get(claims[label].verdict, claims[label].verdict) if label in claims else NOTHING,
            *_difference(standings.get(label), metric),
            best_word(run, label) or NOTHING,
            of_people.get(label, ""),
        )
        for label in labels
    ]


def _share(spread: SpreadRecord) -> str:
    """Return the share of people in the spread, with its interval."""
    if spread.people_share is None:
        return NOTHING
    low, high = spread.interval or (spread.people_share, spread.people_share)
    return f"{spread.people_share * 100:.0f} ({low * 100:.0f} to {high * 100:.0f})"


def _difference(judged: ClaimRecord | StandingRecord | None, metric: Metric) -> tuple[str, str]:
    """Return a difference and its interval, both with signs."""
    if judged is None:
        return NOTHING, NOTHING
    low, high = (signed(end, metric.scale, metric.digits) for end in judged.interval or (None, None))
    return signed(judged.difference, metric.scale, metric.digits), f"{low} to {high}" if judged.interval else NOTHING
