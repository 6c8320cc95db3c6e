"""How well a threshold and distances do on labelled pairs that are no part of a run, with intervals.

Pairs that share a person are not independent of each other. So where it is known whom the pairs show, people are left
out in turn, each with all of their pairs; where it is not, pairs are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation import verification
from faceexp.evaluation.jackknife import Range, range_of
from faceexp.evaluation.roc import Roc, auc

if TYPE_CHECKING:
    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.evaluation.measured_pairs import PairDistances
    from faceexp.evaluation.people import PeopleOfPairs

# Units are left out in at most so many groups: every metric is computed anew for each group. Student's quantile for 49
# degrees of freedom is 2 % above that for any larger number.
MOST_GROUPS = 50


@dataclass(frozen=True)
class Estimate:
    """A rate of labelled pairs.

    Attributes:
        value: The rate; ``nan`` if the pairs that it needs do not exist.
        ci95: Its 95 % interval; ``None`` where there are too few people, or pairs, to know one.
    """

    value: float
    ci95: Range | None


def estimates(measured: PairDistances, people: PeopleOfPairs | None, threshold: float) -> dict[str, Estimate]:
    """Return AUC, false accept rate, false reject rate and equal error rate of labelled pairs.

    Args:
        measured: The pairs; every one counts alike.
        people: Whom they show; ``None`` where that is not known.
        threshold: The distance up to which a pair is accepted.
    """
    first, second = people.both() if people else (np.arange(len(measured.distance)),) * 2
    units = _units_of_rates(measured, first, second)
    # The numbers of people depend on the names, and those of pairs on the order of the list: both are dealt like cards.
    groups = min(MOST_GROUPS, len(np.unique(np.concatenate([first, second]))))
    # Sorting takes longest, and who is left out does not change the order.
    order = np.argsort(measured.distance, kind="stable")
    pairs = _Sorted.of(measured.distance[order], measured.similar[order], threshold)
    group_of_first, group_of_second = first[order] % groups, second[order] % groups
    values = pairs.rates(np.ones(len(order), bool))
    without: dict[str, list[float]] = {name: [] for name in values}
    for group in range(groups):
        left = pairs.rates((group_of_first != group) & (group_of_second != group))
        for name, value in left.items():
            without[name].append(value)
    return {
        name: Estimate(value, range_of(value, np.array(without[name]), units[name])) for name, value in values.items()
    }


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Pairs, the nearest first.

    Attributes:
        similar: bool (P,), whether each shows one person.
        lower, upper: float (K + 1,), between which distances each number of pairs is accepted, ascending.
        counts: int (K + 1,), these numbers.
        accepted: How many pairs are accepted.
    """

    similar: BoolArray
    lower: FloatArray
    upper: FloatArray
    counts: IntArray
    accepted: int

    @classmethod
    def of(cls, distance: FloatArray, similar: BoolArray, threshold: float) -> _Sorted:
        """Return pairs that are sorted by their distance."""
        ends = np.flatnonzero(np.append(np.diff(distance) > 0, [True] * (len(distance) > 0)))
        steps = distance[ends]
        accepted = int(np.searchsorted(distance, threshold, side="right"))
        return cls(similar, np.append(-np.inf, steps), np.append(steps, np.inf), np.append(0, ends + 1), accepted)

    def rates(self, chosen: BoolArray) -> dict[str, float]:
        """Return the rates of those pairs that are chosen, bool (P,)."""
        true, false = (
            np.cumsum(np.append(0, chosen & of_kind), dtype=np.int64) for of_kind in (self.similar, ~self.similar)
        )
        n_similar, n_different = int(true[-1]), int(false[-1])
        curve = Roc(
            accepted=self.lower,
            rejected=self.upper,
            true_accepts=true[self.counts],
            false_accepts=false[self.counts],
            n_similar=n_similar,
            n_different=n_different,
        )
        return {
            "auc": auc(curve),
            "far": int(false[self.accepted]) / n_different if n_different else math.nan,
            "frr": 1 - int(true[self.accepted]) / n_similar if n_similar else math.nan,
            "eer": verification.eer(curve),
        }


def _units_of_rates(measured: PairDistances, first: IntArray, second: IntArray) -> dict[str, int]:
    """Return how many people, or pairs, each rate rests on: of both kinds of pairs, the fewer."""
    similar, different = (
        len(np.unique(np.concatenate([first[measured.similar == kind], second[measured.similar == kind]])))
        for kind in (True, False)
    )
    fewer = min(similar, different)
    return {"auc": fewer, "far": different, "frr": similar, "eer": fewer}
