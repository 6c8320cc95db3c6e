"""What a report says of images that could not be used, and of the error rates that count them."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.data.test_set import set_in_words
from faceexp.report.columns import rows_of
from faceexp.report.groups import brief, interval_of
from faceexp.report.words import NOTHING, many
from faceexp.results.failures import RATES, FailuresRecord, MeanRateRecord
from faceexp.results.schema import RunRecord
from faceexp.values import Kind

HEADINGS = tuple(f"{rate.upper()} %" for rate in RATES)
LEGEND = (
    "FMR and FNMR are about the pairs that were compared; FAR = FMR (1 - FTA) and FRR = FTA + FNMR (1 - FTA) count "
    "what was lost as rejected. Means over trials with 95 % intervals"
)


@dataclass(frozen=True)
class ErrorRow:
    """The error rates of a row, as text, in the order of :data:`HEADINGS`."""

    label: str
    kind: Kind
    cells: tuple[str, ...]


def lost_sentence(run: RunRecord) -> str:
    """Return what was lost, and what that does to the best row; empty where nothing was lost."""
    lost = run.failures
    if lost is None:
        return ""
    people = f", and {many(lost.people, 'person', 'people')} could not take part" if lost.people else ""
    whose, tested = set_in_words(run.measured_on), "" if run.measured_on else " of the test"
    text = f"{many(lost.images, 'image')} of {whose} could not be used{people}: {shares(lost)}{tested}"
    best = next(
        (row for label in (row.label for row in rows_of(run)) for row in lost.rates if row.label == label), None
    )
    if best is None or best.fnmr.mean is None or best.frr.mean is None:
        return text
    with_lost, without = brief(best.frr.mean * 100), brief(best.fnmr.mean * 100)
    return text if with_lost == without else f"{text}; so {best.label} rejects {with_lost} %, not {without} %"


def shares(lost: FailuresRecord) -> str:
    """Return the shares of images and people that are lost: ``FTA 15.0 %, FTE 0.0 %``."""
    both = (("FTA", lost.fta), ("FTE", lost.fte))
    return ", ".join(f"{name} {brief(value * 100)} %" for name, value in both if value is not None)


def error_rows(run: RunRecord) -> list[ErrorRow]:
    """Return the error rates of the rows, in the order of the leaderboard; none where nothing was lost."""
    if run.failures is None:
        return []
    order = {row.label: place for place, row in enumerate(rows_of(run))}
    rates = sorted(run.failures.rates, key=lambda rates: order.get(rates.label, len(order)))
    return [ErrorRow(row.label, row.kind, tuple(_cell(getattr(row, rate)) for rate in RATES)) for row in rates]


def _cell(rate: MeanRateRecord) -> str:
    return NOTHING if rate.mean is None else f"{brief(rate.mean * 100)}{interval_of(rate.ci95, 100)}"


def title(run: RunRecord) -> str:
    """Return what the table of error rates shows, and of which faces."""
    of = f"{set_in_words(run.measured_on)}: " if run.measured_on else ""
    told = f" ({shares(run.failures)})" if run.failures else ""
    return f"{of}error rates, without and with what was lost{told}"


def shown_failures(run: RunRecord) -> dict[str, object] | None:
    """Return what the page shows of what was lost; ``None`` where nothing was."""
    if run.failures is None:
        return None
    return {"sentence": lost_sentence(run), "legend": LEGEND, "headings": HEADINGS, "rows": error_rows(run)}
