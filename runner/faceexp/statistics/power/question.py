"""What is asked: at which level, with which power, and for which difference."""

from __future__ import annotations

import math

# The conventional values: a difference that is not there is claimed in at most 5 % of studies, and one that is there is
# found in 80 % of them (Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988).
ALPHA = 0.05
POWER = 0.8


class UnanswerableError(ValueError):
    """The question has no answer for this study. The message is one line that says why."""


def check(alpha: float, power: float, difference: float | None) -> None:
    """Check that the arguments are within bounds.

    Args:
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        difference: The difference to ask for, if any.

    Raises:
        UnanswerableError: ``0 < alpha < power < 1`` does not hold, or the difference is not above 0.
    """
    if not 0 < alpha < power < 1:
        raise UnanswerableError(f"it must be 0 < alpha < power < 1, not alpha {alpha:g} and power {power:g}")
    if difference is not None and not 0 < difference < math.inf:
        raise UnanswerableError("the difference must be above 0")
