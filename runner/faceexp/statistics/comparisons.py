"""Which differences between losses are real?

Trials of the same seed and fold share the split, the pretrained weights and the batches, so losses are compared by
paired t-tests over (seed, fold). The training sets of different trials overlap, which makes the plain variance of a
mean too small; it is corrected after Nadeau and Bengio (``differences``). Within a metric, p-values are corrected over
all pairs of labels after Holm.

A trial counts for a metric if its status is ``"ok"`` and its value is a finite number.

References:
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003).
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979).
    Piepho, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons", Journal of Computational and
    Graphical Statistics 13 (2004).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, Protocol

from faceexp.statistics.differences import Difference, Rule, differences
from faceexp.statistics.holm import holm
from faceexp.statistics.letters import letters
from faceexp.statistics.moderation import FEWEST
from faceexp.statistics.paired import Cell, Interval, averaged_by_fold, detectable_in_errors, mean_of, t_quantile
from faceexp.statistics.power.question import ALPHA

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


Verdict = Literal["a>b", "b>a", "indistinguishable"]

METHOD = (
    "Intervals of means: Student t over the trials (seeds x folds) with the variance of Nadeau and Bengio (2003), "
    "s^2 (1/n + n_test/n_rest), since trials share training data; those of rates on the arcsine scale. Questions: each "
    "is a family of its own, judged in the primary metric alone. Helps: paired t-tests against what losses start from, "
    "two-sided, with variances moderated over the losses (Smyth, 2004), corrected after Holm (1979). Best: Hsu's "
    "multiple comparison with the best (1984), two-sided, only where Tukey's test of the largest difference shows that "
    "losses differ at all. All pairs, as an appendix, and all other metrics: the same t-test, corrected after Holm "
    "over all pairs of rows of a metric, at 5 %. Effect size: Cohen's d_z. Minimum detectable difference: "
    "what an uncorrected test finds in 80 % of repetitions, given the spread that was seen."
)


class Result(Protocol):
    """What the statistics need to know of a trial."""

    @property
    def label(self) -> str:
        """The loss with its options, or the baseline."""

    @property
    def kind(self) -> str:
        """``"loss"`` or ``"baseline"``."""

    @property
    def seed(self) -> int:
        """The seed; trials of the same seed and fold are paired."""

    @property
    def fold(self) -> int:
        """The fold."""

    @property
    def status(self) -> str:
        """``"ok"``; anything else means that there is nothing to compare."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Values by metric; ``None`` or ``nan`` if a value is not defined."""


@dataclass(frozen=True)
class Summary:
    """One metric of one label, summed up over its trials.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: ``"loss"`` or ``"baseline"``.
        metric: Name of the metric.
        mean: Mean over the trials that count; ``nan`` if there are none.
        ci95: 95 % Student t interval of the mean; ``None`` for fewer than two trials. That of a rate is computed on the
            arcsine scale and ends within 0 and 1.
        n: How many trials count.
        comparable: The mean as it would probably be with the seeds and folds that this label lacks: see
            :func:`comparable_means`. Labels are ranked by it.
        group: Letters. Two labels cannot be told apart if and only if they share a letter. The label with the best mean
            has an ``a``; a label without trials has no letter.
    """

    label: str
    kind: str
    metric: str
    mean: float
    ci95: Interval | None
    n: int
    comparable: float
    group: str


@dataclass(frozen=True)
class Comparison:
    """One metric of two labels, compared over the trials that they have in common.

    Attributes:
        metric: Name of the metric.
        a: One label.
        b: The other.
        difference: Mean of a minus b; ``nan`` without common trials.
        ci95: 95 % Student t interval of the difference. It is that of this pair alone, not widened for the number of
            pairs. ``None`` for fewer than two common trials, or if the difference is the same in all of them.
        p_corrected: p-value of the paired two-sided t-test, corrected after Holm; ``None`` if there was no test.
        verdict: ``"a>b"`` if a is better and ``"b>a"`` if b is better, in the direction of the metric, at the level of
            5 %; else ``"indistinguishable"``.
        effect_size: The difference over the standard deviation of the paired differences (Cohen's d_z), with the sign
            of the difference. 0.2 is called small, 0.5 medium, 0.8 large. ``None`` if ``ci95`` is.
        minimum_detectable_difference: The difference that this test, before the correction for the number of pairs,
            would find in 80 % of repetitions, given the spread that was seen; ``None`` if ``ci95`` is, or if it would
            have to be larger than any difference can be.
    """

    metric: str
    a: str
    b: str
    difference: float
    ci95: Interval | None
    p_corrected: float | None
    verdict: Verdict
    effect_size: float | None
    minimum_detectable_difference: float | None


def summarise(
    results: Sequence[Result],
    higher_is_better: Mapping[str, bool],
    test_train_ratio: float = 0.0,
    comparisons: Sequence[Comparison] | None = None,
    *,
    rates: Collection[str] = (),
    average_seeds: bool = False,
) -> list[Summary]:
    """Return mean, interval and letters of every label, metric by metric, with labels in the order of the results.

    The interval is ``mean +- t(0.975, n - 1) s sqrt(1/n + test_train_ratio)`` over the trials (seeds x folds). With a
    ratio above 0, that is the corrected resampled variance of Nadeau and Bengio; with 0, the plain variance.

    Args:
        results: The results of all trials, including failed ones.
        higher_is_better: Direction of each metric.
        test_train_ratio: Test data per datum that is not tested, n_test/n_rest; 0: no correction.
        comparisons: What :func:`compare` returns for the same arguments, if it is known already. The letters follow
            from it.
        rates: Metrics that are rates: their intervals end within 0 and 1.
        average_seeds: Whether seeds are averaged within each fold first, as for a list that fixes the test pairs.

    Raises:
        ValueError: Two results have the same label, seed and fold, or the ratio is negative.
    """
    kinds = {result.label: result.kind for result in reversed(results)}
    if comparisons is None:
        comparisons = compare(results, higher_is_better, test_train_ratio, rates=rates, average_seeds=average_seeds)
    summaries = []
    for metric, higher in higher_is_better.items():
        table = table_of(results, metric)
        comparable = comparable_means(table)
        groups = _groups(comparable, [pair for pair in comparisons if pair.metric == metric], higher=higher)
        for label, cells in table.items():
            mean = mean_of(averaged_by_fold(cells) if average_seeds else [*cells.values()], test_train_ratio)
            interval = mean.interval(rate=metric in rates)
            group = groups.get(label, "")
            summaries.append(
                Summary(label, kinds[label], metric, mean.value, interval, mean.n, comparable[label], group)
            )
    return summaries


def compare(
    results: Sequence[Result],
    higher_is_better: Mapping[str, bool],
    test_train_ratio: float = 0.0,
    chosen: Sequence[tuple[str, str]] | None = None,
    *,
    rates: Collection[str] = (),
    average_seeds: bool = False,
) -> list[Comparison]:
    """Return the comparison of every pair of labels, losses and baselines alike, metric by metric.

    Two labels are compared by a paired t-test over their common (seed, fold), ``t = mean(d) / (s sqrt(1/n + ratio))``
    with d = a - b. From five labels on, s is moderated over all pairs of the metric, which also gives it more than the
    n - 1 degrees of freedom of its own (``moderation``). Then Holm's correction is made over the tests of the metric.
    With fewer than two common trials there is no test. If the difference is the same in all trials, and no other pair
    lends it a spread, there is nothing to judge it by: p is 1 if the difference is 0, else ``None``, and nothing is
    claimed. Such a difference comes from very few pairs, or from trials that are copies of each other; it does not mean
    certainty.

    Args:
        results: The results of all trials, including failed ones.
        higher_is_better: Direction of each metric.
        test_train_ratio: Test data per datum that is not tested, n_test/n_rest; 0: no correction.
        chosen: The pairs of labels to compare; Holm's correction is made over these alone. ``None``: all pairs.
        rates: Metrics that are rates: no difference of them is larger than 1.
        average_seeds: Whether seeds are averaged within each fold first, as for a list that fixes the test pairs.

    Raises:
        ValueError: Two results have the same label, seed and fold, or the ratio is negative.
    """
    comparisons: list[Comparison] = []
    for metric, higher in higher_is_better.items():
        table = table_of(results, metric)
        pairs = list(combinations(table, 2)) if chosen is None else chosen
        limit = 1.0 if metric in rates else math.inf
        rule = Rule(test_train_ratio, higher, average_seeds=average_seeds, limit=limit)
        compared = len({label for pair in pairs for label in pair}) if chosen is None else len(pairs)
        tests = differences(table, pairs, rule, lend=compared >= FEWEST)
        corrected = holm([test.p_value for test in tests])
        comparisons += [
            _comparison(metric, pair, test, p, rule) for pair, test, p in zip(pairs, tests, corrected, strict=True)
        ]
    return comparisons


def table_of(results: Sequence[Result], metric: str) -> dict[str, dict[Cell, float]]:
    """Return label -> (seed, fold) -> value of a metric. A label without any value has an empty row."""
    table: dict[str, dict[Cell, float]] = {result.label: {} for result in results}
    seen: set[tuple[str, Cell]] = set()
    for result in results:
        cell = (result.seed, result.fold)
        if (result.label, cell) in seen:
            raise ValueError(f"two results of {result.label!r} for seed {result.seed}, fold {result.fold}")
        seen.add((result.label, cell))
        value = result.metrics.get(metric) if result.status == "ok" else None
        if value is not None and math.isfinite(value):
            table[result.label][cell] = float(value)
    return table


def comparable_means(table: Mapping[str, Mapping[Cell, float]]) -> dict[str, float]:
    """Return the mean of each label, made comparable where trials of it are missing; ``nan`` without any trial.

    A label of which trials failed, or that was not trained any further, has a mean over other people than the rest:
    perhaps over the easy ones. To its mean is added by how much the labels that have all trials are better in all of
    them than in those that this label has. Without a label that has all, nothing is added.

    Args:
        table: Label -> (seed, fold) -> value.
    """
    cells = {cell for row in table.values() for cell in row}
    complete = [row for row in table.values() if len(row) == len(cells)]

    def average(chosen: Collection[Cell]) -> float:
        return math.fsum(row[cell] for row in complete for cell in chosen) / (len(complete) * len(chosen))

    means = {}
    for label, row in table.items():
        means[label] = math.fsum(row.values()) / len(row) if row else math.nan
        if row and complete and len(row) < len(cells):
            means[label] += average(cells) - average(row)
    return means


def _comparison(
    metric: str, pair: tuple[str, str], test: Difference, p_corrected: float | None, rule: Rule
) -> Comparison:
    verdict: Verdict = "indistinguishable"
    if p_corrected is not None and p_corrected <= ALPHA:
        verdict = "a>b" if (test.value > 0) == rule.higher_is_better else "b>a"
    smallest = detectable_in_errors(test.degrees) * test.error if test.error else None
    return Comparison(
        metric=metric,
        a=pair[0],
        b=pair[1],
        difference=test.value,
        ci95=test.interval(t_quantile(1 - ALPHA / 2, test.degrees), rule.limit) if test.error else None,
        p_corrected=p_corrected,
        verdict=verdict,
        effect_size=test.value / test.seen if test.error and test.seen else None,
        # A difference that cannot be would never be found.
        minimum_detectable_difference=None if smallest is None or smallest > rule.limit else smallest,
    )


def _groups(means: Mapping[str, float], comparisons: Sequence[Comparison], *, higher: bool) -> dict[str, str]:
    """Return label -> letters in one metric, for labels that have trials."""
    different = {frozenset((pair.a, pair.b)) for pair in comparisons if pair.verdict != "indistinguishable"}
    ranked = sorted((label for label in means if not math.isnan(means[label])), key=means.__getitem__, reverse=higher)
    return letters(ranked, different)
