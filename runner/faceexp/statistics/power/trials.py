"""Power from the trials of a run, for the paired t-test over them with the variance of Nadeau and Bengio.

Where the pairs come from a list, the seeds of a fold share its test pairs, and the folds share none: then the values of
a fold's seeds are averaged, and the test is over the folds.

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
from statistics import fmean, stdev, variance

from faceexp.statistics.power.question import ALPHA, LEAST_DIFFERENCE, POWER, UnanswerableError, check

# Seed and fold of a trial.
Cell = tuple[int, int]
# Label -> (seed, fold) -> value of a metric.
Table = Mapping[str, Mapping[Cell, float]]

# The search for a number of seeds ends here; nobody runs more. Often no number suffices: since training sets overlap,
# the standard error does not fall below a limit, however many seeds there are.
MOST_SEEDS = 100_000
# Differences of metrics, which are numbers near 1, that vary by less than this differ only by rounding.
ROUNDING = 1e-15
# The search for a number of people ends here; there are no more.
MOST_PEOPLE = 10**10
# Standard normal values are integrated over from minus to plus this; beyond it lie 2e-19 of all.
FARTHEST_NORMAL = 9


@dataclass(frozen=True)
class Design:
    """How the images of a run were divided into parts; all numbers are means over the splits.

    Attributes:
        test_train_ratio: r of the corrected variance: test images for each image that is not for testing.
        test_share: Share of test images among all images.
        validation_share: Share of validation images among the images that are not for testing.
        test_people: People in a test part.
        test_pairs: Pairs in a test part.
        listed: Whether pairs and folds come from a list. If so, the test is over folds and r is 0, folds cannot be
            added, and the number of pairs grows in proportion to that of people. Without a list every two images are a
            pair, and the number of pairs grows with the square of that of people.
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
        detectable: The smallest difference that the run finds with the power that is asked for; ``None``: none that the
            metric can have.
        power: Probability with which the run finds the difference that is asked for.
        seeds: How many seeds it takes, with the folds as they are; ``None``: no number suffices, or, for a list of
            pairs of which there was one seed, it is not known.
        folds: How many folds it takes, with the people and seeds as they are; ``None``: no number suffices.
        test_people: How many people it takes in a test part, with as many times more people for training; ``None``:
            more than there are.
        test_pairs: How many pairs so many people have.
    """

    alpha: float
    detectable: float | None
    power: float | None = None
    seeds: int | None = None
    folds: int | None = None
    test_people: int | None = None
    test_pairs: int | None = None


@dataclass(frozen=True)
class RunRow:
    """The best loss compared with another label, or a label compared with the reference.

    Attributes:
        label: The other label, or that which is compared with the reference.
        n: How many trials both have in common; for a list of pairs, how many folds.
        difference: Mean of the best loss minus the other over these, or of the label minus the reference, in units of
            the metric; ``None`` without common trials.
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
        comparisons: Number of pairs that have two or more trials (or folds of a list) in common; Holm's correction is
            over these. The pairs are those of all labels, or of each loss and the reference.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        seeds: Number of seeds of the run.
        folds: Number of folds of the run.
        asked: The difference that is asked for, in units of the metric; ``None``: the observed one of each row.
        design: How the images were divided.
        rows: Every other label, the best first; with a reference, every loss.
        against: The reference with which each loss is compared; ``None``: the best loss is compared with every label.
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
    against: str | None = None


def from_run(
    table: Table,
    design: Design,
    metric: str,
    *,
    higher_is_better: bool,
    losses: Collection[str] = (),
    largest: float | None = None,
    difference: float | None = None,
    alpha: float = ALPHA,
    power: float = POWER,
    against: str | None = None,
) -> RunPower:
    """Return which labels the best loss of a run could be told apart from, and what it would take.

    With a reference, the question is which losses can be told apart from it, which is a far smaller family of tests.

    The test is ``t = mean(d) / (s sqrt(1/n + r))`` with n - 1 degrees of freedom. Here d are the paired differences of
    n trials, s is their standard deviation, which is taken for the true one, and r is the number of test images for
    each image that is not for testing. With more seeds, n grows. With k folds, there are k trials per seed, r is
    ``1 / (k - 1)``, and ``s^2`` grows in proportion to k, since it is inverse to the size of a test part. With more
    people, ``s^2`` falls in proportion to 1 / people.

    For a list of pairs, d are the means over the seeds of each of n folds, and r is 0. More seeds leave n as it is.
    They lower only the second part of ``s^2 = folds + training / seeds``, which is known from the spread of the seeds
    within folds if there are two seeds or more.

    Args:
        table: Label -> (seed, fold) -> value of the metric. Trials of the same seed and fold are paired.
        design: How the images were divided.
        metric: Name of the metric.
        higher_is_better: Direction of the metric.
        losses: The labels among which the best one is chosen; if empty, all labels.
        largest: The largest difference that two values of the metric can have, if there is one.
        difference: The difference to ask for, in units of the metric; ``None``: the observed one of each row.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        against: A label with which each of the losses is compared.

    Raises:
        UnanswerableError: No other label has two trials in common with the best loss whose differences vary; or an
            argument is out of bounds.
    """
    check(alpha, power, difference)
    if difference and largest and difference > largest:
        raise UnanswerableError(f"no two values of {metric} differ by as much as was asked for")
    sign = 1 if higher_is_better else -1
    scores = {label: sign * sum(row.values()) / len(row) for label, row in table.items() if row}
    candidates = [label for label in scores if label in losses or not losses]
    best = max(candidates, key=lambda label: scores[label], default=None)
    if best is None:
        raise UnanswerableError(f"no loss has a trial with a value of {metric}")
    units = _folds if design.listed else _trials
    if against is None:
        compared = {label: (best, label) for label in table if label != best}
    else:
        compared = {label: (label, against) for label in table if label in losses and label != against}
    family = combinations(table, 2) if against is None else compared.values()
    tested = sum(len(units(_paired(table[a], table[b]))) > 1 for a, b in family)
    cells = {cell for row in table.values() for cell in row}
    cut = len({seed for seed, _ in cells}), len({fold for _, fold in cells})
    rows = []
    for label in sorted(compared, key=lambda label: (-scores.get(label, -math.inf), label)):
        a, b = compared[label]
        differences = units(_paired(table[a], table[b]))
        means = [fmean(values) for values in differences]
        observed = fmean(means) if means else None
        asked = difference or (abs(observed) if observed and abs(observed) >= LEAST_DIFFERENCE else None)
        has_spread = len(means) > 1 and max(means) - min(means) > ROUNDING
        single, corrected = (
            _answer(asked, differences, cut, design, largest, level, power) if has_spread else None
            for level in (alpha, alpha / max(1, tested))
        )
        rows.append(RunRow(label, len(means), observed, asked, single, corrected))
    if not any(row.single for row in rows):
        raise UnanswerableError(
            f"there is no variance to judge by: {against or best} and another row need two trials at least whose "
            f"difference in {metric} varies; run with more seeds or folds"
        )
    return RunPower(
        metric, best, sign * scores[best], tested, alpha, power, *cut, difference, design, tuple(rows), against
    )


def _paired(a: Mapping[Cell, float], b: Mapping[Cell, float]) -> dict[Cell, float]:
    """Return a - b in every trial that both have."""
    return {cell: a[cell] - value for cell, value in b.items() if cell in a}


def _trials(differences: Mapping[Cell, float]) -> list[list[float]]:
    """Return every trial by itself, as what counts as one observation."""
    return [[value] for value in differences.values()]


def _folds(differences: Mapping[Cell, float]) -> list[list[float]]:
    """Return the values of all seeds of a fold together, as what counts as one observation."""
    folds: dict[int, list[float]] = {}
    for (_, fold), value in differences.items():
        folds.setdefault(fold, []).append(value)
    return list(folds.values())


def _answer(
    asked: float | None,
    differences: list[list[float]],
    cut: tuple[int, int],
    design: Design,
    largest: float | None,
    alpha: float,
    power: float,
) -> Answer:
    (seeds, folds), n = cut, len(differences)
    ratio = 0.0 if design.listed else design.test_train_ratio
    spread = stdev(map(fmean, differences))
    error = spread * math.sqrt(1 / n + ratio)
    needed = required(n, alpha, power) * error
    detectable = needed if largest is None or needed <= largest else None
    if asked is None:
        return Answer(alpha, detectable)

    def suffices(n: int, ratio: float, spread: float) -> bool:
        return n > 1 and required(n, alpha, power) * spread * math.sqrt(1 / n + ratio) <= asked

    def with_folds(k: int) -> bool:
        return suffices(seeds * k, 1 / (k - 1), spread * math.sqrt(k * design.test_share))

    def with_seeds(more: int) -> bool:
        if not design.listed:
            return suffices(more * folds, ratio, spread)
        between_folds = max(0.0, spread**2 - training / fmean(map(len, differences)))
        return suffices(n, 0.0, math.sqrt(between_folds + training / more))

    repeated = [values for values in differences if len(values) > 1]
    training = fmean(map(variance, repeated)) if repeated else 0.0
    factor = (needed / asked) ** 2
    people = design.test_people * factor
    exist = people <= MOST_PEOPLE
    return Answer(
        alpha=alpha,
        detectable=detectable,
        power=t_test_power(n, asked / error, alpha),
        seeds=_first(with_seeds, 1, MOST_SEEDS) if repeated or not design.listed else None,
        folds=None if design.listed else _first(with_folds, 2, design.most_folds),
        test_people=math.ceil(people) if exist else None,
        test_pairs=math.ceil(design.test_pairs * (factor if design.listed else factor**2)) if exist else None,
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
def required(n: float, alpha: float, power: float) -> float:
    """Return the noncentrality at which a two-sided t-test of n values has this power."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    enough = -2 * stdtrit(n - 1, alpha / 2)
    while t_test_power(n, enough, alpha) < power:
        enough *= 2
    return float(brentq(lambda noncentrality: t_test_power(n, noncentrality, alpha) - power, 0, enough))
