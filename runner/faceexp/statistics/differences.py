"""Differences between rows of a comparison, each with its error: what every question of a study is answered from.

Trials of the same seed and fold share the split, the weights of phase 1 and the batches, so rows are paired over them.
Trainings share people, which makes the plain variance of a mean too small; it is corrected after Nadeau and Bengio:
``(1/n + n_test / n_rest) s^2`` in place of ``s^2 / n``. Where there are enough losses, the variances are moderated over
all differences that are judged together (``moderation``).

References:
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceexp.statistics.moderation import moderated
from faceexp.statistics.paired import Cell, Interval, paired_difference
from faceexp.statistics.power.question import ALPHA

# Label -> (seed, fold) -> value of a metric.
Rows = Mapping[str, Mapping[Cell, float]]


@dataclass(frozen=True)
class Rule:
    """How differences are judged.

    Attributes:
        ratio: Test data per datum that is not tested, for the variance of Nadeau and Bengio.
        higher_is_better: The direction of the metric.
        equivalence: Differences within plus and minus this are practically none, in units of the metric.
        average_seeds: Whether seeds are averaged within each fold first; see
            :func:`~faceexp.statistics.paired.paired_difference`.
        limit: No difference can be larger than this, in units of the metric: 1 for a rate.
        alpha: The probability of a false claim in a family.
    """

    ratio: float
    higher_is_better: bool
    equivalence: float = 0.0
    average_seeds: bool = False
    limit: float = math.inf
    alpha: float = ALPHA


@dataclass(frozen=True)
class Difference:
    """The mean difference of two rows, with its error.

    Attributes:
        value: The mean of a minus b over the values that both have; ``nan`` without any.
        trials: How many values those are.
        seen: The standard deviation of the differences as it was seen; ``None`` for fewer than two.
        spread: The moderated standard deviation; ``None`` if there is no test.
        error: The standard error of the mean; ``None`` if there is no test. That is so for fewer than two values, and
            where neither these rows nor any others show a spread by which to judge a difference that is not 0.
        degrees: Degrees of freedom of the error.
    """

    value: float
    trials: int
    seen: float | None = None
    spread: float | None = None
    error: float | None = None
    degrees: float = 0.0

    @property
    def t(self) -> float:
        """The difference in units of its error; ``nan`` if there is no test."""
        return self.value / self.error if self.error else math.nan

    @property
    def p_value(self) -> float | None:
        """The two-sided p-value; 1 for a difference that is 0 in all trials; ``None`` if there is no test."""
        from scipy.special import stdtr

        if self.error is not None:
            return float(2 * stdtr(self.degrees, -abs(self.t)))
        return 1.0 if self.value == 0 and self.trials > 1 else None

    def interval(self, factor: float, limit: float = math.inf) -> Interval:
        """Return plus and minus so many errors, cut off where no difference can be."""
        half = factor * (self.error or 0.0)
        return max(self.value - half, -limit), min(self.value + half, limit)


def differences(rows: Rows, pairs: Sequence[tuple[str, str]], rule: Rule, *, lend: bool) -> list[Difference]:
    """Return the differences of pairs of rows.

    Args:
        rows: Label -> (seed, fold) -> value.
        pairs: The pairs, which are judged together.
        rule: How they are judged.
        lend: Whether their variances lend each other strength.

    Raises:
        ValueError: The ratio of the rule is negative.
    """
    means = [
        paired_difference(rows.get(a, {}), rows.get(b, {}), rule.ratio, average_seeds=rule.average_seeds)
        for a, b in pairs
    ]
    variances = np.array([(mean.spread or 0.0) ** 2 for mean in means])
    degrees = np.array([mean.n - 1.0 for mean in means])
    known = np.array([mean.spread is not None for mean in means], bool)
    if lend and known.any():
        result = moderated(variances[known], degrees[known])
        variances[known], degrees[known] = result.variances, result.degrees
    judged = []
    for mean, variance, freedom in zip(means, variances.tolist(), degrees.tolist(), strict=True):
        if variance > 0:
            spread = math.sqrt(variance)
            error = spread * math.sqrt(1 / mean.n + rule.ratio)
            judged.append(Difference(mean.value, mean.n, mean.spread, spread, error, freedom))
        else:
            judged.append(Difference(mean.value, mean.n, mean.spread))
    return judged
