"""From validation pairs to decisions: thresholds at false accept rates, and a probability for each distance.

Test pairs are never used here.

References:
    Platt, "Probabilistic Outputs for Support Vector Machines", Advances in Large Margin Classifiers (1999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation import verification
from faceexp.evaluation.pairs import CHUNK
from faceexp.evaluation.roc import roc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from faceexp.arrays import FloatArray
    from faceexp.evaluation.pairs import PairDistances

# The false accept rates for which a threshold is chosen: 10 % as a lenient one, and the two at which tables report the
# true accept rate.
FARS = (0.1, 0.01, 0.001)
# A rate gets a threshold only if this many false accepts are expected at it. With ten of them, chance alone moves the
# rate by about a third (one over the square root of ten); with fewer, the rate that is met may be any other.
SUPPORT = 10
# The logistic regression is fitted on at most this many pairs of each kind. It has two parameters, which more pairs
# hardly change, while the fit would take longer.
MOST_PAIRS = 100_000
# Of each kind, at most about this many pairs are sorted before they are thinned out; of more pairs, evenly spaced ones
# are taken first. Sorting all of them would take longer than everything else in the fit.
MOST_SORTED = 1 << 24
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
            accepts would be expected, so that the rate could not be checked.
        slope: Change of the log odds per unit of distance; negative if similar pairs are nearer.
        intercept: The log odds at distance 0.
        n_similar: Number of similar validation pairs.
        n_different: Number of different validation pairs.
    """

    threshold: float
    far: float
    tar: float
    thresholds: Mapping[str, float | None]
    slope: float
    intercept: float
    n_similar: int
    n_different: int


def calibrated(measured: PairDistances) -> Calibration:
    """Return the thresholds and the probability that follow from the distances of validation pairs."""
    curve = roc(measured)
    threshold = verification.balanced_threshold(curve)
    true_accepts, false_accepts, _ = verification.accepts(measured, threshold)
    slope, intercept = _log_odds(measured) if curve.both_kinds else (math.nan, math.nan)
    return Calibration(
        threshold=threshold,
        far=false_accepts / curve.n_different if curve.n_different else math.nan,
        tar=true_accepts / curve.n_similar if curve.n_similar else math.nan,
        thresholds={
            str(far): verification.threshold_at_far(curve, far) if far * curve.n_different >= SUPPORT else None
            for far in FARS
        },
        slope=slope,
        intercept=intercept,
        n_similar=curve.n_similar,
        n_different=curve.n_different,
    )


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


def _log_odds(measured: PairDistances) -> tuple[float, float]:
    """Return slope and intercept of a logistic regression in which both kinds of pairs have the same weight."""
    from sklearn.linear_model import LogisticRegression

    kinds = [_thinned(_of_kind(measured, similar=similar)) for similar in (False, True)]
    distances = np.concatenate(kinds)
    labels = np.repeat([0, 1], [len(kind) for kind in kinds])
    weights = np.concatenate([np.full(len(kind), len(distances) / (2 * len(kind))) for kind in kinds])
    # Distances are measured in units of their spread, so that the penalty means the same for every loss.
    centre, spread = float(np.mean(distances)), float(np.std(distances)) or 1.0
    fitted = LogisticRegression(C=INVERSE_PENALTY).fit(((distances - centre) / spread)[:, None], labels, weights)
    slope = float(fitted.coef_[0, 0]) / spread
    return slope, float(fitted.intercept_[0]) - slope * centre


def _of_kind(measured: PairDistances, *, similar: bool) -> FloatArray:
    """Return the distances of one kind of pair; if there are too many to sort, evenly spaced ones of them.

    With k times :data:`MOST_SORTED` pairs of this kind, k rounded up, every k-th pair of each chunk is taken.
    """
    chunks = measured.chunks(CHUNK)
    total = sum(int(np.count_nonzero(chunk.similar == similar)) for chunk in chunks)
    step = -(-total // MOST_SORTED) or 1
    # Copies, since a view would keep all of its chunk's distances in memory.
    return np.concatenate([chunk.distance[chunk.similar == similar][::step].copy() for chunk in chunks])


def _thinned(distances: FloatArray) -> FloatArray:
    """Return at most :data:`MOST_PAIRS` distances, evenly spaced by rank, so that their distribution is the same."""
    ordered = np.sort(distances)
    step = -(-len(ordered) // MOST_PAIRS) or 1
    return ordered[::step].astype(np.float64)
