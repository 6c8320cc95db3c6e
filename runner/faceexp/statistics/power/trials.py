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

# Seed and fold of a trial.
Cell = tuple[int, int]
# Label -> (seed, fold) -> value of a metric.
Table = Mapping[str, Mapping[Cell, float]]

# The search for a number of seeds ends here; nobody runs more. Often no number suffices: since training sets overlap,
# the standard error does not fall below a limit, however many seeds there are.
MOST_SEEDS = 100_000
# Differences of metrics, which are numbers near 1, that vary by less than this differ only by rounding.
ROUNDING = 1e-15
# Standard normal values are integrated over from minus to plus this; beyond it lie 2e-19 of all.
FARTHEST_NORMAL = 9


@dataclass(frozen=True)
class Design:
    """How the images of a run were divided into parts; all numbers are means over the splits.

    Attributes:
        test_train_ratio: Test images per training image.
        test_share: Share of test images among all images.
        validation_share: Share of validation images among the images that are not for testing.
        test_people: People in a test part.
        test_pairs: Pairs in a test part.
        listed: Whether pairs and folds come from a list. If so, folds cannot be added, and the number of pairs grows in
            proportion to that of people. Without a list every two images are a pair, and the number of pairs grows with
            the square of that of people.
        most_folds: The largest number of folds for which there are enough people, or enough images of each person.
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
    """What a run could have found in one comparison, and what it takes to find the difference that is asked for.

    Attributes:
        alpha: The level of the test.
        detectable: The smallest difference that the run finds with the power that is asked for.
        power: Probability with which the run finds the difference that is asked for.
        seeds: How many seeds it takes, with the folds as they are; ``None``: no number suffices.
        folds: How many folds it takes, with the people and seeds as they are; ``None``: no number suffices.
        test_people: How many people it takes in a test part, with as many times more people for training.
        test_pairs: How many pairs so many people have.
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
    """The best loss compared with another label.

    Attributes:
        label: The other label.
        n: How many trials both have in common.
        difference: Mean of the best loss minus the other over these trials, in units of the metric; ``None`` without
            common trials.
        asked: The difference that is asked for, by default the observed one; ``None`` if that is 0.
        single: The answer at the level alpha; ``None`` if there is no spread to judge by.
        corrected: The answer at alpha divided by the number of comparisons.
    """

    label: str
    n: int
    difference: float | None
    asked: float | None
    single: Answer | None
    corrected: Answer | None


@dataclass(frozen=True)
class RunPower:
    """What a run could have found, and what it would take to find a difference.

    Attributes:
        metric: Name of the metric.
        best: The loss with the best mean.
        mean: Its mean.
        comparisons: Number of pairs of labels that have two or more trials in common; Holm's correction is over these.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        seeds: Number of seeds of the run.
        folds: Number of folds of the run.
        asked: The difference that is asked for, in units of the metric; ``None``: the observed one of each row.
        design: How the images were divided.
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
    """Return which labels the best loss of a run could be told apart from, and what it would take.

    The test is ``t = mean(d) / (s sqrt(1/n + r))`` with n - 1 degrees of freedom. Here d are the paired differences of
    n trials, s is their standard deviation, which is taken for the true one, and r is the number of test images per
    training image. With more seeds, n grows. With k folds, there are k trials per seed, r is
    ``1 / ((k - 1) (1 - validation_share))``, and ``s^2`` grows in proportion to k, since it is inverse to the size of a
    test part. With more people, ``s^2`` falls in proportion to 1 / people.

    Args:
        table: Label -> (seed, fold) -> value of the metric. Trials of the same seed and fold are paired.
        design: How the images were divided.
        metric: Name of the metric.
        higher_is_better: Direction of the metric.
        losses: The labels among which the best one is chosen; if empty, all labels.
        difference: The difference to ask for, in units of the metric; ``None``: the observed one of each row.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.

    Raises:
        UnanswerableError: No other label has two trials in common with the best loss whose differences vary; or an
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
    """Return the standard deviation; 0 if values differ only by rounding."""
    return stdev(values) if len(values) > 1 and max(values) - min(values) > ROUNDING else 0.0


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
    """Return the smallest number from ``low`` to ``high`` that suffices; all larger numbers then suffice, too."""
    smallest = low + bisect_left(range(low, high + 1), True, key=suffices)
    return smallest if smallest <= high else None


@cache
def t_test_power(n: float, noncentrality: float, alpha: float = ALPHA) -> float:
    """Return the power of a two-sided t-test of n values: ``P(|Z + noncentrality| > t(1 - alpha/2) U)``.

    Z is standard normal, and ``U^2`` is chi-square divided by its n - 1 degrees of freedom. The probability is an
    integral over Z. The noncentral t distribution of SciPy, and with it the power of statsmodels, is not used: for some
    values at small alpha, it is ``nan`` or does not end.

    Args:
        n: Number of values, at least two; with a moderated variance, its degrees of freedom and 1.
        noncentrality: The true mean over its standard error.
        alpha: Two-sided level.
    """
    from scipy.integrate import quad
    from scipy.special import chdtr, stdtrit

    critical = -stdtrit(n - 1, alpha / 2)

    def density(z: float) -> float:
        part = chdtr(n - 1, (n - 1) * ((z + noncentrality) / critical) ** 2)
        return float(part * math.exp(-z * z / 2) / math.sqrt(2 * math.pi))

    # With many values the integrand is nearly a step at the outer two of these; the integration has to know of them.
    edges = (critical - noncentrality, -noncentrality, -critical - noncentrality)
    points = [edge for edge in edges if -FARTHEST_NORMAL < edge < FARTHEST_NORMAL]
    power, _ = quad(density, -FARTHEST_NORMAL, FARTHEST_NORMAL, points=points or None, limit=200)
    return min(1.0, float(power))


@cache
def _required(n: int, alpha: float, power: float) -> float:
    """Return the noncentrality at which a two-sided t-test of n values has this power."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    enough = -2 * stdtrit(n - 1, alpha / 2)
    while t_test_power(n, enough, alpha) < power:
        enough *= 2
    return float(brentq(lambda noncentrality: t_test_power(n, noncentrality, alpha) - power, 0, enough))
