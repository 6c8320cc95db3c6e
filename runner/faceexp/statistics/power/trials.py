"""Power from the trials of a run, for the paired t-test over them with the variance of Nadeau and Bengio.

References:
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from statistics import stdev

from faceexp.statistics.power.question import ALPHA, POWER, UnanswerableError, check

Cell = tuple[int, int]
Table = Mapping[str, Mapping[Cell, float]]

MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Design:
    """How a run was cut: means over its parts.

    Attributes:
        test_train_ratio: Test images per training image.
        test_share: Test images among all.
        validation_share: Validation images among those that are not for test.
        test_people: People in a test part.
        test_pairs: Pairs of a test part.
        listed: Whether pairs and folds come from a list, so that folds cannot be added and pairs grow as people do;
            without a list every two images are a pair, and pairs grow as people squared.
        most_folds: Folds that people, or the images of each, suffice for.
    """

    test_train_ratio: float
    test_share: float
    validation_share: float
    test_people: float
    test_pairs: float
    listed: bool
    most_folds: int


@dataclass(frozen=True)
class Answer:
    """What a run could have found against one row, and the least that finds the difference asked for.

    Attributes:
        alpha: The level of the test.
        detectable: The smallest difference that the run finds with the power asked for.
        power: Probability with which the run finds the difference asked for.
        seeds: Seeds, with the folds as they are; ``None``: no number suffices.
        folds: Folds, with the people and seeds as they are; ``None``: no number suffices.
        test_people: People in a test part, those for training growing with them.
        test_pairs: The pairs that so many people give.
    """

    alpha: float
    detectable: float
    power: float | None = None
    seeds: int | None = None
    folds: int | None = None
    test_people: int | None = None
    test_pairs: int | None = None


@dataclass(frozen=True)
class RunRow:
    """The best loss against another label.

    Attributes:
        label: The other.
        n: Trials in common.
        difference: Mean of the best minus the other over those, in units of the metric; ``None`` without any.
        asked: The difference asked for, by default the observed one; ``None`` where that is 0.
        single: At alpha; ``None`` where there is no spread to judge by.
        corrected: At alpha over the number of comparisons.
    """

    label: str
    n: int
    difference: float | None
    asked: float | None
    single: Answer | None
    corrected: Answer | None


@dataclass(frozen=True)
class RunPower:
    """What a run could have found, and what it would take.

    Attributes:
        metric: Name of the metric.
        best: The loss with the best mean.
        mean: That mean.
        comparisons: Pairs of labels with two trials in common, over which Holm corrects.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        seeds: Of the run.
        folds: Of the run.
        asked: The difference asked for, in units of the metric; ``None``: of each row the observed one.
        design: How it was cut.
        rows: Every other label, the best first.
    """

    metric: str
    best: str
    mean: float
    comparisons: int
    alpha: float
    power: float
    seeds: int
    folds: int
    asked: float | None
    design: Design
    rows: tuple[RunRow, ...]


def from_run(
    table: Table,
    design: Design,
    metric: str,
    *,
    higher_is_better: bool,
    losses: Collection[str] = (),
    difference: float | None = None,
    alpha: float = ALPHA,
    power: float = POWER,
) -> RunPower:
    """Return what the best loss of a run could be told apart from, and what it would take.

    The test is ``t = mean(d) / (s sqrt(1/n + r))`` with n - 1 degrees of freedom; d are the paired differences of n
    trials, s their standard deviation, here taken for the true one, r the test images per training image. With more
    seeds n grows. With k folds n is k a seed, r is ``1 / ((k - 1) (1 - validation_share))``, and ``s^2`` is inverse to
    the size of a test part, so grows as k. With more people ``s^2`` falls as 1 / people.

    Args:
        table: Label -> (seed, fold) -> value of the metric; trials of one cell are paired.
        design: How the data were cut.
        metric: Name of the metric.
        higher_is_better: Direction of the metric.
        losses: Labels to choose the best from; all where empty.
        difference: The difference to ask for, in units of the metric; the observed one where ``None``.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.

    Raises:
        UnanswerableError: The best loss has no two trials in common with another row, whose differences vary; or an
            argument is out of bounds.
    """
    check(alpha, power, difference)
    sign = 1 if higher_is_better else -1
    scores = {label: sign * sum(row.values()) / len(row) for label, row in table.items() if row}
    candidates = [label for label in scores if label in losses or not losses]
    best = max(candidates, key=lambda label: scores[label], default=None)
    if best is None:
        raise UnanswerableError(f"no loss has a trial with a value of {metric}")
    tested = sum(len(table[a].keys() & table[b].keys()) > 1 for a, b in combinations(table, 2))
    cells = {cell for row in table.values() for cell in row}
    cut = len({seed for seed, _ in cells}), len({fold for _, fold in cells})
    rows = []
    for label in sorted(table.keys() - {best}, key=lambda label: (-scores.get(label, -math.inf), label)):
        paired = [table[best][cell] - value for cell, value in table[label].items() if cell in table[best]]
        observed = math.fsum(paired) / len(paired) if paired else None
        asked = difference or (abs(observed) if observed else None)
        spread = _spread(paired)
        single, corrected = (
            _answer(asked, spread, len(paired), cut, design, level, power) if spread else None
            for level in (alpha, alpha / max(1, tested))
        )
        rows.append(RunRow(label, len(paired), observed, asked, single, corrected))
    if not any(row.single for row in rows):
        raise UnanswerableError(
            f"there is no variance to judge by: {best} and another row need two trials at least whose difference in "
            f"{metric} varies; run with more seeds or folds"
        )
    return RunPower(metric, best, sign * scores[best], tested, alpha, power, *cut, difference, design, tuple(rows))


def _spread(values: list[float]) -> float:
    """Return the standard deviation; 0 where values differ by no more than the rounding of numbers near 1."""
    return stdev(values) if len(values) > 1 and max(values) - min(values) > 1e-15 else 0.0


def _answer(
    asked: float | None, spread: float, n: int, cut: tuple[int, int], design: Design, alpha: float, power: float
) -> Answer:
    ratio, (seeds, folds) = design.test_train_ratio, cut
    error = spread * math.sqrt(1 / n + ratio)
    detectable = _required(n, alpha, power) * error
    if asked is None:
        return Answer(alpha, detectable)

    def suffices(n: int, ratio: float, spread: float) -> bool:
        return n > 1 and _required(n, alpha, power) * spread * math.sqrt(1 / n + ratio) <= asked

    def with_folds(k: int) -> bool:
        overlap = 1 / ((k - 1) * (1 - design.validation_share))
        return suffices(seeds * k, overlap, spread * math.sqrt(k * design.test_share))

    factor = (detectable / asked) ** 2
    return Answer(
        alpha=alpha,
        detectable=detectable,
        power=t_test_power(n, asked / error, alpha),
        seeds=_first(lambda more: suffices(more * folds, ratio, spread), 1, MOST_SEEDS),
        folds=None if design.listed else _first(with_folds, 2, design.most_folds),
        test_people=math.ceil(design.test_people * factor),
        test_pairs=math.ceil(design.test_pairs * (factor if design.listed else factor**2)),
    )


def _first(suffices: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the smallest number that suffices; all larger ones then do."""
    found = low + bisect_left(range(low, high + 1), True, key=suffices)
    return found if found <= high else None


@cache
def t_test_power(n: int, noncentrality: float, alpha: float = ALPHA) -> float:
    """Return the power of a two-sided t-test of n values: ``P(|Z + noncentrality| > t(1 - alpha/2) U)``.

    Z is standard normal, ``U^2`` chi-square over its n - 1 degrees of freedom. SciPy's noncentral t, and with it the
    power of statsmodels, is ``nan`` or does not end for some values at small alpha; so Z is integrated over instead.

    Args:
        n: Number of values, two at least.
        noncentrality: True mean over its standard error.
        alpha: Two-sided level.
    """
    from scipy.integrate import quad
    from scipy.special import chdtr, stdtrit

    critical = -stdtrit(n - 1, alpha / 2)

    def density(z: float) -> float:
        part = chdtr(n - 1, (n - 1) * ((z + noncentrality) / critical) ** 2)
        return float(part * math.exp(-z * z / 2) / math.sqrt(2 * math.pi))

    # With many values the integrand is nearly a step at the outer two; beyond 9 there is nothing.
    edges = (critical - noncentrality, -noncentrality, -critical - noncentrality)
    points = [edge for edge in edges if -9 < edge < 9]
    return min(1.0, float(quad(density, -9, 9, points=points or None, limit=200)[0]))


@cache
def _required(n: int, alpha: float, power: float) -> float:
    """Return the noncentrality that gives a t-test of n values this power."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    enough = -2 * stdtrit(n - 1, alpha / 2)
    while t_test_power(n, enough, alpha) < power:
        enough *= 2
    return float(brentq(lambda noncentrality: t_test_power(n, noncentrality, alpha) - power, 0, enough))
