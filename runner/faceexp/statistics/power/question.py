"""What is asked: at which level, with which power, for which difference."""

from __future__ import annotations

import math

ALPHA = 0.05
POWER = 0.8


class UnanswerableError(ValueError):
    """The question has no answer for this study; the message is one line for a person."""


def check(alpha: float, power: float, difference: float | None) -> None:
    """Refuse what is out of bounds.

    Raises:
        UnanswerableError: Not ``0 < alpha < power < 1``, or the difference is not above 0.
    """
    if not 0 < alpha < power < 1:
        raise UnanswerableError(f"it must be 0 < alpha < power < 1, not alpha {alpha:g} and power {power:g}")
    if difference is not None and not 0 < difference < math.inf:
        raise UnanswerableError("the difference must be above 0")
