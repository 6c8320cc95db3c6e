"""How far apart the largest of many t values may lie by chance: critical values after Dunnett and after Tukey.

References:
    Dunnett, "A Multiple Comparison Procedure for Comparing Several Treatments with a Control", Journal of the American
    Statistical Association 50 (1955).
    Tukey, "The Problem of Multiple Comparisons" (1953), in his Collected Works VIII.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

# Points of the two integrals. The critical values then agree with published tables to all of their digits.
POINTS = 80
# A t distribution with more degrees of freedom is taken for a normal one.
MOST_DEGREES = 10_000.0


@cache
def dunnett(others: int, degrees: float, alpha: float) -> float:
    """Return d with ``P(max |T_i| <= d) = 1 - alpha`` for several two-sided comparisons with one and the same row.

    The T_i are t distributed, and any two correlate by 1/2, since they share that row.

    Args:
        others: How many rows are compared with the one, at least 1.
        degrees: Degrees of freedom of the variance.
        alpha: Probability that at least one of them is larger by chance.
    """
    from scipy.optimize import brentq
    from scipy.stats import t

    if others == 1:
        return float(t.ppf(1 - alpha / 2, degrees))
    within = _within(others, degrees)
    # It lies between the quantile for one comparison and that for so many unrelated ones.
    low, high = (float(t.ppf(1 - alpha / 2 / number, degrees)) for number in (1, others))
    return float(brentq(lambda d: within(d) - (1 - alpha), 0.99 * low, 1.01 * high))


def _within(others: int, degrees: float) -> Callable[[float], float]:
    """Return d -> probability that no |T_i| is beyond d: an integral over the shared row and over the spread."""
    from scipy.special import ndtr
    from scipy.stats import chi2

    nodes, weights = np.polynomial.hermite_e.hermegauss(POINTS)
    spreads, shares = np.ones(1), np.ones(1)
    if degrees < MOST_DEGREES:
        places, shares = np.polynomial.legendre.leggauss(POINTS)
        spreads, shares = np.sqrt(chi2.ppf((places + 1) / 2, degrees) / degrees), shares / 2

    def probability(d: float) -> float:
        bound = math.sqrt(2) * d * spreads[:, None]
        inside = (ndtr(bound + nodes) - ndtr(nodes - bound)) ** others
        return float(shares @ inside @ weights / weights.sum())

    return probability


def range_p_value(largest: float, rows: int, degrees: float) -> float:
    """Return the probability that the largest |t| among all pairs of so many equal rows is at least so large."""
    from scipy.stats import studentized_range

    finite = degrees if degrees < MOST_DEGREES else math.inf
    return float(studentized_range.sf(largest * math.sqrt(2), rows, finite))
