"""How many pairs McNemar's test needs, and which difference it finds.

Only answers on which two losses differ count in this test: under the hypothesis that the losses are equally good, each
of the two is as likely to be the right one. The exact test, which takes the binomial distribution of these answers, is
meant throughout. Where very many answers differ, the formula of Connor stands in for it.

References:
    McNemar, "Note on the Sampling Error of the Difference Between Correlated Proportions", Psychometrika 12 (1947).
    Connor, "Sample Size for Testing Differences in Proportions for the Paired-Sample Design", Biometrics 43 (1987).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

from faceexp.statistics.power.question import ALPHA, POWER

if TYPE_CHECKING:
    from faceexp.arrays import IntArray

# Where more answers differ than this, the formula of Connor is used: its number of pairs is then too small by about 3 %
# at most. Where few answers differ it may be too small by half.
MOST_EXACT = 500
# The number of answers that differ is nearly never farther from its mean than so many standard deviations.
FARTHEST = 9


def pairs_needed(difference: float, discordance: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """Return how many pairs McNemar's test needs.

    Args:
        difference: d, the difference between two accuracies, above 0.
        discordance: psi, the share of pairs that just one of the two losses judges right; at least d.
        alpha: Two-sided level.
        power: Probability with which the difference is to be found.
    """
    if discordance <= difference:
        return _nested_pairs(difference, alpha, power)
    # Connor: n = (z(1 - alpha/2) sqrt(psi) + z(power) sqrt(psi - d^2))^2 / d^2
    pairs = math.ceil((_connor(difference, discordance, alpha, power) / difference) ** 2)
    if pairs * discordance > MOST_EXACT:
        return pairs
    most = 4 * pairs + math.ceil(4 * shortest_run(alpha) / discordance)
    return 1 + bisect_left(
        range(1, most), True, key=lambda number: exact_power(number, difference, discordance, alpha) >= power
    )


def detectable_if_nested(best: float, total: int, alpha: float, power: float) -> float | None:
    """Return the smallest difference, down from the best accuracy, that is found if errors are nested, if any is."""
    from scipy.special import betaincinv

    run = shortest_run(alpha)
    # The better loss alone is right in a binomial number of pairs, which has to be this or more.
    difference = float(betaincinv(run, total - run + 1, power)) if total >= run else math.inf
    return difference if difference <= best else None


def detectable_if_unrelated(best: float, total: int, alpha: float, power: float) -> float | None:
    """Return the smallest difference, down from the best accuracy, that is found if errors are unrelated, if any is."""
    from scipy.optimize import brentq

    def connor(difference: float) -> float:
        psi = unrelated(best, difference)
        return math.sqrt(total) * difference - _connor(difference, psi, alpha, power)

    def exact(difference: float) -> float:
        return exact_power(total, difference, unrelated(best, difference), alpha) - power

    # Then not even a loss that is always wrong would be found to be worse.
    if best == 0 or connor(best) < 0:
        return None
    smallest = float(brentq(connor, 1e-12, best))
    if total * unrelated(best, smallest) > MOST_EXACT:
        return smallest
    largest = min(best, 2 * smallest)
    largest = largest if exact(largest) > 0 else best
    return float(brentq(exact, smallest / 2, largest)) if exact(largest) > 0 else None


def unrelated(accuracy: float, difference: float) -> float:
    """Return the share of pairs that just one of two losses judges right if they err independently."""
    other = accuracy - difference
    return accuracy * (1 - other) + other * (1 - accuracy)


@cache
def shortest_run(alpha: float) -> int:
    """Return how many pairs it takes that one loss judges right and the other wrong, with none the other way round."""
    return next(length for length in count(1) if 2 * 0.5**length <= alpha)


def exact_power(pairs: int, difference: float, discordance: float, alpha: float) -> float:
    """Return the power of McNemar's exact test, in so many pairs.

    Args:
        pairs: How many pairs there are.
        difference: The difference between the accuracies.
        discordance: The share of pairs that just one of the losses judges right; at least the difference.
        alpha: Two-sided level.
    """
    import numpy as np
    from scipy.special import bdtr
    from scipy.stats import binom

    middle, spread = pairs * discordance, math.sqrt(pairs * discordance * max(0.0, 1 - discordance))
    low, high = max(0, math.floor(middle - FARTHEST * spread)), min(pairs, math.ceil(middle + FARTHEST * spread + 20))
    differing = np.arange(low, high + 1)
    fewest = _fewest(alpha, 1 << high.bit_length())[low : high + 1]
    share = min(1.0, (1 + difference / discordance) / 2)
    rejected = bdtr(fewest, differing, 1 - share) + bdtr(fewest, differing, share)
    weights = binom.pmf(differing, pairs, min(1.0, discordance))
    return float(np.sum(weights[fewest >= 0] * rejected[fewest >= 0]))


@cache
def _fewest(alpha: float, size: int) -> IntArray:
    """Return for 0, 1, ... answers that differ how many of them at most may favour one loss if the test rejects.

    -1: it does not reject, whatever they are.
    """
    import numpy as np
    from scipy.special import bdtr
    from scipy.stats import binom

    differing = np.arange(size)
    fewest: IntArray = binom.ppf(alpha / 2, differing, 0.5).astype(np.int64)
    fewest[0] = 0
    fewest -= 2 * bdtr(fewest, differing, 0.5) > alpha
    return fewest


def _nested_pairs(difference: float, alpha: float, power: float) -> int:
    from scipy.special import betainc

    run = shortest_run(alpha)
    most = math.ceil((4 * run + 40) / difference)
    return run + bisect_left(
        range(run, most), True, key=lambda pairs: betainc(run, pairs - run + 1, difference) >= power
    )


def _connor(difference: float, discordance: float, alpha: float, power: float) -> float:
    from scipy.special import ndtri

    spread = math.sqrt(max(0.0, discordance - difference**2))
    return float(-ndtri(alpha / 2) * math.sqrt(discordance) + ndtri(power) * spread)
