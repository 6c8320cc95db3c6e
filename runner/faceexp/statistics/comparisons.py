"""Which differences between losses are real?

Trials of one seed and fold share split, phase 1 and batches, so losses are compared by paired t-tests over
(seed, fold). The training sets of different trials overlap, which makes the plain variance of a mean too small; where
``test_train_ratio`` is given, it is corrected after Nadeau and Bengio: ``(1/n + n_test/n_train) s^2`` in place of
``s^2 / n``. Within a metric, p-values are corrected over all pairs of labels after Holm.

A trial counts for a metric if it ended ``"ok"`` and its value is a finite number.

References:
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003).
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979).
    Piepho, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons", Journal of Computational and
    Graphical Statistics 13 (2004).
"""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from faceexp.statistics.letters import letters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


Verdict = Literal["a>b", "b>a", "indistinguishable"]


Interval = tuple[float, float]


Cell = tuple[int, int]


ALPHA = 0.05


POWER = 0.8


METHOD = (
    "Intervals: Student t over the trials (seeds x folds) with the variance of Nadeau and Bengio (2003), s^2 (1/n + "
    "n_test/n_train), since trials share training images. Comparisons: paired t-test over the common seeds and folds "
    "with the same variance, two-sided, corrected after Holm (1979) over all pairs of rows of a metric; a difference "
    "is called real at a corrected p of 5 % or less. Effect size: Cohen's d_z. Minimum detectable difference: what an "
    "uncorrected test finds in 80 % of repetitions, given the spread that was seen."
)


class Result(Protocol):
    """What is read of a trial's result."""

    @property
    def label(self) -> str:
        """The loss with its options, or the baseline."""

    @property
    def kind(self) -> str:
        """``"loss"`` or ``"baseline"``."""

    @property
    def seed(self) -> int:
        """The seed; trials of one seed and fold are paired."""

    @property
    def fold(self) -> int:
        """The fold."""

    @property
    def status(self) -> str:
        """``"ok"``, or why there is nothing to compare."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Values by metric; ``None`` or ``nan`` where one is not defined."""


@dataclass(frozen=True)
class Summary:
    """One metric of one label over its trials.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: ``"loss"`` or ``"baseline"``.
        metric: Name of the metric.
        mean: Over the trials that count; ``nan`` without any.
        ci95: Student t interval of the mean; ``None`` for fewer than two trials.
        n: Trials that count.
        group: Letters; two labels cannot be told apart if and only if they share one. The best mean has an ``a``.
            Empty without trials.
    """

    label: str
    kind: str
    metric: str
    mean: float
    ci95: Interval | None
    n: int
    group: str


@dataclass(frozen=True)
class Comparison:
    """One metric of two labels over the trials they have in common.

    Attributes:
        metric: Name of the metric.
        a: One label.
        b: The other.
        difference: Mean of a minus b; ``nan`` without common trials.
        ci95: Student t interval of the difference, of this pair alone (not widened for the number of pairs); ``None``
            for fewer than two common trials, or if the difference is the same in all of them.
        p_corrected: Of the paired t-test, two-sided, after Holm; ``None`` if there was no test.
        verdict: ``"a>b"``: a is better, in the direction of the metric, at 5 %.
        effect_size: Difference over the standard deviation of the paired differences (Cohen's d_z); ``None`` where
            ``ci95`` is. 0.2 is called small, 0.5 medium, 0.8 large; signs as those of the difference.
        minimum_detectable_difference: The difference which this test, before the correction for the number of pairs,
            would find in 80 % of repetitions, given the spread it saw; ``None`` where ``ci95`` is.
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


@dataclass(frozen=True)
class _Mean:
    """A mean with what is known of its error.

    Attributes:
        value: The mean, ``nan`` of nothing.
        n: Of how many values.
        error: Its standard error; ``None`` for fewer than two values.
        spread: The standard deviation of the values; ``None`` for fewer than two.
    """

    value: float
    n: int
    error: float | None
    spread: float | None = None

    def interval(self) -> Interval | None:
        """Return the 95 % Student t interval."""
        if self.error is None:
            return None
        half = _t_quantile(1 - ALPHA / 2, self.n - 1) * self.error
        return self.value - half, self.value + half


def summarise(
    results: Sequence[Result],
    higher_is_better: Mapping[str, bool],
    test_train_ratio: float = 0.0,
    comparisons: Sequence[Comparison] | None = None,
) -> list[Summary]:
    """Return mean, interval and letters of every label, metric by metric, labels in order of appearance.

    The interval is ``mean +- t(0.975, n - 1) s sqrt(1/n + test_train_ratio)`` over the trials (seeds x folds): the
    corrected resampled variance of Nadeau and Bengio where a ratio is given, the plain one where it is 0.

    Args:
        results: Of all trials, failed ones too.
        higher_is_better: The metrics, and their direction.
        test_train_ratio: Test images per training image of a trial, n_test/n_train; 0: no correction.
        comparisons: What :func:`compare` gives for the same arguments, where it is known; the letters rest on it.

    Raises:
        ValueError: Two results have one label, seed and fold, or the ratio is negative.
    """
    kinds = {result.label: result.kind for result in reversed(results)}
    if comparisons is None:
        comparisons = compare(results, higher_is_better, test_train_ratio)
    groups = _groups(results, higher_is_better, comparisons)
    summaries = []
    for metric in higher_is_better:
        for label, cells in _table(results, metric).items():
            mean = _mean(list(cells.values()), test_train_ratio)
            group = groups[metric].get(label, "")
            summaries.append(Summary(label, kinds[label], metric, mean.value, mean.interval(), mean.n, group))
    return summaries


def compare(
    results: Sequence[Result],
    higher_is_better: Mapping[str, bool],
    test_train_ratio: float = 0.0,
    chosen: Sequence[tuple[str, str]] | None = None,
) -> list[Comparison]:
    """Return the comparison of every pair of labels, losses and baselines alike, metric by metric.

    A paired t-test over the common (seed, fold): ``t = mean(d) / (s sqrt(1/n + test_train_ratio))`` with n - 1 degrees
    of freedom and d = a - b, then Holm's correction over the tests of the metric. There is no test for fewer than two
    common trials. Where the difference is the same in all trials there is no spread to judge it by: p is 1 if it is 0,
    else ``None`` and nothing is claimed - such differences come from few pairs or from trials that are copies of one
    another, not from certainty.

    Args:
        results: Of all trials, failed ones too.
        higher_is_better: The metrics, and their direction.
        test_train_ratio: Test images per training image of a trial, n_test/n_train; 0: no correction.
        chosen: The pairs of labels to compare, between which alone Holm's correction is made; ``None``: all.

    Raises:
        ValueError: Two results have one label, seed and fold, or the ratio is negative.
    """
    comparisons: list[Comparison] = []
    for metric, higher in higher_is_better.items():
        table = _table(results, metric)
        pairs = list(combinations(table, 2)) if chosen is None else chosen
        differences = [_paired(table[a], table[b], test_train_ratio) for a, b in pairs]
        corrected = _holm([_p_value(difference) for difference in differences])
        comparisons += [
            _comparison(metric, pair, difference, p, higher=higher)
            for pair, difference, p in zip(pairs, differences, corrected, strict=True)
        ]
    return comparisons


def _table(results: Sequence[Result], metric: str) -> dict[str, dict[Cell, float]]:
    """Return label -> (seed, fold) -> value; a label without any value keeps an empty row."""
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


def _mean(values: Sequence[float], test_train_ratio: float) -> _Mean:
    if test_train_ratio < 0:
        raise ValueError(f"test_train_ratio must be at least 0, not {test_train_ratio}")
    n = len(values)
    if n == 0:
        return _Mean(math.nan, 0, None)
    if n == 1:
        return _Mean(float(values[0]), 1, None)
    spread = float(np.std(values, ddof=1))
    return _Mean(float(np.mean(values)), n, spread * math.sqrt(1 / n + test_train_ratio), spread)


def _paired(a: Mapping[Cell, float], b: Mapping[Cell, float], test_train_ratio: float) -> _Mean:
    common = [cell for cell in a if cell in b]
    differences = [a[cell] - b[cell] for cell in common]
    mean = _mean(differences, test_train_ratio)
    if mean.error is None:
        return mean
    # 0.3 - 0.2 and 0.2 - 0.1 differ in the last digit; that is not spread.
    rounding = 4 * np.finfo(np.float64).eps * max(max(abs(a[cell]), abs(b[cell])) for cell in common)
    if max(differences) - min(differences) > rounding:
        return mean
    return _Mean(mean.value if max(map(abs, differences)) > rounding else 0.0, mean.n, 0.0)


def _p_value(difference: _Mean) -> float | None:
    from scipy.special import stdtr

    if difference.error is None:
        return None
    if difference.error == 0:
        return 1.0 if difference.value == 0 else None
    return float(2 * stdtr(difference.n - 1, -abs(difference.value) / difference.error))


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    from statsmodels.stats.multitest import multipletests

    tested = [p for p in p_values if p is not None]
    if not tested:
        return list(p_values)
    gc.freeze()  # multipletests collects garbage at each call: 50 ms and more, beside TensorFlow much more
    try:
        corrected = iter(multipletests(tested, alpha=ALPHA, method="holm")[1])
    finally:
        gc.unfreeze()
    return [None if p is None else float(next(corrected)) for p in p_values]


def _comparison(
    metric: str, pair: tuple[str, str], difference: _Mean, p_corrected: float | None, *, higher: bool
) -> Comparison:
    verdict: Verdict = "indistinguishable"
    if p_corrected is not None and p_corrected <= ALPHA:
        verdict = "a>b" if (difference.value > 0) == higher else "b>a"
    has_spread = bool(difference.error)
    return Comparison(
        metric=metric,
        a=pair[0],
        b=pair[1],
        difference=difference.value,
        ci95=difference.interval() if has_spread else None,
        p_corrected=p_corrected,
        verdict=verdict,
        effect_size=difference.value / difference.spread if has_spread and difference.spread else None,
        minimum_detectable_difference=_detectable(difference.n) * (difference.error or 0.0) if has_spread else None,
    )


@cache
def _t_quantile(probability: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


@cache
def _detectable(n: int) -> float:
    """Return the detectable difference of a paired t-test in units of its standard error, corrected or not."""
    from statsmodels.stats.power import TTestPower

    standardised = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=POWER, alternative="two-sided")
    return float(standardised) * math.sqrt(n)


def _groups(
    results: Sequence[Result], higher_is_better: Mapping[str, bool], comparisons: Sequence[Comparison]
) -> dict[str, dict[str, str]]:
    """Return metric -> label -> letters, of labels with trials."""
    different: dict[str, set[frozenset[str]]] = {metric: set() for metric in higher_is_better}
    for comparison in comparisons:
        if comparison.verdict != "indistinguishable":
            different[comparison.metric].add(frozenset((comparison.a, comparison.b)))
    groups = {}
    for metric, higher in higher_is_better.items():
        means = {label: float(np.mean([*row.values()])) for label, row in _table(results, metric).items() if row}
        ranked = sorted(means, key=lambda label: means[label], reverse=higher)
        groups[metric] = letters(ranked, different[metric])
    return groups
