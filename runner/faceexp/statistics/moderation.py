"""Variances that lend each other strength: with three trials a loss, its own spread says next to nothing.

Variances of many differences are taken for draws from one distribution, a scaled inverse chi-squared one. Its scale and
its degrees of freedom are estimated from all of them, and each variance is drawn towards the scale. This is the
empirical Bayes method that limma made common for thousands of genes. Here there are few differences, and they share
rows, so that they look more alike than independent ones would. What is borrowed is therefore counted at no more than a
difference knows from its own trials.

References:
    Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in Microarray Experiments",
    Statistical Applications in Genetics and Molecular Biology 3 (2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray

# With fewer losses than this, their spreads say too little of what all have in common, and each stands for itself.
FEWEST = 5
# The logarithm of a tiny variance would outweigh all others. It counts as this share of the median, as in limma.
SMALLEST_SHARE = 1e-5


@dataclass(frozen=True)
class Moderated:
    """Variances after each was drawn towards what all have in common.

    Attributes:
        variances: float (G,), the moderated variances.
        degrees: float (G,), the degrees of freedom that each of them has now.
    """

    variances: FloatArray
    degrees: FloatArray


def moderated(variances: FloatArray, degrees: FloatArray) -> Moderated:
    """Return variances ``(d0 s0^2 + d s^2) / (d0 + d)`` with ``d0 + d`` degrees of freedom, and d0 at most d.

    A variance of 0, as of values that are rounded, says nothing of how values vary: it becomes s0^2, and s0^2 and d0
    are estimated without it. Where fewer than two variances are above 0, all are returned as they are.

    Args:
        variances: float (G,), the variances s^2.
        degrees: float (G,), their degrees of freedom d, at least 1.
    """
    variances, degrees = np.asarray(variances, float), np.asarray(degrees, float)
    varies = variances > 0
    if np.count_nonzero(varies) < 2:
        return Moderated(variances, degrees)
    common, prior_degrees = _prior(variances[varies], degrees[varies])
    borrowed = np.where(varies, np.minimum(prior_degrees, degrees), 0.0)
    drawn = (borrowed * common + degrees * variances) / (borrowed + degrees)
    return Moderated(np.where(varies, drawn, common), borrowed + degrees)


def _prior(variances: FloatArray, degrees: FloatArray) -> tuple[float, float]:
    """Return s0^2 and d0 by the moments of the logarithms; d0 is infinite if the variances differ by chance alone."""
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    floored = np.maximum(variances, SMALLEST_SHARE * np.median(variances))
    logarithms = np.log(floored) - digamma(degrees / 2) + np.log(degrees / 2)
    # Trigamma is the variance of the logarithm of a chi-squared variable; what is above it is real.
    excess = float(np.var(logarithms, ddof=1) - np.mean(polygamma(1, degrees / 2)))
    smallest, largest = 1e-3, 1e6
    if excess <= polygamma(1, largest):
        return float(np.mean(floored)), np.inf
    half = (
        smallest if excess >= polygamma(1, smallest) else brentq(lambda x: polygamma(1, x) - excess, smallest, largest)
    )
    return float(np.exp(np.mean(logarithms) + digamma(half) - np.log(half))), 2 * float(half)
