"""What the field reports beside the usual metrics, as tables: accuracy over folds, TAR at FAR, and identification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from faceexp.evaluation.catalogue import FOLD_ACCURACY, Metric
from faceexp.report.columns import Row, columns_of, mean_and_interval, rows_of
from faceexp.report.used import used
from faceexp.report.words import NOTHING, between
from faceexp.results.identification import IdentificationRecord
from faceexp.results.schema import RunRecord, SummaryRecord

# The ranks of the CMC that have a column; results.json has all.
RANKS = (1, 2, 3, 5, 10, 20)
# LFW has ten folds, and so have the lists that follow it.
FOLDS = {10: "ten folds"}


@dataclass(frozen=True)
class RatesTable:
    """A table of the rows of a run.

    Attributes:
        title: What it shows.
        text: What a reader has to know of it.
        headings: Of the columns behind the name of the row.
        rows: The name of each row and its cells.
    """

    title: str
    text: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def rates_tables(run: RunRecord) -> list[RatesTable]:
    """Return the tables of what a run has; none for a run that was asked for nothing and has no list of pairs."""
    rows = [row for row in rows_of(run) if row.ok]
    asked = {key for trial in run.trials for key in trial.met}
    at_far = [metric for metric in columns_of(run) if metric.key in asked and metric.key.startswith("tar@far=")]
    return [*_over_folds(rows, used(run)), *_at_far(rows, at_far), *_identification(run, rows)]


def _over_folds(rows: Sequence[Row], about: str) -> Iterator[RatesTable]:
    cells = []
    for row in rows:
        summary = row.summaries.get(FOLD_ACCURACY.key)
        if summary and summary.mean is not None:
            folds = FOLDS.get(summary.folds or 0, f"{summary.folds} folds")
            cells.append((row.label, (f"{mean_and_interval(summary, FOLD_ACCURACY)} ({folds})",)))
    if cells:
        text = (
            "Mean over the folds of the list ± its standard error, in per cent, as LFW's protocol has it: the squared "
            "distance of embeddings of length 1, and the best threshold of the other folds in steps of 0.01."
        )
        title = f"Accuracy over folds, {about}" if about else "Accuracy over folds"
        yield RatesTable(title, text, (FOLD_ACCURACY.heading,), tuple(cells))


def _at_far(rows: Sequence[Row], metrics: Sequence[Metric]) -> Iterator[RatesTable]:
    if any(_met(row.summaries.get(metric.key)) != NOTHING for row in rows for metric in metrics):
        headings = tuple(heading for metric in metrics for heading in (metric.heading, "FAR met"))
        text = (
            "The largest true accept rate of all thresholds whose false accept rate is at most that of the heading, "
            "and the false accept rate of that threshold, both as means over trials."
        )
        cells = tuple((row.label, tuple(cell for metric in metrics for cell in _cells(row, metric))) for row in rows)
        yield RatesTable("True accept rate at a false accept rate", text, headings, cells)


def _cells(row: Row, metric: Metric) -> tuple[str, str]:
    summary = row.summaries.get(metric.key)
    return mean_and_interval(summary, metric), _met(summary)


def _met(summary: SummaryRecord | None) -> str:
    return NOTHING if summary is None or summary.met is None else f"{summary.met:.2g}"


def _identification(run: RunRecord, rows: Sequence[Row]) -> Iterator[RatesTable]:
    found = [trial.identification for trial in run.trials if trial.identification]
    if not found:
        return
    ranks = [rank for rank in RANKS if rank <= min(len(each.cmc) for each in found)]
    metrics = [metric for metric in columns_of(run) if metric.key.startswith("tpir@fpir=")]
    headings = [heading for metric in metrics for heading in (metric.heading, "FPIR met")]
    cells = []
    for row in rows:
        of_row = [trial.identification for trial in run.trials if trial.label == row.label and trial.identification]
        if of_row:
            of_ranks = [f"{_cmc(of_row, rank) * 100:.1f}" for rank in ranks]
            cells.append((row.label, (*(cell for metric in metrics for cell in _cells(row, metric)), *of_ranks)))
    people, strangers, draws = (
        between([getattr(each, name) for each in found]) for name in ("gallery", "strangers", "draws")
    )
    text = (
        f"{people} of the test people are in the gallery with one photo each, {strangers} are strangers; means over "
        f"{draws} draws of who is which. TPIR: how often a photo of somebody in the gallery leads to that person, "
        "where at most so many of the photos of strangers lead to anybody. CMC: how often the right person is among so "
        "many nearest, in per cent. All depend on the size of the gallery."
    )
    yield RatesTable(
        "Identification with strangers", text, (*headings, *(f"CMC-{rank}" for rank in ranks)), tuple(cells)
    )


def _cmc(found: Sequence[IdentificationRecord], rank: int) -> float:
    """Return the mean over trials of how often the right person is among so many nearest."""
    return sum(each.cmc[rank - 1] for each in found) / len(found)
