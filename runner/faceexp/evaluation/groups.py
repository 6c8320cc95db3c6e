"""False match rate and false non-match rate within groups of people, at the threshold that all groups share.

The false match rate (FMR) is the accepted share of the different pairs, the false non-match rate (FNMR) the rejected
share of the similar ones; both images of a pair are in the group. Every person counts alike, unless a list names the
pairs. The trials of a row are put together: each person counts in every trial that tests them. Intervals are those of
the jackknife over people, since pairs that share a person are not independent.

References:
    Louis, "Confidence Intervals for a Binomial Parameter after Observing No Successes", The American Statistician 35
    (1981), for the number of pairs of which none is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.jackknife import CONFIDENCE, range_of, standard_error
from faceexp.evaluation.likely import with_their_people
from faceexp.evaluation.measured_pairs import map_in_threads
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import people_of
from faceexp.evaluation.roc import PLACES

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray, IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.jackknife import Range
    from faceexp.evaluation.measured_pairs import PairDistances
    from faceexp.evaluation.people import PeopleOfPairs

# Without one error among five people, the rate may still be one half; among six it may not (see `range_of`).
FEWEST_PEOPLE = 6
# At a threshold for a certain false accept rate, so many pairs of people have to be expected to be accepted. With fewer
# it would happen in more than 5 % of cases that none is, so that a rate of zero says nothing (the rule of three).
FEWEST_EXPECTED = 3


@dataclass(frozen=True, eq=False)
class Tally:
    """What thresholds do to the pairs within a group, summed for each person.

    A pair of two people counts for both of them.

    Attributes:
        people: int (M,), the people.
        similar: float (M,), the weight of the similar pairs of each person.
        different: float (M,), the weight of the different pairs that show each person.
        rejected: By threshold: float (M,), the weight of the similar pairs that it rejects.
        accepted: By threshold: float (M,), the weight of the different pairs that it accepts.
        pairs_of_people: How many pairs of two people are judged.
    """

    people: IntArray
    similar: FloatArray
    different: FloatArray
    rejected: Mapping[str, FloatArray]
    accepted: Mapping[str, FloatArray]
    pairs_of_people: int


def tally(
    embeddings: Embeddings,
    labels: IntArray,
    distance: Distance,
    members: IntArray,
    thresholds: Mapping[str, float],
    pairs: IntArray | None = None,
) -> Tally:
    """Return what thresholds do to the pairs within a group.

    Args:
        embeddings: float (N, D), of test images.
        labels: int (N,), their identities.
        distance: See :func:`~faceexp.evaluation.pairs.prepare`.
        members: int (K,), the rows in the group.
        thresholds: Distances, by name.
        pairs: int (P, 2), the pairs that a protocol lists, each of which counts alike. ``None``: every pair; a similar
            pair weighs one over the number of such pairs of its person, and a different one over those of its two.
    """
    of_group = labels[members]
    inside = None
    if pairs is not None:
        place = np.full(len(labels), -1)
        place[members] = np.arange(len(members))
        inside = place[pairs]
        inside = inside[(inside >= 0).all(axis=1)]
    measured = pair_distances(embeddings[members], of_group, distance, inside)
    people = people_of(of_group, inside)
    images = np.bincount(people.person, minlength=people.count) if pairs is None else None
    limits = list(thresholds.values())
    chunks = with_their_people(measured, people)
    sums = sum(
        map_in_threads(lambda both: _sums(*both, images, limits), chunks),
        start=np.zeros((2, 1 + len(limits), people.count)),
    )
    (different, *accepted), (similar, *near) = sums
    return Tally(
        np.unique(of_group),
        similar,
        different,
        {name: similar - weights for name, weights in zip(thresholds, near, strict=True)},
        dict(zip(thresholds, accepted, strict=True)),
        people.pairs_of_people,
    )


def _sums(
    chunk: PairDistances, people: PeopleOfPairs, images: IntArray | None, thresholds: Sequence[float]
) -> FloatArray:
    """Return the weight of the pairs that show each person: float (different or similar, all or accepted, M)."""
    first, second = people.both()
    weights = np.ones(len(first))
    if images is not None:
        of_first, of_second = images[first], images[second]
        weights = np.where(chunk.similar, 2 / (of_first * np.maximum(of_first - 1, 1)), 1 / (of_first * of_second))
    made = np.zeros((2, 1 + len(thresholds), people.count))
    for place, limit in enumerate([math.inf, *thresholds]):
        accepted = chunk.distance <= limit
        for similar in (False, True):
            chosen = np.flatnonzero(accepted & (chunk.similar == similar))
            made[int(similar), place] = np.bincount(first[chosen], weights[chosen], people.count)
            if not similar:
                made[0, place] += np.bincount(second[chosen], weights[chosen], people.count)
    return made


@dataclass(frozen=True, eq=False)
class Rate:
    """A rate of a group over all trials of a row.

    Attributes:
        value: The rate; ``nan`` if there are no such pairs, or if it is refused.
        ci95: Its 95 % interval over people; ``None`` where there is none.
        refused: Why it is not given, in words; empty if it is.
        people: int (M,), those who have such pairs.
        without: float (M,), the rate without each of them.
    """

    value: float
    ci95: Range | None
    refused: str
    people: IntArray
    without: FloatArray


def fmr(tallies: Sequence[Tally], threshold: str, aim: float | None = None) -> Rate:
    """Return the false match rate of a group; refused for too few people or, at an aim, for too few pairs of them.

    Args:
        tallies: Of the group, from each trial of a row.
        threshold: The name of the threshold.
        aim: The false accept rate for which it was chosen, if it was chosen for one.
    """
    people, accepted, judged = _together(tallies, [each.accepted[threshold] for each in tallies], "different")
    pairs = min(sum(each.pairs_of_people for each in tallies), len(people) * (len(people) - 1) // 2)
    refused = ""
    if aim is not None and aim * pairs < FEWEST_EXPECTED:
        needed = math.ceil(round(FEWEST_EXPECTED / aim, PLACES))
        refused = (
            f"{pairs:,} pairs of people; none accepted among fewer than {needed:,} would not show a rate below {aim:g}"
        )
    # A pair of two people counts for both, so that half of all sums are the pairs.
    return _rate(people, accepted, judged, refused, counted=2)


def fnmr(tallies: Sequence[Tally], threshold: str) -> Rate:
    """Return the false non-match rate of a group; refused for too few people. See :func:`fmr`."""
    return _rate(*_together(tallies, [each.rejected[threshold] for each in tallies], "similar"), "", counted=1)


def _together(
    tallies: Sequence[Tally], errors: Sequence[FloatArray], kind: str
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the people who have pairs of a kind in any trial, the weight of their errors, and that of their pairs."""
    people, place = np.unique(np.concatenate([each.people for each in tallies]), return_inverse=True)
    of_kind = [each.similar if kind == "similar" else each.different for each in tallies]
    judged: FloatArray = np.bincount(place, np.concatenate(of_kind), len(people)).astype(np.float64)
    wrong: FloatArray = np.bincount(place, np.concatenate(errors), len(people)).astype(np.float64)
    return people[judged > 0], wrong[judged > 0], judged[judged > 0]


def _rate(people: IntArray, wrong: FloatArray, judged: FloatArray, refused: str, *, counted: int) -> Rate:
    """Return a rate with its interval; ``counted`` is for how many people a pair counts."""
    count = len(people)
    if count < FEWEST_PEOPLE:
        refused = (
            f"{count} {'person has' if count == 1 else 'people have'} such pairs; without an error among fewer than "
            f"{FEWEST_PEOPLE}, the rate may still be one half"
        )
    if refused:
        return Rate(math.nan, None, refused, people, np.empty(0))
    # The last digits of a sum of weights are noise, by which a perfect model would look imperfect.
    value = round(float(wrong.sum() / judged.sum()), PLACES)
    rest = judged.sum() / counted - judged
    without = np.divide(wrong.sum() / counted - wrong, rest, out=np.full(count, math.nan), where=rest > 0)
    return Rate(value, range_of(value, without, count), "", people, without)


@dataclass(frozen=True)
class Ratio:
    """The rate of the group with the highest over that of the group with the lowest one.

    Attributes:
        worst: The group with the highest rate.
        best: The group with the lowest rate.
        value: The ratio; infinity if the best group has no error.
        ci95: Its 95 % interval over people, as wide as choosing the two groups among all makes it.
    """

    worst: str
    best: str
    value: float
    ci95: Range | None


def worst_over_best(rates: Mapping[str, Rate]) -> Ratio | None:
    """Return how many times the rate of the best group that of the worst is; ``None`` if no two groups have errors.

    The interval is that of the jackknife on the scale of logarithms: each person in turn is left out of both groups.
    These are the most different ones of all, so the level is corrected for all pairs of groups (Bonferroni).

    Args:
        rates: The rate of each group, by its name.
    """
    from scipy.special import stdtrit

    given = sorted((rate.value, name) for name, rate in rates.items() if not rate.refused)
    if len(given) < 2 or given[-1][0] == 0:
        return None
    (lowest, best), (highest, worst) = given[0], given[-1]
    if lowest == 0:
        return Ratio(worst, best, math.inf, None)
    people = np.union1d(rates[worst].people, rates[best].people)
    log_rates = []
    for name in (worst, best):
        of_group = np.full(len(people), rates[name].value)
        of_group[np.searchsorted(people, rates[name].people)] = rates[name].without
        log_rates.append(np.log(of_group, out=np.full(len(people), math.nan), where=of_group > 0))
    without = log_rates[0] - log_rates[1]
    ratio = highest / lowest
    if np.isnan(without).any():  # all errors of a group are those of one person
        return Ratio(worst, best, ratio, None)
    fewer = min(len(rates[worst].people), len(rates[best].people))
    level = (1 - CONFIDENCE) / (len(given) * (len(given) - 1))
    reach = math.exp(float(stdtrit(fewer - 1, 1 - level)) * standard_error(without))
    return Ratio(worst, best, ratio, (ratio / reach, ratio * reach))
