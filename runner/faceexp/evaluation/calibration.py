"""From validation pairs to decisions: thresholds at false accept rates, and a probability for each distance.

Test pairs are never used here.

References:
    Platt, "Probabilistic Outputs for Support Vector Machines", Advances in Large Margin Classifiers (1999).
    Tukey, "Exploratory Data Analysis" (1977), for the fences beyond which a value is far out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation import verification
from faceexp.evaluation.likely import likely_rates
from faceexp.evaluation.measured_pairs import CHUNK
from faceexp.evaluation.roc import roc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from faceexp.arrays import FloatArray
    from faceexp.evaluation.jackknife import Range
    from faceexp.evaluation.measured_pairs import Pairs
    from faceexp.evaluation.people import PeopleOfPairs

# The false accept rates for which a threshold is chosen: 10 % as a lenient one, and the two at which tables report the
# true accept rate.
FARS = (0.1, 0.01, 0.001)
# A rate gets a threshold only if this many false accepts are expected at it. With ten of them, chance alone moves the
# rate by about a third (one over the square root of ten); with fewer, the rate that is met may be any other.
SUPPORT = 10
# Nor does a rate get one if fewer pairs of people than this are expected at it, however many images show them: 8 people
# make 28 pairs of people, of which no hundredth can be known.
PEOPLE_SUPPORT = 1
# Nor does it if the range that other people are likely to meet ends above so many times the rate: whoever asks for one
# false accept in a hundred would have to expect more than four.
MOST_OVER = 4
# The logistic regression is fitted on at most this many pairs of each kind. It has two parameters, which more pairs
# hardly change, while the fit would take longer.
MOST_PAIRS = 100_000
# Of each kind, at most about this many pairs are sorted before they are thinned out; of more pairs, evenly spaced ones
# are taken first. Sorting all of them would take longer than everything else in the fit.
MOST_SORTED = 1 << 24
# A distance is far out, and left out of the regression, if it lies more than so many interquartile ranges beyond the
# quartiles of either kind of pair. Of normally distributed distances these are fewer than one in 400,000. A single
# broken photo may make many of them, which would otherwise decide the slope alone.
FAR_OUT = 3.0
# Inverse strength of the regression's penalty, for distances in units of their spread: so weak that the fit of ordinary
# pairs hardly changes, but enough to keep the slope finite if a threshold separates the two kinds perfectly.
INVERSE_PENALTY = 100.0


@dataclass(frozen=True)
class Calibration:
    """What validation pairs say about distances.

    Attributes:
        threshold: The distance threshold with the best balanced accuracy; ``nan`` if only one kind of pair exists.
        far: Share of the different validation pairs that this threshold accepts.
        tar: Share of the similar validation pairs that it accepts.
        thresholds: By false accept rate, as text: of the distance thresholds that accept at most this share of the
            different pairs, one that accepts the most similar pairs. ``None`` if fewer than :data:`SUPPORT` false
            accepts would be expected, or those of fewer than :data:`PEOPLE_SUPPORT` pairs of people, so that the rate
            could not be checked; or if other people may well meet more than :data:`MOST_OVER` times the rate.
        slope: Change of the log odds per unit of distance; negative if similar pairs are nearer. It is 0 if they are
            not, so that the probability is 0.5 at every distance.
        intercept: The log odds at distance 0.
        n_similar: Number of similar validation pairs.
        n_different: Number of different validation pairs.
        people: Number of validation people; ``None`` if it is not known whom the pairs show.
        far_range: By false accept rate, as text: the range of the rate that other people are likely to meet at its
            threshold, also where that is so wide that there is no threshold. ``None`` where there is no such range.
        threshold_far_range: The same for ``threshold``.
    """

    threshold: float
    far: float
    tar: float
    thresholds: Mapping[str, float | None]
    slope: float
    intercept: float
    n_similar: int
    n_different: int
    people: int | None = None
    far_range: Mapping[str, Range | None] = field(default_factory=dict)
    threshold_far_range: Range | None = None


def calibrated(measured: Pairs, people: PeopleOfPairs | None = None) -> Calibration:
    """Return the thresholds and the probability that follow from the distances of validation pairs.

    Args:
        measured: The pairs. Where they have weights, rates and probability are those of the weighted pairs.
        people: Whom they show. Without it, no range can be given, and no rate is refused for too few people.
    """
    curve = roc(measured)
    threshold = verification.balanced_threshold(curve)
    far, tar = verification.rates(measured, threshold)
    slope, intercept = _log_odds(measured) if curve.both_kinds else (math.nan, math.nan)
    supported = {
        str(aim): verification.threshold_at_far(curve, aim) for aim in FARS if aim * curve.n_different >= SUPPORT
    }
    ranges: dict[str, Range | None] = {}
    default_range = None
    if people and curve.both_kinds:
        *at_aims, default_range = likely_rates(measured, people, [*supported.values(), threshold])
        ranges = dict(zip(supported, at_aims, strict=True))
    pairs_of_people = people.pairs_of_people if people else math.inf
    thresholds = dict.fromkeys(map(str, FARS)) | {
        aim: value
        for aim, value in supported.items()
        if people is None or (float(aim) * pairs_of_people >= PEOPLE_SUPPORT and _is_close(ranges.get(aim), float(aim)))
    }
    return Calibration(
        threshold=threshold,
        far=far,
        tar=tar,
        thresholds=thresholds,
        slope=slope,
        intercept=intercept,
        n_similar=curve.n_similar,
        n_different=curve.n_different,
        people=people.count if people else None,
        far_range=dict.fromkeys(map(str, FARS)) | ranges,
        threshold_far_range=default_range,
    )


def _is_close(likely: Range | None, aim: float) -> bool:
    """Return whether other people are likely to meet about the rate that was aimed at."""
    return likely is not None and likely[1] <= MOST_OVER * aim


def probability(distance: float, slope: float, intercept: float) -> float:
    """Return the probability that a pair is similar, ``1 / (1 + exp(-(intercept + slope distance)))``.

    It is the probability if similar and different pairs are equally frequent.

    Args:
        distance: Distance of the pair.
        slope: See :class:`Calibration`.
        intercept: See :class:`Calibration`.
    """
    log_odds = intercept + slope * distance
    # There are two forms of the same formula, so that the exponential never overflows.
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def _log_odds(measured: Pairs) -> tuple[float, float]:
    """Return slope and intercept of a logistic regression in which both kinds of pairs have the same weight.

    Distances that are far out are left out. Where the slope would not be negative, because similar pairs are not nearer
    than different ones, the distance says nothing: slope and intercept are 0.
    """
    from sklearn.linear_model import LogisticRegression

    kinds = [_thinned(measured, similar=similar) for similar in (False, True)]
    fences = [_fences(distances) for distances, _ in kinds]
    low, high = min(low for low, _ in fences), max(high for _, high in fences)
    chosen = [(distances >= low) & (distances <= high) for distances, _ in kinds]
    distances = np.concatenate([of_kind[near] for (of_kind, _), near in zip(kinds, chosen, strict=True)])
    labels = np.repeat([0, 1], [np.count_nonzero(near) for near in chosen])
    weights = np.concatenate([given[near] / given[near].sum() for (_, given), near in zip(kinds, chosen, strict=True)])
    # Distances are measured in units of their spread, so that the penalty means the same for every loss.
    centre, spread = float(np.mean(distances)), float(np.std(distances)) or 1.0
    regression = LogisticRegression(C=INVERSE_PENALTY)
    fitted = regression.fit(((distances - centre) / spread)[:, None], labels, weights * (len(distances) / 2))
    slope = float(fitted.coef_[0, 0]) / spread
    return (slope, float(fitted.intercept_[0]) - slope * centre) if slope < 0 else (0.0, 0.0)


def _fences(distances: FloatArray) -> Range:
    """Return the limits beyond which a distance of this kind of pair is far out."""
    lower, upper = np.quantile(distances, [0.25, 0.75]).tolist()
    return lower - FAR_OUT * (upper - lower), upper + FAR_OUT * (upper - lower)


def _thinned(measured: Pairs, *, similar: bool) -> tuple[FloatArray, FloatArray]:
    """Return at most :data:`MOST_PAIRS` distances of one kind of pair, evenly spaced by rank, and their weights.

    So their distribution is the same. If there are too many to sort, evenly spaced ones of them are taken first: with k
    times :data:`MOST_SORTED` pairs of this kind, k rounded up, every k-th pair of each chunk.
    """
    total = sum(int(np.count_nonzero(chunk.similar == similar)) for chunk in measured.chunks(CHUNK))
    step = -(-total // MOST_SORTED) or 1
    # Copies, since a view would keep all of its chunk's distances in memory.
    distances = np.concatenate(
        [chunk.distance[chunk.similar == similar][::step].copy() for chunk in measured.chunks(CHUNK)]
    )
    thin = -(-len(distances) // MOST_PAIRS) or 1
    if measured.weights is None:
        distances.sort()
        rest = distances[::thin].astype(np.float64)
        return rest, np.ones(len(rest))
    given = np.concatenate(
        [chunk.weight_of_each()[chunk.similar == similar][::step].copy() for chunk in measured.chunks(CHUNK)]
    )
    order = np.argsort(distances)[::thin]
    return distances[order].astype(np.float64), given[order]
