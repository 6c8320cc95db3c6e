"""The paired t-test over trials whose training sets overlap, and Holm's correction for several tests.

References:
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003).
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from faceexp.statistics.power.question import ALPHA, POWER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Lower and upper end.
Interval = tuple[float, float]
# Seed and fold of a trial.
Cell = tuple[int, int]


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

    def interval(self) -> Interval | None:
        """Return the 95 % Student t interval."""
        if self.error is None:
            return None
        half = _t_quantile(1 - ALPHA / 2, self.n - 1) * self.error
        return self.value - half, self.value + half


def mean_of(values: Sequence[float], test_train_ratio: float) -> MeanWithError:
    """Return the mean of the values of some trials, with the standard error ``s sqrt(1/n + test_train_ratio)``.

    Raises:
        ValueError: The ratio is negative.
    """
    import numpy as np

    if test_train_ratio < 0:
        raise ValueError(f"test_train_ratio must be at least 0, not {test_train_ratio}")
    n = len(values)
    if n == 0:
        return MeanWithError(math.nan, 0, None)
    if n == 1:
        return MeanWithError(float(values[0]), 1, None)
    spread = float(np.std(values, ddof=1))
    return MeanWithError(float(np.mean(values)), n, spread * math.sqrt(1 / n + test_train_ratio), spread)


def paired_difference(a: Mapping[Cell, float], b: Mapping[Cell, float], test_train_ratio: float) -> MeanWithError:
    """Return the mean of a - b over the trials that two labels have in common.

    If the difference is the same in all of them, but for rounding, its standard error is 0.

    Raises:
        ValueError: The ratio is negative.
    """
    import numpy as np

    common = [cell for cell in a if cell in b]
    differences = [a[cell] - b[cell] for cell in common]
    mean = mean_of(differences, test_train_ratio)
    if mean.error is None:
        return mean
    # 0.3 - 0.2 and 0.2 - 0.1 differ in the last binary digit; such rounding must not count as spread.
    rounding = 4 * np.finfo(np.float64).eps * max(max(abs(a[cell]), abs(b[cell])) for cell in common)
    if max(differences) - min(differences) > rounding:
        return mean
    return MeanWithError(mean.value if max(map(abs, differences)) > rounding else 0.0, mean.n, 0.0)


def p_value(difference: MeanWithError) -> float | None:
    """Return the two-sided p-value of a paired t-test; ``None`` if there is no test.

    There is none for fewer than two trials, nor for a difference that is the same in all trials and not 0. For a
    difference that is 0 in all trials, p is 1.
    """
    from scipy.special import stdtr

    if difference.error is None:
        return None
    if difference.error == 0:
        return 1.0 if difference.value == 0 else None
    return float(2 * stdtr(difference.n - 1, -abs(difference.value) / difference.error))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for the number of tests; ``None``, where there was no test, does not count."""
    from statsmodels.stats.multitest import multipletests

    tested = [p for p in p_values if p is not None]
    if not tested:
        return list(p_values)
    # `multipletests` collects garbage at each call, which takes 50 ms, and much longer if TensorFlow is loaded. What is
    # frozen is not looked through.
    gc.freeze()
    try:
        corrected = iter(multipletests(tested, alpha=ALPHA, method="holm")[1])
    finally:
        gc.unfreeze()
    return [None if p is None else float(next(corrected)) for p in p_values]


@cache
def _t_quantile(probability: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


@cache
def detectable_in_errors(n: int) -> float:
    """Return the detectable difference of a paired t-test of n trials, in units of its standard error.

    The factor is the same whether the standard error is corrected for overlapping training sets or not.
    """
    from statsmodels.stats.power import TTestPower

    standardised = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=POWER, alternative="two-sided")
    return float(standardised) * math.sqrt(n)
