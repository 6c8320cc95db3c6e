"""The area under the ROC curve without each of the people in turn: how much it rests on whom it was measured on.

Of a network that nobody trains, further seeds are no further trainings, but other choices of people from the same data.
What is independent of each other are people, so its trials are put together, and people are left out of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.jackknife import standard_error
from faceexp.evaluation.likely import with_their_people
from faceexp.evaluation.measured_pairs import map_in_threads

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray, IntArray
    from faceexp.evaluation.measured_pairs import PairDistances, Pairs
    from faceexp.evaluation.people import PeopleOfPairs

# People are left out in at most so many groups, which every trial of a run has in common. Student's quantile for 49
# degrees of freedom is 2 % above that for any larger number.
MOST_GROUPS = 50


@dataclass(frozen=True)
class OverPeople:
    """A mean over trials whose spread is that of people.

    Attributes:
        value: The mean over the trials.
        error: Its standard error by the jackknife.
        groups: How many groups of people were left out in turn.
    """

    value: float
    error: float
    groups: int


def over_people(values: Sequence[float], without: Sequence[Mapping[int, float]]) -> OverPeople | None:
    """Return the mean of a metric over trials with its standard error over people; ``None`` where there is none.

    Args:
        values: The metric in each trial.
        without: For each trial, the metric without each group of people that it tests.
    """
    groups = sorted(set().union(*without))
    means = np.array(
        [np.mean([left.get(group, value) for value, left in zip(values, without, strict=True)]) for group in groups]
    )
    if len(groups) < 2 or not np.isfinite(means).all():
        return None
    return OverPeople(float(np.mean(values)), standard_error(means), len(groups))


def auc_without(measured: Pairs, people: PeopleOfPairs, identities: IntArray) -> dict[int, float]:
    """Return the area under the ROC curve without the pairs that show anybody of each group of people.

    Args:
        measured: The pairs.
        people: Whom they show.
        identities: int (M,), the number of each person in the data, whose remainder is the group.

    Returns:
        The area by group; ``nan`` where one kind of pairs is left without any.
    """
    groups, group = np.unique(identities % MOST_GROUPS, return_inverse=True)
    similar = _Similar.of(with_their_people(measured, people), group)
    sums = sum(
        map_in_threads(lambda part: _sums(*part, group, similar, len(groups)), with_their_people(measured, people)),
        start=_Sums(np.zeros((3, len(groups))), np.zeros(2), np.zeros(len(similar.steps) + 2)),
    )
    weights, ordered, ordered_both = sums.of_groups
    # A similar pair is nearer than the different pairs whose distances come behind its own.
    nearer = np.cumsum(sums.behind[::-1])[::-1][similar.step + 1]
    of_similar = np.bincount(similar.group, similar.weight * nearer, len(groups))
    left = sums.of_all[1] - of_similar - ordered + ordered_both
    n_similar = similar.weight.sum() - np.bincount(similar.group, similar.weight, len(groups))
    n_different = sums.of_all[0] - weights
    # The last digits of a sum of weights are noise, which must not pass for a pair.
    pairs = np.where(np.minimum(n_similar, n_different) > 1e-12, n_similar * n_different, math.nan)
    return dict(zip(groups.tolist(), np.clip(left / pairs, 0.0, 1.0).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class _Similar:
    """All similar pairs, by group and distance.

    Attributes:
        steps: float (K,), their distinct distances, ascending.
        step: int (S,), which of them each pair has.
        group: int (S,), the group of the person.
        weight: float (S,), how much each pair counts.
        upto: float (S + 1,), how much the first 0, 1, 2, ... of the pairs count together.
    """

    steps: FloatArray
    step: IntArray
    group: IntArray
    weight: FloatArray
    upto: FloatArray

    @classmethod
    def of(cls, parts: Iterable[tuple[PairDistances, PeopleOfPairs]], group: IntArray) -> _Similar:
        of_parts = []
        for chunk, people in parts:  # one after the other: all pairs may be more than the memory holds
            rows = np.flatnonzero(chunk.similar)
            of_parts.append((chunk.distance[rows], _weights(chunk, rows), group[people.both()[0][rows]]))
        distance, weight, whose = (np.concatenate(each) for each in zip(*of_parts, strict=True))
        steps, step = np.unique(distance, return_inverse=True)
        order = np.lexsort((step, whose))
        return cls(steps, step[order], whose[order], weight[order], _from_zero(weight[order]))

    def nearer(self, distance: FloatArray) -> tuple[IntArray, IntArray]:
        """Return how many of the distinct distances are below each distance, and how many are at most that."""
        return np.searchsorted(self.steps, distance, "left"), np.searchsorted(self.steps, distance, "right")

    def weights_before(self, places: IntArray, groups: IntArray) -> FloatArray:
        """Return the weight of the pairs of these groups at the first so many distinct distances."""
        keys = self.group * (len(self.steps) + 1) + self.step
        begin = groups * (len(self.steps) + 1)
        before: FloatArray = self.upto[np.searchsorted(keys, begin + places)] - self.upto[np.searchsorted(keys, begin)]
        return before


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over different pairs, whose weight is multiplied with that of the similar pairs that are nearer.

    Attributes:
        of_groups: float (3, G), of the pairs that show anybody of each group: their weight; the same times that of all
            similar pairs that are nearer, of which equally near ones count half; and the same times that of the similar
            pairs of the group that are nearer.
        of_all: float (2,), the first two of all pairs.
        behind: float (K + 2,), the weight of the pairs behind so many distinct distances of similar pairs.
    """

    of_groups: FloatArray
    of_all: FloatArray
    behind: FloatArray

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.of_groups + other.of_groups, self.of_all + other.of_all, self.behind + other.behind)


def _sums(chunk: PairDistances, people: PeopleOfPairs, group: IntArray, similar: _Similar, groups: int) -> _Sums:
    chosen = np.flatnonzero(~chunk.similar)
    first, second = (group[each[chosen]] for each in people.both())
    weight = _weights(chunk, chosen)
    below, up_to = similar.nearer(chunk.distance[chosen])
    of_all = _from_zero(np.bincount(similar.step, similar.weight, len(similar.steps)).astype(np.float64))
    ordered = weight * (of_all[below] + of_all[up_to]) / 2
    # Two people of one group are left out together, once.
    sides = [(first, np.arange(len(chosen))), (second, np.flatnonzero(first != second))]
    by_group = np.zeros((3, groups))
    for side, rows in sides:
        whose = side[rows]
        of_group = [similar.weights_before(places[rows], whose) for places in (below, up_to)]
        both = weight[rows] * (of_group[0] + of_group[1]) / 2
        for place, values in enumerate((weight[rows], ordered[rows], both)):
            by_group[place] += np.bincount(whose, values, groups)
    behind = np.bincount(np.concatenate([below, up_to]), np.tile(weight / 2, 2), len(similar.steps) + 2)
    return _Sums(by_group, np.array([weight.sum(), ordered.sum()]), behind.astype(np.float64))


def _weights(chunk: PairDistances, rows: IntArray) -> FloatArray:
    return np.ones(len(rows)) if chunk.weights is None else chunk.weight_of_each()[rows]


def _from_zero(weights: FloatArray) -> FloatArray:
    sums: FloatArray = np.concatenate([[0.0], np.cumsum(weights)])
    return sums
