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
from faceexp.evaluation.pairs import PairDistances
from faceexp.evaluation.roc import auc, roc

if TYPE_CHECKING:
    from faceexp.arrays import IntArray
    from faceexp.evaluation.people import PeopleOfPairs

# Units are left out in at most so many groups: every metric is computed anew for each group, which takes a second for a
# million pairs. Student's quantile for 49 degrees of freedom is 2 % above that for any larger number.
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
    values = _rates(measured, threshold)
    units = _units_of_rates(measured, first, second)
    # The numbers of people depend on the names, and those of pairs on the order of the list: both are dealt like cards.
    groups = min(MOST_GROUPS, len(np.unique(np.concatenate([first, second]))))
    without: dict[str, list[float]] = {name: [] for name in values}
    for group in range(groups):
        rest = (first % groups != group) & (second % groups != group)
        left = _rates(PairDistances(measured.distance[rest], measured.similar[rest]), threshold)
        for name, value in left.items():
            without[name].append(value)
    return {
        name: Estimate(value, range_of(value, np.array(without[name]), units[name])) for name, value in values.items()
    }


def _rates(measured: PairDistances, threshold: float) -> dict[str, float]:
    curve = roc(measured)
    true_accepts, false_accepts, n_similar = verification.accepts(measured, threshold)
    n_different = len(measured.similar) - n_similar
    return {
        "auc": auc(curve),
        "far": false_accepts / n_different if n_different else math.nan,
        "frr": 1 - true_accepts / n_similar if n_similar else math.nan,
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
