"""The table of a run: its columns, its rows and how its means are written, which is the same in every report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceexp.errors import did_you_mean
from faceexp.evaluation.catalogue import ACCURACY, COLUMNS, FOLD_ACCURACY, LEADING, Metric
from faceexp.evaluation.named import columns_among
from faceexp.evaluation.named import metric_of as metric_named
from faceexp.experiment.baselines import PCA, PHASE1, PIXELS
from faceexp.report.used import used
from faceexp.report.words import trials_counted
from faceexp.results.budgets import BUDGET_KINDS
from faceexp.results.schema import RunRecord, SummaryRecord, TrialRecord
from faceexp.results.verdict import VerdictRecord
from faceexp.values import Kind


def columns_of(run: RunRecord) -> tuple[Metric, ...]:
    """Return the metrics that a run has, the primary one first; every metric where the run has none."""
    asked = {key for trial in run.trials for key, rate in trial.met.items() if rate is not None}
    columns = columns_among({row.metric for row in run.summary}, asked) or COLUMNS
    first = primary(run)
    return (first, *(metric for metric in columns if metric is not first)) if first in columns else columns


def primary(run: RunRecord) -> Metric:
    """Return the metric that a run is judged in: that which its experiment file declares."""
    return (metric_named(run.verdict.metric) or LEADING) if run.verdict else LEADING


@dataclass(frozen=True)
class Row:
    """One row of the table: everything that a run found about one label.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: Whether it is a loss or a baseline.
        summaries: The mean and its interval, by the key of the metric.
        ok: How many of its trials ended well.
        total: How many trials it has.
        reason: Why the first of its trials that did not end well did not; ``None`` where all of them did.
    """

    label: str
    kind: Kind
    summaries: Mapping[str, SummaryRecord]
    ok: int
    total: int
    reason: str | None

    def mean(self, metric: Metric) -> float | None:
        """Return the mean of a metric; ``None`` where the row has none."""
        summary = self.summaries.get(metric.key)
        return summary.mean if summary else None

    def rank(self, metric: Metric) -> float | None:
        """Return the mean by which rows are ranked: that of a row which lacks trials is made comparable."""
        summary = self.summaries.get(metric.key)
        return None if summary is None else summary.mean if summary.comparable is None else summary.comparable

    def letters(self, metric: Metric) -> str:
        """Return the letters of a metric: two rows that share a letter cannot be told apart in it."""
        summary = self.summaries.get(metric.key)
        return summary.group if summary else ""


def rows_of(run: RunRecord, sort: Metric | None = None) -> list[Row]:
    """Return the rows of a run, losses and baselines alike: the best in a metric first, those without a value last.

    Args:
        run: What the run found.
        sort: The metric; without one, the primary metric of the run.
    """
    sort = sort or primary(run)
    summaries: dict[str, dict[str, SummaryRecord]] = {}
    trials: dict[str, list[TrialRecord]] = {}
    for summary in run.summary:
        summaries.setdefault(summary.label, {})[summary.metric] = summary
    for trial in run.trials:
        trials.setdefault(trial.label, []).append(trial)
    rows = []
    for label, of_label in trials.items():
        failed = [trial for trial in of_label if trial.status != "ok"]
        reason = f"{failed[0].status}: {failed[0].reason}" if failed else None
        ok, total = len(of_label) - len(failed), len(of_label)
        rows.append(Row(label, of_label[0].kind, summaries.get(label, {}), ok, total, reason))
    return sorted(rows, key=lambda row: (not row.ok, -_goodness(row, sort)))


def _goodness(row: Row, metric: Metric) -> float:
    """Return the mean of a metric, turned so that more is better; minus infinity where there is none."""
    mean = row.rank(metric)
    if mean is None:
        return float("-inf")
    return mean if metric.higher_is_better else -mean


def best(rows: Sequence[Row], metric: Metric) -> float | None:
    """Return the best mean of a metric by which rows are ranked, or ``None`` where no row has one."""
    means = [mean for row in rows if (mean := row.rank(metric)) is not None]
    return (max if metric.higher_is_better else min)(means, default=None)


def judged(run: RunRecord) -> VerdictRecord | None:
    """Return what was judged of the rows that have a trial: nothing was found out about one that was never trained."""
    if run.verdict is None:
        return None
    untrained = {row.label for row in rows_of(run) if not row.ok}
    of_trained = {
        question: tuple(each for each in getattr(run.verdict, question) if each.label not in untrained)
        for question in ("guessing", "helps", "best")
    }
    return run.verdict.model_copy(update=of_trained)


def starred(run: RunRecord, metric: Metric) -> frozenset[str]:
    """Return the label of the row with the best mean of a metric, if it is shown to beat another loss; else nothing.

    That the baselines are worse is no reason: a star would say that one of the losses has won. In the primary metric,
    what the run shows of which loss may be the best counts as well. A row that is not shown to beat guessing is shown
    to be better than nothing.
    """
    rows = rows_of(run)
    first = best(rows, metric)
    losses = {row.label for row in rows if row.kind != "baseline"}
    told = {
        better
        for pair in run.comparisons
        if pair.metric == metric.key and pair.verdict != "indistinguishable"
        for better, worse in [(pair.a, pair.b) if pair.verdict == "a>b" else (pair.b, pair.a)]
        if worse in losses
    }
    verdict = run.verdict
    if verdict and metric is primary(run) and any(not standing.may_be_best for standing in verdict.best):
        told |= {standing.label for standing in verdict.best if standing.may_be_best and standing.interval}
    if verdict:
        told &= {claim.label for claim in verdict.guessing if claim.verdict == "better"}
    return frozenset(row.label for row in rows if row.label in told and row.rank(metric) == first)


def reference(run: RunRecord) -> str:
    """Return the row that every loss starts from, with which it is compared."""
    return run.verdict.reference if run.verdict else PHASE1.label


def compared(run: RunRecord) -> tuple[str, str]:
    """Return what the rows beside the baselines are called, one and several: losses, or embeddings of any origin."""
    existing = any(trial.kind == "pretrained" for trial in run.trials)
    return ("embedding", "embeddings") if existing else ("loss", "losses")


def simplest(run: RunRecord) -> list[str]:
    """Return which of the two baselines that need no network the run has: raw pixels and PCA."""
    there = {row.label for row in rows_of(run) if row.ok}
    return [label for label in (PIXELS.label, PCA.label) if label in there]


def trains(run: RunRecord) -> bool:
    """Return whether a run has losses, so that there is something from which they start and which they may help."""
    return any(trial.kind == "loss" for trial in run.trials)


def mean_and_interval(summary: SummaryRecord | None, metric: Metric) -> str:
    """Return a mean and the ends of its interval, or the error of its mean over folds; a hyphen without a value."""
    if summary and metric.by_folds:
        error = "" if summary.standard_error is None else f" ±{metric.text(summary.standard_error, None)}"
        return metric.text(summary.mean, None) + error
    return metric.text(summary.mean, summary.ci95) if summary else "-"


def heading(run: RunRecord) -> str:
    """Return the title of a run: its name, its protocol, and how many trials it had."""
    labels = {(trial.label, trial.kind) for trial in run.trials}
    kinds = Counter(kind for _, kind in labels)
    counted = trials_counted(
        len(run.trials),
        losses=kinds["loss"],
        pretrained=kinds["pretrained"],
        baselines=kinds["baseline"],
        seeds=len({seed for seed, _ in run.cells}),
        folds=len({fold for _, fold in run.cells}),
    )
    where = f" on {run.measured_on}" if run.measured_on else ""
    about = f", {told}" if (told := used(run)) else ""
    return f"{run.name}{where}: {run.protocol.replace('_', ' ')}{about}, {counted}"


# Two metrics are called accuracy where a list has folds; each says what it is.
TWO_ACCURACIES = (
    f"{ACCURACY.name}: at the validation threshold, both kinds of pairs weigh alike, with the 95 % interval over "
    f"trials. {FOLD_ACCURACY.name}: by the protocol of the list, at the threshold that is best on its other folds, ± "
    "the standard error over folds."
)
ONE_CELL = "One seed and fold: no interval, and no difference can be called real."
METHOD = (
    "Mean and 95 % interval over seeds and folds, Student t with the Nadeau-Bengio correction, "
    "rates on the arcsine scale."
)
STAR = "* best mean of its column, and shown to be better than another loss."


def legend(run: RunRecord, metric: Metric | None = None, star: str = STAR) -> str:
    """Return what the marks of a table mean; its letters are those of the given metric.

    Args:
        run: What the run found.
        metric: The metric by which the table is sorted.
        star: What marks the best value of a column, in a sentence; empty where the table has no such mark.
    """
    several = len(run.cells) > 1
    text = METHOD if several else ONE_CELL
    text = f"{star} {text}" if star and several else text
    text = f"{text} {TWO_ACCURACIES}" if FOLD_ACCURACY in columns_of(run) else text
    if run.verdict is None:
        if not several:
            return text
        name = (metric or primary(run)).name
        return f"{text} Rows that share a letter cannot be told apart in {name} (paired t-test, Holm-corrected, 5 %)."
    name = primary(run).name
    helps = f" helps: {name} minus that of the {reference(run)}." if trains(run) else ""
    return (
        f"{text}{helps} Only {name} was declared to be judged; all other metrics are secondary, and a difference in "
        "one of many metrics may be chance."
    )


def losses_below_phase1(run: RunRecord) -> list[str]:
    """Return a sentence for each loss whose mean does not beat that of the phase-1 embedding in the primary metric.

    Every loss starts from that embedding, so a loss that does not beat it has taught the network nothing.
    """
    rows = {row.label: row for row in rows_of(run)}
    start = rows.get(reference(run))
    if start is None:
        return []
    metric = primary(run)
    return [
        f"{row.label} does not beat the {start.label} in {metric.name}"
        for row in rows.values()
        if row.kind != "baseline" and row.ok and _goodness(row, metric) <= _goodness(start, metric)
    ]


def usual_budget(run: RunRecord) -> str:
    """Return in one line what most losses were given; the run's warnings name those that were given something else."""
    if not run.budgets:
        return ""
    usual = "each loss: " + ", ".join(kind.counted(kind.usual(run.budgets)) for kind in BUDGET_KINDS)
    others = [
        f"{budget.label} {kind.counted(kind.of(budget))}"
        for kind in BUDGET_KINDS
        for budget in run.budgets
        if not kind.warns and kind.is_unusual(budget, run.budgets)
    ]
    return "; ".join([usual, *others])


def told_apart(run: RunRecord, metric: Metric) -> str:
    """Return the verdict of a run in one sentence: how many pairs of rows can be told apart."""
    pairs = [pair for pair in run.comparisons if pair.metric == metric.key]
    real = sum(pair.verdict != "indistinguishable" for pair in pairs)
    if not pairs:
        return ""
    return f"{real or 'none'} of the {len(pairs)} pairs of rows can be told apart in {metric.name}"


def verdicts(run: RunRecord, metric: Metric) -> dict[tuple[str, str], str]:
    """Return a sign for every ordered pair of labels.

    It is ``>`` where the first is better, ``<`` where it is worse, ``=`` where the two cannot be told apart, and ``·``
    where they were not tested.
    """
    both_ways = {"a>b": (">", "<"), "b>a": ("<", ">"), "indistinguishable": ("=", "=")}
    signs = {}
    for pair in run.comparisons:
        if pair.metric == metric.key:
            untested = pair.p_corrected is None and pair.verdict == "indistinguishable"
            signs[pair.a, pair.b], signs[pair.b, pair.a] = ("·", "·") if untested else both_ways[pair.verdict]
    return signs


def metric_of(run: RunRecord, key: str) -> Metric:
    """Return the metric of a run that has this key, or this heading in its table, with the unit or without it.

    Raises:
        KeyError: The run has no such metric; the error says which is meant, or which it has.
    """
    metrics = columns_of(run)
    for metric in metrics:
        if metric.is_called(key) or metric is metric_named(key):
            return metric
    names = {name for metric in metrics for name in (metric.key, metric.name)}
    raise KeyError(did_you_mean(key, names, always_list=False) or did_you_mean(key, [metric.key for metric in metrics]))
