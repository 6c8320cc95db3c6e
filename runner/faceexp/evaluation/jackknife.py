"""The interval of a rate from what it becomes when each unit in turn is left out (the jackknife).

A unit is what can be taken as drawn independently of the others: a person, or a pair where nobody knows who is in it.

References:
    Arvesen, "Jackknifing U-Statistics", Annals of Mathematical Statistics 40 (1969).
    Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial",
    Biometrika 26 (1934).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray

# The lower and the upper end of an interval.
Range = tuple[float, float]

# How often an interval of a rate that was measured holds the rate, if nothing else is said.
CONFIDENCE = 0.95


def logit_range(rate: float, without: FloatArray, level: float = CONFIDENCE) -> Range:
    """Return ``logit(f) ± t s / (f (1 - f))`` as rates: on the scale of log odds, where it stays between 0 and 1.

    s is the jackknife's standard error of the rate f, and t the quantile of Student's distribution with one degree of
    freedom less than there are units.

    Args:
        rate: The rate, above 0 and below 1.
        without: float (M,), the rate without each of the units; at least two.
        level: How often the interval holds the rate.
    """
    from scipy.special import stdtrit

    half = float(stdtrit(len(without) - 1, (1 + level) / 2)) * standard_error(without) / (rate * (1 - rate))
    log_odds = math.log(rate / (1 - rate))
    # The logistic function, in a form that never overflows.
    low, high = ((1 + math.tanh((log_odds + sign * half) / 2)) / 2 for sign in (-1, 1))
    return low, high


def standard_error(without: FloatArray) -> float:
    """Return the standard error of a value that is ``without`` each of the units, float (M,), in turn."""
    units = len(without)
    return math.sqrt((units - 1) / units * float(((without - without.mean()) ** 2).sum()))


def range_of(rate: float, without: FloatArray, units: int) -> Range | None:
    """Return the 95 % interval of any rate, also of one that is 0 or 1.

    There, leaving units out changes nothing. The interval is then that of Clopper and Pearson for units of which all,
    or none, are at fault: with five of them it still holds one half, with six it does not.

    Args:
        rate: The rate; ``nan`` if it is not known.
        without: float (M,), the rate without each of the units, or without each of some groups of them.
        units: How many units there are.
    """
    if math.isnan(rate) or units < 1:
        return None
    if rate in (0.0, 1.0):
        bound = ((1 - CONFIDENCE) / 2) ** (1 / units)
        return (bound, 1.0) if rate else (0.0, 1 - bound)
    return None if len(without) < 2 or math.isnan(without.sum()) else logit_range(rate, without)
