"""The table of a run: its columns and rows, and how means are written, the same in every report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceexp.evaluation.catalogue import COLUMNS, LEADING, METRIC_OF, Metric
from faceexp.experiment.baselines import PHASE1
from faceexp.results.budgets import BUDGET_KINDS
from faceexp.results.schema import RunRecord, SummaryRecord, TrialRecord
from faceexp.values import Kind


def columns_of(run: RunRecord) -> tuple[Metric, ...]:
    """Return the metrics that a run has, since not every protocol gives all; every metric where it has none."""
    present = {row.metric for row in run.summary}
    return tuple(metric for metric in COLUMNS if metric.key in present) or COLUMNS


@dataclass(frozen=True)
class Row:
    """One label of a run.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: Whether it is a loss or a baseline.
        summaries: Mean and interval by metric.
        ok: How many of its trials ended well.
        total: How many trials it has.
        reason: Why the first one that failed did; ``None`` where none did.
    """

    label: str
    kind: Kind
    summaries: Mapping[str, SummaryRecord]
    ok: int
    total: int
    reason: str | None

    def mean(self, metric: Metric) -> float | None:
        """Return the mean of a metric, ``None`` where there is none."""
        summary = self.summaries.get(metric.key)
        return summary.mean if summary else None

    def letters(self, metric: Metric) -> str:
        """Return the letters in a metric: rows that share one cannot be told apart."""
        summary = self.summaries.get(metric.key)
        return summary.group if summary else ""


def rows_of(run: RunRecord, sort: Metric = LEADING) -> list[Row]:
    """Return the rows of a run, the best of a metric first, losses and baselines alike; those without it at the end."""
    summaries: dict[str, dict[str, SummaryRecord]] = {}
    trials: dict[str, list[TrialRecord]] = {}
    for summary in run.summary:
        summaries.setdefault(summary.label, {})[summary.metric] = summary
    for trial in run.trials:
        trials.setdefault(trial.label, []).append(trial)
    table = []
    for label, of_label in trials.items():
        failed = [trial for trial in of_label if trial.status != "ok"]
        reason = f"{failed[0].status}: {failed[0].reason}" if failed else None
        ok, total = len(of_label) - len(failed), len(of_label)
        table.append(Row(label, of_label[0].kind, summaries.get(label, {}), ok, total, reason))
    return sorted(table, key=lambda row: (not row.ok, -_goodness(row, sort)))


def _goodness(row: Row, metric: Metric) -> float:
    mean = row.mean(metric)
    if mean is None:
        return float("-inf")
    return mean if metric.higher_is_better else -mean


def best(table: Sequence[Row], metric: Metric) -> float | None:
    """Return the best mean of a metric, or ``None`` where no row has one."""
    means = [mean for row in table if (mean := row.mean(metric)) is not None]
    return (max if metric.higher_is_better else min)(means, default=None)


def mean_and_interval(summary: SummaryRecord | None, metric: Metric) -> str:
    """Return ``95.1 ±2.3``, or a hyphen where there is no value."""
    return metric.text(summary.mean, summary.ci95) if summary else "-"


def heading(run: RunRecord) -> str:
    """Return the title of a run: its name, its protocol, its size."""
    seeds, folds = len({seed for seed, _ in run.cells}), len({fold for _, fold in run.cells})
    protocol = run.protocol.replace("_", " ")
    return f"{run.name}: {protocol}, {_count(seeds, 'seed')} x {_count(folds, 'fold')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def legend(run: RunRecord, metric: Metric = LEADING) -> str:
    """Return what the marks of a table mean, its letters being those of a metric."""
    if len(run.cells) < 2:
        return "* best of its column. One seed and fold: no interval, and no difference can be called real."
    return (
        "* best of its column. ± 95 % interval of the mean over seeds and folds, Student t with the Nadeau-Bengio "
        f"correction. Rows that share a letter cannot be told apart in {metric.name} (paired t-test, Holm-corrected, "
        "5 %)."
    )


def losses_below_phase1(run: RunRecord) -> list[str]:
    """Return a sentence for each loss that does not beat the phase-1 embedding in accuracy: often the finding."""
    table = {row.label: row for row in rows_of(run)}
    reference = table.get(PHASE1.label)
    if reference is None:
        return []
    return [
        f"{row.label} does not beat the {PHASE1.label} in {LEADING.name}"
        for row in table.values()
        if row.kind == "loss" and row.ok and _goodness(row, LEADING) <= _goodness(reference, LEADING)
    ]


def usual_budget(run: RunRecord) -> str:
    """Return in one line what most losses were given; those that were given something else are among the warnings."""
    if not run.budgets:
        return ""
    return "each loss: " + ", ".join(f"{kind.usual(run.budgets):,} {kind.words}" for kind in BUDGET_KINDS)


def told_apart(run: RunRecord, metric: Metric = LEADING) -> str:
    """Return the verdict of a run in one sentence: how many pairs of rows can be told apart."""
    compared = [pair for pair in run.comparisons if pair.metric == metric.key]
    real = sum(pair.verdict != "indistinguishable" for pair in compared)
    if not compared:
        return ""
    return f"{real or 'none'} of the {len(compared)} pairs of rows can be told apart in {metric.name}"


def verdicts(run: RunRecord, metric: Metric) -> dict[tuple[str, str], str]:
    """Return ``>`` (the first is better), ``<`` or ``=`` (cannot be told apart) for every ordered pair of labels."""
    signs = {"a>b": (">", "<"), "b>a": ("<", ">"), "indistinguishable": ("=", "=")}
    found = {}
    for pair in run.comparisons:
        if pair.metric == metric.key:
            found[pair.a, pair.b], found[pair.b, pair.a] = signs[pair.verdict]
    return found


def column_of(run: RunRecord, key: str) -> Metric:
    """Return a metric of a run.

    Raises:
        KeyError: The run has no such metric; carries the names of those it has.
    """
    known = [metric.key for metric in columns_of(run)]
    if key not in known:
        raise KeyError(*known)
    return METRIC_OF[key]
