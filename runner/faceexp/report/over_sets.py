"""All test sets side by side: a mean for each row and set, and which rows differ in their ranks, in words."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.evaluation.catalogue import Metric
from faceexp.evaluation.named import known
from faceexp.report.answers import Answer, labels_in_words
from faceexp.report.columns import rows_of
from faceexp.report.words import many, probability
from faceexp.results.on_set import OWN
from faceexp.results.schema import RunRecord
from faceexp.results.set_record import OverSetsRecord
from faceexp.statistics.ranks import FEWEST_ROWS
from faceexp.values import Kind


@dataclass(frozen=True)
class RowOverSets:
    """One row on all sets.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: Whether it is a loss or a baseline.
        means: For each set its mean, as it is shown; a hyphen where there is none.
        best: For each set whether it has the best mean.
        rank: Its mean rank, as it is shown; empty where there is none.
    """

    label: str
    kind: Kind
    means: tuple[str, ...]
    best: tuple[bool, ...]
    rank: str


def metric_over_sets(record: OverSetsRecord) -> Metric:
    """Return the metric that is shown of every set."""
    return known(record.metric)


def names_of_sets(run: RunRecord) -> tuple[str, ...]:
    """Return what the columns are called: the test part of the run's own data, and the test sets."""
    return (OWN, *(each.name for each in run.test_sets))


def rows_over_sets(run: RunRecord) -> list[RowOverSets]:
    """Return the rows, the best mean rank first; nothing if there are no test sets."""
    record = run.over_sets
    if record is None:
        return []
    metric, names = metric_over_sets(record), names_of_sets(run)
    kinds = {row.label: row.kind for row in rows_of(run)}
    order = {label: place for place, label in enumerate(dict.fromkeys([*record.mean_rank, *kinds]))}
    columns = {name: [of_row.get(name) for of_row in record.means.values()] for name in names}
    tops = {name: _best([value for value in column if value is not None], metric) for name, column in columns.items()}
    rows = []
    for label in sorted(record.means, key=lambda label: order.get(label, len(order))):
        of_row = [record.means[label].get(name) for name in names]
        rank = record.mean_rank.get(label)
        rows.append(
            RowOverSets(
                label,
                kinds.get(label, "loss"),
                tuple(metric.text(value, None) for value in of_row),
                tuple(value is not None and value == tops[name] for value, name in zip(of_row, names, strict=True)),
                "" if rank is None else f"{rank:.1f}",
            )
        )
    return rows


@dataclass(frozen=True)
class Clique:
    """Rows next to each other in the order of their mean ranks, no two of which are told apart.

    Attributes:
        labels: The rows, the best first; two at least.
        first: The mean rank of the first of them.
        last: That of the last.
        lane: Lines of cliques that would touch have different lanes, counted from 0.
    """

    labels: tuple[str, ...]
    first: float
    last: float
    lane: int


def cliques(record: OverSetsRecord) -> tuple[Clique, ...]:
    """Return the largest such groups, the best first; none where ranks can decide nothing, or a row is told from all.

    Two rows are told apart if Friedman's test shows that rows differ, and their mean ranks lie as far apart as the
    critical difference. So every row between two that are not told apart is told from neither.
    """
    if record.critical is None:
        return ()
    labels, apart = list(record.mean_rank), {frozenset(pair) for pair in record.apart}
    found: list[Clique] = []
    ends: list[float] = []
    reached = -1
    for place, label in enumerate(labels):
        last = max(other for other in range(place, len(labels)) if frozenset((label, labels[other])) not in apart)
        if last == place or last <= reached:
            continue
        reached = last
        first_rank, last_rank = record.mean_rank[label], record.mean_rank[labels[last]]
        lane = next((lane for lane, end in enumerate(ends) if end < first_rank), len(ends))
        ends[lane : lane + 1] = [last_rank]
        found.append(Clique(tuple(labels[place : last + 1]), first_rank, last_rank, lane))
    return tuple(found)


def _best(values: list[float], metric: Metric) -> float | None:
    return (max if metric.higher_is_better else min)(values, default=None)


def ranks_in_words(run: RunRecord) -> Answer | None:
    """Return what the ranks of rows over all sets show, or why they can show nothing."""
    record = run.over_sets
    if record is None:
        return None
    question, metric = "which rows differ over sets?", metric_over_sets(record)
    rows, sets = len(record.mean_rank), many(record.sets, "set")
    if record.fewest_sets is None or rows < FEWEST_ROWS:
        text = f"Ranks decide nothing: fewer than {FEWEST_ROWS} rows have a value on every set."
        return Answer(question, text)
    if record.p is None:
        text = (
            f"{sets[:1].upper()}{sets[1:]} can decide nothing by ranks, whatever the numbers: it takes "
            f"{record.fewest_sets} sets at least before any two of {rows} rows can be told apart (Friedman's test, "
            f"Nemenyi's critical difference at 5 %), and some more before it is likely."
        )
        return Answer(question, text)
    p = probability(record.p)
    p = f"Friedman's test, p {p if p.startswith('<') else f'= {p}'}"
    if not record.apart:
        more = (
            "" if record.p > 0.05 else f", but no two of them by Nemenyi's critical difference of {record.critical:.1f}"
        )
        differ = "are not shown to differ" if record.p > 0.05 else "differ"
        text = f"In {metric.name}, the ranks of {rows} rows over {sets} {differ} ({p}){more}."
        return Answer(question, text)
    beaten: dict[str, list[str]] = {}
    for better, worse in record.apart:
        beaten.setdefault(better, []).append(worse)
    told = "; ".join(f"{better} before {labels_in_words(worse)}" for better, worse in beaten.items())
    text = (
        f"In {metric.name}, the ranks of {rows} rows over {sets} differ ({p}). Mean ranks that lie "
        f"{record.critical:.1f} apart are told apart (Nemenyi, 5 %): {told}."
    )
    return Answer(question, text)
