"""The paired t-test over trials whose training sets overlap.

References:
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from faceexp.statistics.power.question import ALPHA, POWER
from faceexp.statistics.power.trials import required

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Lower and upper end.
Interval = tuple[float, float]
# Seed and fold of a trial.
Cell = tuple[int, int]

# A spread below this share of the values is none: a metric of faces cannot be known so finely, and a p-value that rests
# on it, such as that of 1, 1, 1 against 0.5, 0.5, 0.5 + 1e-9, would claim a certainty that nobody has.
RESOLUTION = 1e-6


@dataclass(frozen=True)
class MeanWithError:
    """A mean with what is known of its error.

    Attributes:
        value: The mean; ``nan`` without values.
        n: Number of values.
        error: Standard error of the mean; ``None`` for fewer than two values.
        spread: Standard deviation of the values; ``None`` for fewer than two.
    """

    value: float
    n: int
    error: float | None
    spread: float | None = None

    def interval(self, *, rate: bool = False) -> Interval | None:
        """Return the 95 % Student t interval.

        That of a rate is computed on the arcsine scale, ``sin^2(asin(sqrt(m)) +- t e / (2 sqrt(m (1 - m))))``, so that
        it ends within 0 and 1, and is wider on the side that is farther from its end.
        """
        if self.error is None:
            return None
        half = t_quantile(1 - ALPHA / 2, self.n - 1) * self.error
        if not rate or not 0 < self.value < 1:
            return self.value - half, self.value + half
        middle = math.asin(math.sqrt(self.value))
        turned = half / (2 * math.sqrt(self.value * (1 - self.value)))
        return math.sin(max(middle - turned, 0.0)) ** 2, math.sin(min(middle + turned, math.pi / 2)) ** 2


def mean_of(values: Sequence[float], test_train_ratio: float) -> MeanWithError:
    """Return the mean of the values of some trials, with the standard error ``s sqrt(1/n + test_train_ratio)``.

    Raises:
        ValueError: The ratio is negative.
    """
    if test_train_ratio < 0:
        raise ValueError(f"test_train_ratio must be at least 0, not {test_train_ratio}")
    n = len(values)
    if n == 0:
        return MeanWithError(math.nan, 0, None)
    mean = math.fsum(values) / n
    if n == 1:
        return MeanWithError(mean, 1, None)
    # There are hundreds of short lists in a run: NumPy would take ten times as long for each of them.
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return MeanWithError(mean, n, spread * math.sqrt(1 / n + test_train_ratio), spread)


def paired_difference(
    a: Mapping[Cell, float], b: Mapping[Cell, float], test_train_ratio: float, *, average_seeds: bool = False
) -> MeanWithError:
    """Return the mean of a - b over the trials that two labels have in common.

    If the difference is the same in all of them, but for :data:`RESOLUTION`, its standard error is 0.

    Args:
        a: (seed, fold) -> value of one label.
        b: The same of the other.
        test_train_ratio: The part of the variance that comes from shared training data.
        average_seeds: Whether the differences of all seeds of a fold are averaged first. Where a list names the test
            pairs of each fold, all seeds judge the very same pairs, so that they are no further evidence on people.

    Raises:
        ValueError: The ratio is negative.
    """
    common = [cell for cell in a if cell in b]
    differences = [a[cell] - b[cell] for cell in common]
    # The smallest step that counts as spread, measured by the values themselves: ratios and rates differ in size.
    resolution = RESOLUTION * max((max(abs(a[cell]), abs(b[cell])) for cell in common), default=0.0)
    if average_seeds:
        differences = averaged_by_fold(dict(zip(common, differences, strict=True)))
    mean = mean_of(differences, test_train_ratio)
    if mean.error is None or max(differences) - min(differences) > resolution:
        return mean
    return MeanWithError(mean.value if max(map(abs, differences)) > resolution else 0.0, mean.n, 0.0, 0.0)


def averaged_by_fold(values: Mapping[Cell, float]) -> list[float]:
    """Return the mean over the seeds of each fold, in the order of the folds."""
    folds: dict[int, list[float]] = {}
    for (_, fold), value in values.items():
        folds.setdefault(fold, []).append(value)
    return [math.fsum(folds[fold]) / len(folds[fold]) for fold in sorted(folds)]


@cache
def t_quantile(probability: float, degrees: float) -> float:
    """Return a quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def detectable_in_errors(degrees: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the difference that a t-test finds with the given power, in units of its standard error.

    The factor is the same whether the standard error is corrected for overlapping training sets or not.
    """
    return required(degrees + 1, alpha, power)
