"""Power from counts of right answers.

How many pairs it takes depends on how the errors of two losses are related, so there are two cases. In the best case,
``nested``, every pair that the less accurate loss judges right is judged right by the other loss, too; then as few
answers differ as the difference of the accuracies allows. In the other case, ``unrelated``, the losses err
independently.

References:
    Connor, "Sample Size for Testing Differences in Proportions for the Paired-Sample Design", Biometrics 43 (1987).
    Newcombe, "Interval Estimation for the Difference Between Independent Proportions", Stat. in Medicine 17 (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from faceexp.statistics.power.question import ALPHA, POWER, UnanswerableError, check

Verdict = Literal["distinguishable", "undecided", "indistinguishable"]
# Of an accuracy and a difference: the share of pairs that just one of two losses judges right.
Discordance = Callable[[float, float], float]


@dataclass(frozen=True)
class Cases:
    """One number for each way in which errors may be related; ``None`` if there is no such number."""

    nested: float | None
    unrelated: float | None
    nested_corrected: float | None
    unrelated_corrected: float | None


@dataclass(frozen=True)
class Count:
    """How many pairs a loss judged right, and its accuracy with the 95 % Wilson interval."""

    label: str
    right: int
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class CountPair:
    """Two losses that judged the same pairs, a no less accurate than b.

    Attributes:
        a: One label.
        b: The other.
        difference: Accuracy of a minus b.
        ci95: Its 95 % interval for unrelated errors (Newcombe's hybrid of Wilson intervals).
        p_corrected: Fisher's exact p-value, for unrelated errors, corrected after Holm.
        best_case_p: McNemar's exact p-value for nested errors, ``2 / 2**(right of a - right of b)``, not corrected. It
            is the smallest p-value that this test can have for such counts.
        best_case_p_corrected: The same, corrected after Holm; all losses can be nested at once.
        verdict: ``"indistinguishable"`` if the losses cannot be told apart even in the best case, after correction;
            ``"distinguishable"`` if they can even be told apart with unrelated errors; ``"undecided"`` if it depends on
            which pairs each loss judged right.
        pairs_needed: How many pairs it takes to find this difference between these accuracies; ``None`` for a
            difference of 0.
    """

    a: str
    b: str
    difference: float
    ci95: tuple[float, float]
    p_corrected: float
    best_case_p: float
    best_case_p_corrected: float
    verdict: Verdict
    pairs_needed: Cases


@dataclass(frozen=True)
class CountPower:
    """What counts of right answers say, and what it would have taken.

    Attributes:
        total: How many pairs every loss judged.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        losses: The losses, in the order in which they were given.
        pairs: Every two losses, those with the largest difference first.
        detectable: The smallest difference, down from the best accuracy, that can be found with so many pairs.
        asked: The difference that was asked for, down from the best accuracy.
        pairs_needed: How many pairs it takes to find that difference.
    """

    total: int
    alpha: float
    power: float
    losses: tuple[Count, ...]
    pairs: tuple[CountPair, ...]
    detectable: Cases
    asked: float | None
    pairs_needed: Cases | None


def from_counts(
    right: Mapping[str, int], total: int, alpha: float = ALPHA, power: float = POWER, difference: float | None = None
) -> CountPower:
    """Return what can be said about losses if only their numbers of right answers are known.

    Args:
        right: How many pairs each loss judged right, by label.
        total: How many pairs there are; every loss judged the same ones.
        alpha: Two-sided level of a single comparison.
        power: Probability with which a difference is to be found.
        difference: A difference in accuracy, from 0 to 1, for which to answer as well.

    Raises:
        UnanswerableError: There are fewer than two losses, a count is impossible, or another argument is out of bounds.
    """
    from scipy.stats import fisher_exact
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

    check(alpha, power, difference)
    if len(right) < 2:
        raise UnanswerableError("one count has nothing to be compared with; give the counts of two losses or more")
    for label, count in right.items():
        if not 0 <= count <= total or total < 1:
            raise UnanswerableError(f"{label}: {count} right of {total} pairs is not possible")
    best = max(right.values()) / total
    if difference and difference > best:
        raise UnanswerableError(f"no loss can be {100 * difference:g} points below the best one, at {100 * best:.1f} %")

    ordered = sorted(right, key=lambda label: -right[label])
    pairs = sorted(combinations(ordered, 2), key=lambda pair: right[pair[1]] - right[pair[0]])
    levels = alpha, alpha / len(pairs)
    p_values = [fisher_exact([[right[label], total - right[label]] for label in pair]).pvalue for pair in pairs]
    best_case = [min(1.0, 2 * 0.5 ** (right[a] - right[b])) for a, b in pairs]
    corrected, best_corrected = (multipletests(values, method="holm")[1] for values in (p_values, best_case))
    comparisons = []
    for (a, b), p, best_p, best_p_corrected in zip(pairs, corrected, best_case, best_corrected, strict=True):
        observed = (right[a] - right[b]) / total
        low, high = confint_proportions_2indep(right[a], total, right[b], total, method="newcomb")
        verdict: Verdict = "undecided" if best_p_corrected <= alpha else "indistinguishable"
        verdict = "distinguishable" if p <= alpha else verdict
        needed = _needed(right[a] / total, observed, levels, power)
        ci95 = (float(low), float(high))
        comparisons.append(CountPair(a, b, observed, ci95, float(p), best_p, float(best_p_corrected), verdict, needed))
    losses = []
    for label, count in right.items():
        low, high = proportion_confint(count, total, method="wilson")
        losses.append(Count(label, count, count / total, (float(low), float(high))))
    return CountPower(
        total=total,
        alpha=alpha,
        power=power,
        losses=tuple(losses),
        pairs=tuple(comparisons),
        detectable=_cases(lambda psi, level: _detectable_by_pairs(best, total, psi, level, power), levels),
        asked=difference,
        pairs_needed=_needed(best, difference, levels, power) if difference else None,
    )


def _nested(accuracy: float, difference: float) -> float:  # noqa: ARG001 - called like _unrelated
    """Return the share of pairs that just one of two losses judges right if their errors are nested."""
    return difference


def _unrelated(accuracy: float, difference: float) -> float:
    """Return the share of pairs that just one of two losses judges right if they err independently."""
    other = accuracy - difference
    return accuracy * (1 - other) + other * (1 - accuracy)


def _cases(answer: Callable[[Discordance, float], float | None], levels: tuple[float, float]) -> Cases:
    return Cases(*(answer(discordance, level) for level in levels for discordance in (_nested, _unrelated)))


def _needed(accuracy: float, difference: float, levels: tuple[float, float], power: float) -> Cases:
    if not difference:
        return Cases(None, None, None, None)
    return _cases(lambda psi, level: pairs_needed(difference, psi(accuracy, difference), level, power), levels)


def pairs_needed(difference: float, discordance: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """Return how many pairs McNemar's test needs, by the formula of Connor.

    ``n = (z(1 - alpha/2) sqrt(psi) + z(power) sqrt(psi - d^2))^2 / d^2``, rounded up.

    Args:
        difference: d, the difference between two accuracies.
        discordance: psi, the share of pairs that just one of the two losses judges right; at least ``|d|``.
        alpha: Two-sided level.
        power: Probability with which the difference is to be found.
    """
    return math.ceil((_connor(difference, discordance, alpha, power) / difference) ** 2)


def _connor(difference: float, discordance: float, alpha: float, power: float) -> float:
    from scipy.special import ndtri

    spread = math.sqrt(max(0.0, discordance - difference**2))
    return float(ndtri(1 - alpha / 2) * math.sqrt(discordance) + ndtri(power) * spread)


def _detectable_by_pairs(best: float, total: int, discordance: Discordance, alpha: float, power: float) -> float | None:
    from scipy.optimize import brentq

    def surplus(difference: float) -> float:
        return math.sqrt(total) * difference - _connor(difference, discordance(best, difference), alpha, power)

    # Then not even a loss that is always wrong would be found to be worse.
    if best == 0 or surplus(best) < 0:
        return None
    return float(brentq(surplus, 1e-12, best))
