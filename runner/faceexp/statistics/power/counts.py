"""Power from counts of right answers.

How many pairs it takes depends on how the errors of two losses are related, so there are two cases. In the best case,
``nested``, every pair that the less accurate loss judges right is judged right by the other loss, too; then as few
answers differ as the difference of the accuracies allows. In the other case, ``unrelated``, the losses err
independently.

References:
    Newcombe, "Interval Estimation for the Difference Between Independent Proportions", Stat. in Medicine 17 (1998).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from faceexp.statistics.holm import holm
from faceexp.statistics.power.mcnemar import detectable_if_nested, detectable_if_unrelated, pairs_needed, unrelated
from faceexp.statistics.power.question import ALPHA, POWER, UnanswerableError, check

Verdict = Literal["distinguishable", "undecided", "indistinguishable"]
# Every two losses are compared, and each comparison takes some hundredths of a second.
MOST_LOSSES = 50
# No list is longer; and the tests of counts hold up to here.
MOST_PAIRS = 10**9


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
        difference: A difference in accuracy, above 0 and at most 1, for which to answer as well.

    Raises:
        UnanswerableError: There are fewer than two losses, a count is impossible, or another argument is out of bounds.
    """
    from scipy.stats import fisher_exact
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

    check(alpha, power, difference)
    if len(right) < 2:
        raise UnanswerableError("one count has nothing to be compared with; give the counts of two losses or more")
    if len(right) > MOST_LOSSES:
        raise UnanswerableError(f"{len(right):,} losses are too many to compare; give {MOST_LOSSES} at most")
    if total > MOST_PAIRS:
        raise UnanswerableError(f"a test has {MOST_PAIRS:,} pairs at most, not {total:,}")
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
    corrected, best_corrected = (holm(values) for values in (p_values, best_case))
    comparisons = []
    for (a, b), p, best_p, best_p_corrected in zip(pairs, corrected, best_case, best_corrected, strict=True):
        observed = (right[a] - right[b]) / total
        low, high = confint_proportions_2indep(right[a], total, right[b], total, method="newcomb")
        # With very few pairs Fisher's test may reject where McNemar's cannot, whatever the answers were.
        verdict: Verdict = "distinguishable" if p <= alpha else "undecided"
        verdict = verdict if best_p_corrected <= alpha else "indistinguishable"
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
        detectable=_detectable(best, total, levels, power),
        asked=difference,
        pairs_needed=_needed(best, difference, levels, power) if difference else None,
    )


def _cases(answer: Callable[[bool, float], float | None], levels: tuple[float, float]) -> Cases:
    """Return the answers for nested and for unrelated errors, at the levels of one comparison and after correction."""
    return Cases(*(answer(nested, level) for level in levels for nested in (True, False)))


def _needed(accuracy: float, difference: float, levels: tuple[float, float], power: float) -> Cases:
    if not difference:
        return Cases(None, None, None, None)
    # If errors are nested, as few answers differ as the difference of the accuracies allows.
    return _cases(
        lambda nested, level: pairs_needed(
            difference, difference if nested else unrelated(accuracy, difference), level, power
        ),
        levels,
    )


def _detectable(best: float, total: int, levels: tuple[float, float], power: float) -> Cases:
    return _cases(
        lambda nested, level: (detectable_if_nested if nested else detectable_if_unrelated)(best, total, level, power),
        levels,
    )
