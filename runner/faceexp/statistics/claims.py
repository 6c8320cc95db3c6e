"""The questions of a study, each a family of its own: which losses help, and which may be the best.

Asking about every pair of 41 rows makes 820 claims, and the correction for so many leaves nothing to be found. People
ask less. ``against`` compares each loss with a reference, such as the embedding that all of them start from, and
corrects for the number of losses after Holm. ``best`` finds the losses that may be the best: Hsu's multiple comparison
with the best, in its two-sided form. Hsu promises that the best loss is among them, but where all losses are equal it
may still leave some out; so none is left out unless Tukey's test of the largest difference shows that there is any.

Trials of the same seed and fold are paired, the variance is that of Nadeau and Bengio, and it is moderated over the
differences of the family (``moderation``).

References:
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979).
    Hsu, "Constrained Simultaneous Confidence Intervals for Multiple Comparisons with the Best", Annals of Statistics 12
    (1984); Edwards and Hsu, "Multiple Comparisons with the Best Treatment", Journal of the American Statistical
    Association 78 (1983).
    Schuirmann, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the Equivalence
    of Average Bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15 (1987).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Literal, NamedTuple

from faceexp.experiment.asked import TRIALS_FOR_BEST, TRIALS_FOR_HELPS
from faceexp.statistics.critical import dunnett, range_p_value
from faceexp.statistics.differences import Difference, Rows, Rule, differences
from faceexp.statistics.holm import holm
from faceexp.statistics.moderation import FEWEST
from faceexp.statistics.paired import Cell, Interval, t_quantile
from faceexp.statistics.power.question import ALPHA

Verdict = Literal["better", "worse", "practically equal", "undecided"]


@dataclass(frozen=True)
class Claim:
    """What is shown of one loss, compared with a reference.

    Attributes:
        label: The loss.
        reference: What it was compared with: of several references, the one that it is least shown to differ from.
        difference: Mean of the loss minus the reference over common trials; ``nan`` without any.
        interval: The interval at the level at which Holm's correction tested this loss, so that it does not hold 0 if
            and only if a difference is shown; ``None`` if there was no test. Of several references, only better is
            asked, so that it may lie below 0 and nothing is shown.
        p_corrected: p-value after the correction; ``None`` if there was no test.
        verdict: ``"practically equal"`` if the interval is within the margin of equivalence; else ``"better"`` or
            ``"worse"``, in the direction of the metric, if p is at most the level; else ``"undecided"``.
        trials: The number of values that were compared.
        spread: The moderated standard deviation of a trial's difference; ``None`` if there was no test.
        degrees: Its degrees of freedom.
        level: The level at which it was tested.
    """

    label: str
    reference: str
    difference: float
    interval: Interval | None
    p_corrected: float | None
    verdict: Verdict
    trials: int
    spread: float | None
    degrees: float
    level: float = ALPHA


@dataclass(frozen=True)
class Standing:
    """What is shown of one loss, compared with the best of the others.

    Attributes:
        label: The loss.
        difference: Mean of the loss minus the best mean among the others.
        interval: The simultaneous interval of the loss minus the best of the others; ``None`` if there was no test.
        may_be_best: Whether it may be the best. Where there is no test, every loss may be.
        practically_best: Whether it is worse than the best by less than the margin of equivalence, if at all.
        half: d standard errors of the difference; ``None`` if there was no test.
        trials: The number of values that were compared.
        degrees: Degrees of freedom of the error.
    """

    label: str
    difference: float
    interval: Interval | None
    may_be_best: bool
    practically_best: bool
    half: float | None = None
    trials: int = 0
    degrees: float = 0.0


def against(
    rows: Rows,
    labels: Sequence[str],
    references: Sequence[str],
    rule: Rule,
    known: Mapping[str, Difference] = MappingProxyType({}),
) -> list[Claim]:
    """Return what is shown of each loss compared with the references, corrected over the losses after Holm.

    Of several references, a loss has to differ from each: the one with the largest p-value counts, which needs no
    correction of its own. A loss with fewer than :data:`TRIALS_FOR_HELPS` trials is not tested.

    Args:
        rows: Label -> (seed, fold) -> value.
        labels: The losses.
        references: What each is compared with; those that have no values are left out.
        rule: How differences are judged.
        known: Of some of them, the difference from the only reference with an error that comes from elsewhere, so that
            the number of trials does not matter.
    """
    hardest: dict[str, tuple[float, str, Difference]] = {}
    for reference in references:
        if not rows.get(reference):
            continue
        unknown = [label for label in labels if label not in known]
        pairs = [(label, reference) for label in unknown]
        of_trials = differences(rows, pairs, rule, lend=len(unknown) >= FEWEST)
        for label, test in [*zip(unknown, of_trials, strict=True), *known.items()]:
            p = _p_value(test, rule, len(references))
            if label not in hardest or p > hardest[label][0]:
                hardest[label] = (p, reference, test)
    return _judged(labels, hardest, rule, known)


def each_against(rows: Rows, pairs: Sequence[tuple[str, str]], rule: Rule) -> list[Claim]:
    """Return what is shown of losses each of which has a reference of its own, corrected over the losses after Holm.

    Args:
        rows: Label -> (seed, fold) -> value.
        pairs: Each loss with its reference; a loss is there once.
        rule: How differences are judged.
    """
    tests = differences(rows, pairs, rule, lend=len(pairs) >= FEWEST)
    compared = {
        label: (_p_value(test, rule, 1), reference, test)
        for (label, reference), test in zip(pairs, tests, strict=True)
        if rows.get(label) and rows.get(reference)
    }
    return _judged([label for label, _ in pairs], compared, rule)


def _judged(
    labels: Sequence[str],
    hardest: Mapping[str, tuple[float, str, Difference]],
    rule: Rule,
    known: Collection[str] = (),
) -> list[Claim]:
    """Return the claims on losses, of each of which p-value, reference and difference are known.

    Those in ``known`` are tested whatever the number of their trials.
    """
    tested = {
        label: p
        for label, (p, _, test) in hardest.items()
        if test.error is not None and (label in known or test.trials >= TRIALS_FOR_HELPS)
    }
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    levels = _holm_levels(tested, rule.alpha)
    return [
        _claim(label, *hardest[label][1:], corrected.get(label), levels.get(label, rule.alpha), rule)
        for label in labels
        if label in hardest
    ]


def _p_value(test: Difference, rule: Rule, references: int) -> float:
    """Return a two-sided p-value; with several references one-sided for "better", since only that is asked there."""
    from scipy.special import stdtr

    if references == 1 or test.error is None:
        return math.inf if test.p_value is None else test.p_value
    return float(min(1.0, 2 * stdtr(test.degrees, -test.t if rule.higher_is_better else test.t)))


def _holm_levels(p_values: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Return the level at which Holm's procedure tests each: alpha over the number that is still open."""
    levels: dict[str, float] = {}
    stopped = False
    level = alpha
    for place, label in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        if not stopped:
            level = alpha / (len(p_values) - place)
            stopped = p_values[label] > level
        levels[label] = level
    return levels


def _claim(label: str, reference: str, test: Difference, p_corrected: float | None, level: float, rule: Rule) -> Claim:
    interval = None
    verdict: Verdict = "undecided"
    if test.error is not None and p_corrected is not None:
        interval = test.interval(t_quantile(1 - level / 2, test.degrees), rule.limit)
        if -rule.equivalence < interval[0] and interval[1] < rule.equivalence:
            verdict = "practically equal"
        elif p_corrected <= rule.alpha:
            verdict = "better" if (test.value > 0) == rule.higher_is_better else "worse"
    return Claim(
        label, reference, test.value, interval, p_corrected, verdict, test.trials, test.spread, test.degrees, level
    )


def best(rows: Rows, labels: Sequence[str], rule: Rule) -> list[Standing]:
    """Return which losses may be the best.

    A loss may not be the best if it is below another one by more than d standard errors of their difference. Here d is
    Dunnett's two-sided critical value for a comparison of each loss with all others. If Tukey's test of the largest
    difference finds nothing, every loss may be the best.

    Only the trials that all losses have are looked at. A loss that leaves fewer than :data:`TRIALS_FOR_BEST` of them,
    because trials of it failed, is not judged, and may be the best for all that is known.

    Args:
        rows: Label -> (seed, fold) -> value.
        labels: The losses.
        rule: How differences are judged.
    """
    judged = _with_common_trials({label: rows.get(label, {}) for label in labels}, rule)
    pairs = list(combinations(judged, 2))
    tests = differences(judged, pairs, rule, lend=len(judged) >= FEWEST)
    # Two losses that never differ, such as one loss under two names, are equally good. A difference that never varies
    # cannot be judged.
    tested = [test for test in tests if test.error]
    if not tested or any(test.value != 0 for test in tests if not test.error):
        return [Standing(label, math.nan, None, True, False) for label in labels]
    degrees = min(test.degrees for test in tested)
    d = dunnett(len(judged) - 1, degrees, rule.alpha)
    differ = range_p_value(max(abs(test.t) for test in tested), len(judged), degrees) <= rule.alpha
    # For each loss, the difference from each other one, turned so that more is better, and d standard errors of it.
    sign = 1 if rule.higher_is_better else -1
    gaps: dict[str, list[_Gap]] = {label: [] for label in judged}
    for (a, b), test in zip(pairs, tests, strict=True):
        half = d * (test.error or 0.0)
        gaps[a].append(_Gap(b, sign * test.value, half))
        gaps[b].append(_Gap(a, -sign * test.value, half))
    may_be = {label: not differ or all(gap.value + gap.half >= 0 for gap in gaps[label]) for label in judged}
    standings = {label: _standing(label, gaps[label], may_be, rule, tests[0].trials, degrees) for label in judged}
    return [standings.get(label, Standing(label, math.nan, None, True, False)) for label in labels]


class _Gap(NamedTuple):
    """How far a loss is above another one, and half the width of the interval of that."""

    other: str
    value: float
    half: float


def _with_common_trials(rows: Rows, rule: Rule) -> dict[str, dict[Cell, float]]:
    """Return the losses that have enough trials in common, with these trials; those with the fewest are left out.

    A loss with less than half as many trials as others is left out at once: it would cost all of them half of theirs.
    """
    most = max((len(row) for row in rows.values()), default=0)
    left = sorted((label for label in rows if 2 * len(rows[label]) >= most > 0), key=lambda label: -len(rows[label]))
    while left:
        common = set.intersection(*(set(rows[label]) for label in left))
        number = len({fold for _, fold in common}) if rule.average_seeds else len(common)
        if number >= TRIALS_FOR_BEST:
            return {label: {cell: rows[label][cell] for cell in sorted(common)} for label in rows if label in left}
        left.pop()
    return {}


def _standing(
    label: str, gaps: Sequence[_Gap], may_be: Mapping[str, bool], rule: Rule, trials: int, degrees: float
) -> Standing:
    # Only a loss that may be the best can be above this one.
    low = min((gap.value - gap.half for gap in gaps if may_be[gap.other]), default=0.0)
    low, high = max(low, -rule.limit), min(*(gap.value + gap.half for gap in gaps), rule.limit)
    nearest = min(gaps, key=lambda gap: gap.value)
    if may_be[label]:
        # Tukey's test is the stricter one: where it finds nothing, the interval may still end below 0.
        high = max(high, 0.0)
    practically_best = may_be[label] and low > -rule.equivalence
    difference, interval = nearest.value, (low, high)
    if not rule.higher_is_better:
        difference, interval = -difference, (-high, -low)
    return Standing(label, difference, interval, may_be[label], practically_best, nearest.half, trials, degrees)
