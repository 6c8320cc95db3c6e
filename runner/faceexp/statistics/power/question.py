"""What is asked: at which level, with which power, and for which difference."""

from __future__ import annotations

# The conventional values: a difference that is not there is claimed in at most 5 % of studies, and one that is there is
# found in 80 % of them (Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988).
ALPHA = 0.05
POWER = 0.8

# Beyond these bounds the answers mean nothing any more, and their computation loses its precision.
LEAST_ALPHA = 1e-9
MOST_POWER = 0.9999
LEAST_DIFFERENCE = 1e-9
MOST_DIFFERENCE = 1e9


class UnanswerableError(ValueError):
    """The question has no answer for this study. The message is one line that says why."""


def check(alpha: float, power: float, difference: float | None) -> None:
    """Check that the arguments are within bounds.

    Args:
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        difference: The difference to ask for, if any.

    Raises:
        UnanswerableError: ``LEAST_ALPHA <= alpha < power <= MOST_POWER`` does not hold, or the difference is not above
            0, or too small or too large.
    """
    if not 0 < alpha < power < 1:
        raise UnanswerableError(f"it must be 0 < alpha < power < 1, not alpha {alpha:g} and power {power:g}")
    if alpha < LEAST_ALPHA or power > MOST_POWER:
        raise UnanswerableError(
            f"alpha must be {LEAST_ALPHA:g} or more and power {MOST_POWER:g} or less, not alpha {alpha:g} and power "
            f"{power:g}"
        )
    if difference is None:
        return
    if not difference > 0:
        raise UnanswerableError("the difference must be above 0")
    if not LEAST_DIFFERENCE <= difference <= MOST_DIFFERENCE:
        raise UnanswerableError(f"the difference is too {'small' if difference < 1 else 'large'} to be of any use")
