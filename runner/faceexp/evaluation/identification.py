"""Open-set identification: who of a gallery does a photo show, if anybody?

Half of the test people are *enrolled*: one photo of each, drawn at random, is the gallery. The other half are
*strangers*. Every other photo is searched for in the gallery: those of enrolled people have a *mate* there, those of
strangers have none. Who is enrolled is drawn several times, and every rate is the mean over these draws.

With a threshold T on distances, as ISO/IEC 19795-1 and NIST's evaluations of identification define them:

- FPIR(T), the false positive identification rate: the share of the searches without a mate for which anybody in the
  gallery is at most T away.
- TPIR(T), the true positive identification rate: the share of the searches with a mate whose mate is the nearest of the
  gallery, and at most T away. It is 1 - FNIR(N, 1, T), N the number of people in the gallery.
- CMC(k), the cumulative match characteristic: the share of the searches with a mate whose mate is among the k nearest,
  however far away. It is 1 - FNIR(N, k) without a threshold.

References:
    ISO/IEC 19795-1, "Biometric Performance Testing and Reporting".
    Grother, Ngan and Hanaoka, "Face Recognition Vendor Test (FRVT) Part 2: Identification", NISTIR 8271.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.calibration import SUPPORT
from faceexp.evaluation.embeddings import blocks
from faceexp.evaluation.metrics import POOLED
from faceexp.evaluation.pairs import distances_from, prepare
from faceexp.evaluation.people import row_weights
from faceexp.evaluation.roc import PLACES
from faceexp.planning.prospects import PEOPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faceexp.arrays import FloatArray, IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.people import Weighting

# The false positive identification rates at which searches are measured.
FPIRS = (0.1, 0.01)
# So often it is drawn who is enrolled.
DRAWS = 20
# The CMC has so many ranks at most, and these become metrics.
MOST_RANKS = 20
CMC_RANKS = (1, 5)
# The word "gallery" as far as hexadecimal can spell it: a stream of random numbers of its own.
_STREAM = 0x6A11E


def tpir_key(fpir: float) -> str:
    """Return the key of the true positive identification rate at a false positive identification rate."""
    return f"tpir@fpir={fpir}"


@dataclass(frozen=True, eq=False)
class Searches:
    """One draw: who is enrolled, and what is searched for.

    Attributes:
        gallery: int (E,), the row of the one photo of each enrolled person.
        mated: int (M,), the other rows of enrolled people.
        mates: int (M,), the place in the gallery of the person of each of these.
        strangers: int (S,), all rows of the people who are not enrolled.
    """

    gallery: IntArray
    mated: IntArray
    mates: IntArray
    strangers: IntArray


@dataclass(frozen=True)
class Identified:
    """What searches in a gallery found, as means over all draws.

    Attributes:
        metrics: TPIR at each of :data:`FPIRS` and CMC at :data:`CMC_RANKS`, by the key of the metric; ``nan`` for what
            is refused.
        met: The FPIR that was met at each TPIR, by the key of the metric.
        cmc: CMC at the ranks 1, 2, ...
    """

    metrics: dict[str, float]
    met: dict[str, float]
    cmc: tuple[float, ...]


def draw_searches(labels: IntArray, seed: Sequence[int], draws: int = DRAWS) -> list[Searches]:
    """Return several draws of who is enrolled.

    Only people with two images or more can be enrolled, since one is in the gallery and another has to be searched for.

    Args:
        labels: int (N,), the identities of the test images.
        seed: What decides the draws, such as the seed of the split and the fold.
        draws: How many there are.
    """
    random = np.random.default_rng([*seed, _STREAM])
    people, person, images = np.unique(labels, return_inverse=True, return_counts=True)
    can_be_enrolled = np.flatnonzero(images >= 2)
    size = min(len(people) // 2, len(can_be_enrolled))
    drawn = []
    for _ in range(draws):
        enrolled = np.sort(random.permutation(can_be_enrolled)[:size])
        # Of each person, the photo that comes first when all are shuffled.
        shuffled = random.permutation(len(labels))
        gallery = shuffled[np.unique(person[shuffled], return_index=True)[1][enrolled]]
        is_searched = np.ones(len(labels), np.bool_)
        is_searched[gallery] = False
        is_enrolled = np.isin(person, enrolled)
        mated = np.flatnonzero(is_enrolled & is_searched)
        drawn.append(Searches(gallery, mated, np.searchsorted(enrolled, person[mated]), np.flatnonzero(~is_enrolled)))
    return drawn


@dataclass(frozen=True)
class Supply:
    """How much there is to search for: the fewest of all draws.

    Attributes:
        enrolled: People in the gallery.
        strangers: People who are not in it.
        searches: Images of these.
    """

    enrolled: int
    strangers: int
    searches: int

    def refusal(self) -> str | None:
        """Return why nothing can be said of identification; ``None`` if something can."""
        if min(self.enrolled, self.strangers) >= PEOPLE:
            return None
        return (
            f"{self.enrolled} people can be enrolled and {self.strangers} be strangers, and it takes {PEOPLE} of each: "
            f"{2 * PEOPLE} test people with two images or more"
        )

    def refusal_at(self, fpir: float) -> str | None:
        """Return why nothing can be said at a false positive identification rate.

        As for false accept rates, ten searches have to be expected to go wrong, and those of one stranger at least.
        """
        if fpir * self.searches >= SUPPORT and fpir * self.strangers >= 1:
            return None
        return (
            f"{fpir * self.searches:.2g} of {self.searches:,} photos of {self.strangers:,} strangers would be taken "
            f"for somebody, and a rate takes {SUPPORT}, of {math.ceil(round(SUPPORT / fpir, 6)):,} photos of "
            f"{math.ceil(round(1 / fpir, 6)):,} strangers"
        )


def supply_of(labels: IntArray, drawn: Sequence[Searches]) -> Supply:
    """Return how much there is to search for in some draws."""
    return Supply(
        min(len(each.gallery) for each in drawn),
        min(len(np.unique(labels[each.strangers])) for each in drawn),
        min(len(each.strangers) for each in drawn),
    )


def identify(embeddings: Embeddings, labels: IntArray, distance: Distance, drawn: Sequence[Searches]) -> Identified:
    """Return how well photos are found in galleries, as the mean over some draws.

    Every person counts alike; under further names, with the ending :data:`POOLED`, every search.

    Args:
        embeddings: float (N, D), of test images.
        labels: int (N,), their identities.
        distance: See :func:`faceexp.evaluation.pairs.prepare`.
        drawn: The draws.
    """
    supply = supply_of(labels, drawn)
    fpirs = [fpir for fpir in FPIRS if supply.refusal_at(fpir) is None]
    ranks = min(MOST_RANKS, supply.enrolled)
    rates: dict[Weighting, list[list[float]]] = {"people": [], "pairs": []}
    for searches in drawn:
        found = _search(embeddings, distance, searches)
        for weights, of_draws in rates.items():
            of_draws.append(_rates(found, labels, searches, fpirs, ranks, weights))
    people, pairs = (
        [round(float(np.mean(values)), PLACES) for values in zip(*of_draws, strict=True)] for of_draws in rates.values()
    )
    metrics, met = _named(people, fpirs, ranks)
    pooled, _ = _named(pairs, fpirs, ranks)
    return Identified(
        metrics | {key + POOLED: value for key, value in pooled.items()}, met, tuple(people[2 * len(fpirs) :])
    )


def _rates(
    found: Found, labels: IntArray, searches: Searches, fpirs: Sequence[float], ranks: int, weights: Weighting
) -> list[float]:
    """Return of one draw TPIR at each rate, FPIR met at each rate, and CMC at each rank, one after the other."""
    mated, strangers = (_weights(labels[rows], weights) for rows in (searches.mated, searches.strangers))
    hit = np.where(found.rank == 1, found.mate, np.inf)
    at_rates = [tpir_at_fpir(hit, mated, found.nearest, strangers, fpir) for fpir in fpirs]
    cmc = [float(mated[found.rank <= k].sum()) for k in range(1, ranks + 1)]
    return [*(tpir for tpir, _ in at_rates), *(met for _, met in at_rates), *cmc]


def _named(rates: Sequence[float], fpirs: Sequence[float], ranks: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the metrics, and the FPIR met, of what :func:`_rates` returns; ``nan`` for what is refused."""
    refused = {tpir_key(fpir): math.nan for fpir in FPIRS}
    keys = [tpir_key(fpir) for fpir in fpirs]
    cmc = rates[2 * len(fpirs) :]
    of_ranks = {f"cmc_rank_{k}": cmc[k - 1] if k <= ranks else math.nan for k in CMC_RANKS}
    tpirs = dict(zip(keys, rates[: len(fpirs)], strict=True))
    return refused | tpirs | of_ranks, refused | dict(zip(keys, rates[len(fpirs) : 2 * len(fpirs)], strict=True))


def _weights(labels: IntArray, weights: Weighting) -> FloatArray:
    """Return how much each search counts; together they are 1."""
    given: FloatArray = row_weights(labels) if weights == "people" else np.ones(len(labels))
    given /= given.sum()
    return given


@dataclass(frozen=True, eq=False)
class Found:
    """What the searches of one draw found.

    Attributes:
        rank: int (M,), the rank of the mate in each search that has one. People who are as near rank before it.
        mate: float (M,), the distance of the mate.
        nearest: float (S,), the distance of the nearest of the gallery in all other searches.
    """

    rank: IntArray
    mate: FloatArray
    nearest: FloatArray


def _search(embeddings: Embeddings, distance: Distance, searches: Searches) -> Found:
    probes = np.concatenate([searches.mated, searches.strangers])
    mated = len(searches.mated)
    rows = prepare(embeddings[np.concatenate([probes, searches.gallery])], distance)
    found = Found(np.empty(mated, np.int64), np.empty(mated), np.empty(len(searches.strangers)))
    for start, stop in blocks(len(probes), len(searches.gallery)):
        block = distances_from(rows, start, stop, first=len(probes))
        with_mate = max(0, min(stop, mated) - start)
        of_mates = slice(start, start + with_mate)
        own = block[np.arange(with_mate), searches.mates[of_mates]]
        found.mate[of_mates] = own
        found.rank[of_mates] = np.count_nonzero(block[:with_mate] <= own[:, None], axis=1)
        found.nearest[max(0, start - mated) : max(0, stop - mated)] = block[with_mate:].min(axis=1)
    return found


def tpir_at_fpir(
    hit: FloatArray, mated: FloatArray, nearest: FloatArray, strangers: FloatArray, fpir: float
) -> tuple[float, float]:
    """Return the largest TPIR of all thresholds whose FPIR is at most so large, and the FPIR that is met with it.

    Nothing is interpolated; of the thresholds with this TPIR, the FPIR is that of the smallest.

    Args:
        hit: float (M,), the distance of the mate where it is the nearest; infinity where it is not.
        mated: float (M,), how much each of these searches counts; together 1.
        nearest: float (S,), the distance of the nearest of the gallery, in searches without a mate.
        strangers: float (S,), how much each of these counts; together 1.
        fpir: The false positive identification rate that is allowed.
    """
    order = np.argsort(nearest, kind="stable")
    allowed = int(np.searchsorted(np.round(np.cumsum(strangers[order]), PLACES), fpir, side="right"))
    # A threshold below this distance accepts no more searches than are allowed, and those that are as far away go too.
    limit = nearest[order][allowed] if allowed < len(order) else math.inf
    accepted = hit < limit
    threshold = hit[accepted].max(initial=-math.inf)
    return float(mated[accepted].sum()), float(strangers[nearest <= threshold].sum())
