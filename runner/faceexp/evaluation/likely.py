"""What rates say of other people than those who were measured: a range by how much these people differ.

Pairs that share a person are not independent of each other. So what counts is how many people there are, and not how
many pairs: 8 people with 10 images each have 2,800 different pairs, but only 28 pairs of people.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.jackknife import Range, logit_range, range_of
from faceexp.evaluation.measured_pairs import CHUNK, map_in_threads
from faceexp.evaluation.roc import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from faceexp.arrays import FloatArray
    from faceexp.evaluation.measured_pairs import PairDistances, Pairs
    from faceexp.evaluation.people import PeopleOfPairs

# The range holds the rate with this chance; docs/protocols-and-metrics.md has simulations.
LIKELY = 0.9
# With fewer people, nobody can say how much people differ.
FEWEST_PEOPLE = 3


def likely_rates(measured: Pairs, people: PeopleOfPairs, thresholds: Sequence[float]) -> list[Range | None]:
    """Return the range of the false accept rate that people in general are likely to meet at each of some thresholds.

    Each person in turn is left out (the jackknife), which gives the standard error s of the rate f. The range is
    ``logit(f) ± t s / (f (1 - f))``, on the scale of log odds, where it stays between 0 and 1; t is the quantile of
    Student's distribution with one degree of freedom less than there are people.

    Args:
        measured: The pairs.
        people: Whom they show.
        thresholds: Distances.

    Returns:
        For each threshold its range; ``None`` for too few people, or where all or none of the pairs are accepted.
    """
    sums = sum(
        map_in_threads(lambda both: _weights_of_people(*both, thresholds), with_their_people(measured, people)),
        start=np.zeros((1 + len(thresholds), people.count)),
    )
    # Who is in no different pair says nothing about false accepts.
    sums = sums[:, sums[0] > 0]
    return [_range(accepted, sums[0]) for accepted in sums[1:]]


def accuracy_range(measured: Pairs, people: PeopleOfPairs, threshold: float) -> Range | None:
    """Return the 95 % interval of the balanced accuracy at a threshold, by leaving out each person in turn.

    Args:
        measured: The pairs, on which the threshold was not chosen.
        people: Whom they show.
        threshold: A distance; ``nan`` if there is none.

    Returns:
        The interval; ``None`` for too few people, or where all pairs of a kind show one person.
    """
    if math.isnan(threshold) or people.count < FEWEST_PEOPLE:
        return None
    sums = sum(
        map_in_threads(lambda both: _judged_weights(*both, threshold), with_their_people(measured, people)),
        start=np.zeros((2, 2, people.count)),
    )
    # Of all pairs, then of those that are accepted. Both images of a similar pair show the same person, who was
    # therefore counted twice.
    different, similar = sums[0, ::-1].cumsum(axis=0)[::-1], sums[1, ::-1].cumsum(axis=0)[::-1] / 2
    all_similar, all_different = similar.sum(axis=1), different.sum(axis=1) / 2
    similar, different = all_similar[:, None] - similar, all_different[:, None] - different
    if min(similar[0].min(), different[0].min()) <= 0:
        return None
    accuracy = (all_similar[1] / all_similar[0] + 1 - all_different[1] / all_different[0]) / 2
    without = (similar[1] / similar[0] + 1 - different[1] / different[0]) / 2
    # The last digits of a sum of weights are noise, by which a perfect model would look imperfect.
    return range_of(round(float(accuracy), PLACES), without, people.count)


def _judged_weights(chunk: PairDistances, people: PeopleOfPairs, threshold: float) -> FloatArray:
    """Return the weight of the pairs that show each person, float (2, 2, M): by kind, and whether they are accepted."""
    kind = 2 * chunk.similar.astype(np.int64)
    kind += chunk.distance <= threshold
    kind *= people.count
    weights = None if chunk.weights is None else chunk.weight_of_each()
    sums = [np.bincount(kind + person, weights, 4 * people.count) for person in people.both()]
    weight: FloatArray = (sums[0] + sums[1]).astype(np.float64).reshape(2, 2, people.count)
    return weight


def with_their_people(measured: Pairs, people: PeopleOfPairs) -> Iterator[tuple[PairDistances, PeopleOfPairs]]:
    """Yield the pairs a chunk at a time, with the people whom they show."""
    for number, chunk in enumerate(measured.chunks(CHUNK)):
        yield chunk, people.part(number * CHUNK, (number + 1) * CHUNK)


def _weights_of_people(chunk: PairDistances, people: PeopleOfPairs, thresholds: Sequence[float]) -> FloatArray:
    """Return the weight of the different pairs that show each person: of all, then of those that are accepted."""
    first, second = people.both()
    chosen = np.flatnonzero(~chunk.similar)
    weights = None if chunk.weights is None else chunk.weight_of_each()
    sums = []
    # The first limit takes all pairs. From one to the next, only pairs that are near enough are looked at again.
    order = sorted(range(len(thresholds)), key=lambda place: -thresholds[place])
    for limit in [math.inf, *(thresholds[place] for place in order)]:
        chosen = chosen[chunk.distance[chosen] <= limit]
        given = None if weights is None else weights[chosen]
        sums.append(np.bincount(first[chosen], given, people.count) + np.bincount(second[chosen], given, people.count))
    made = np.empty((1 + len(thresholds), people.count))
    made[0] = sums[0]
    for place, values in zip(order, sums[1:], strict=True):
        made[1 + place] = values
    return made


def _range(accepted: FloatArray, total: FloatArray) -> Range | None:
    """Return the range of a rate.

    Args:
        accepted: float (M,), the weight of the accepted different pairs that show each person.
        total: float (M,), that of all different pairs that show each person.
    """
    people = len(total)
    if people < FEWEST_PEOPLE:
        return None
    # Every pair shows two people.
    rate = accepted.sum() / total.sum()
    rest = total.sum() / 2 - total
    if not 0 < rate < 1 or rest.min() <= 0:
        return None
    return logit_range(float(rate), (accepted.sum() / 2 - accepted) / rest, LIKELY)
