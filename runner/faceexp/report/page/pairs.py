"""The comparisons of all rows, ready to be shown on the page: a table of pairs and a matrix of verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from faceexp.evaluation.catalogue import Metric
from faceexp.report.words import NOTHING, probability, signed
from faceexp.results.schema import RunRecord


class PairCells(NamedTuple):
    """Two rows compared in one metric, ready to show; in JSON it is an array, since there are thousands of them.

    Attributes:
        a: Place of one row.
        b: Place of the other.
        difference: Mean of a minus b.
        interval: Its 95 % interval.
        p: The corrected p-value.
        effect_size: The effect size.
        detectable: The minimum detectable difference.
        decided: 1 where a is better, -1 where b is, 0 where no difference is shown, ``None`` where there was no test.
    """

    a: int
    b: int
    difference: str
    interval: str
    p: str
    effect_size: str
    detectable: str
    decided: int | None


def pairs_of(run: RunRecord, places: Mapping[str, int], metric: Metric) -> list[PairCells]:
    """Return the comparisons of a metric; ``places`` are those of the rows, by label."""
    cells = []
    for pair in run.comparisons:
        if pair.metric != metric.key:
            continue
        low, high = (signed(end, metric.scale, metric.digits) for end in pair.ci95 or (None, None))
        smallest = pair.minimum_detectable_difference
        cells.append(
            PairCells(
                places[pair.a],
                places[pair.b],
                signed(pair.difference, metric.scale, metric.digits),
                f"{low} to {high}" if pair.ci95 else NOTHING,
                probability(pair.p_corrected),
                signed(pair.effect_size, 1, 2),
                NOTHING if smallest is None else f"{smallest * metric.scale:.{metric.digits}f}",
                None if pair.p_corrected is None else {"a>b": 1, "b>a": -1}.get(pair.verdict, 0),
            )
        )
    return cells


def matrix_of(order: Sequence[int], pairs: Sequence[PairCells]) -> list[list[str]]:
    """Return a mark for each row (down) and row (across), in order: better, worse, not told apart, no test."""
    marks: dict[tuple[int, int], str] = {}
    for pair in pairs:
        marks[pair.a, pair.b] = "·" if pair.decided is None else "<=>"[pair.decided + 1]
        marks[pair.b, pair.a] = "·" if pair.decided is None else "<=>"[1 - pair.decided]
    return [["" if a == b else marks.get((a, b), "·") for b in order] for a in order]
