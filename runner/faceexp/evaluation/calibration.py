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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from faceexp.arrays import FloatArray
    from faceexp.evaluation.pairs import PairDistances

FARS = (0.1, 0.01, 0.001)
# So many false accepts are expected at least: with fewer, the rate that was aimed at is not the one that is met.
SUPPORT = 10
MOST_PAIRS = 100_000
# Beyond that, sorting takes longer than the fit gains by it.
MOST_SORTED = 1 << 24


@dataclass(frozen=True)
class Calibration:
    """What validation pairs say about distances.

    Attributes:
        threshold: Distance of best balanced accuracy; ``nan`` where there is one kind of pair only.
        far: Share of different validation pairs that it accepts.
        tar: Share of similar ones.
        thresholds: By the false accept rate, as text: the distance threshold that accepts no more different pairs and
            then the most similar ones; ``None`` where fewer than :data:`SUPPORT` different pairs would be accepted, so
            that the rate could not be checked.
        slope: Of the log odds, a unit of distance; negative where similar pairs are nearer.
        intercept: The log odds at distance 0.
        n_similar: Validation pairs of one identity.
        n_different: Validation pairs of two.
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
    """Return thresholds and probability from the distances of validation pairs."""
    curve = verification.roc(measured)
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

    It is that of a world in which similar and different pairs are equally frequent.
    """
    log_odds = intercept + slope * distance
    # Written so that neither side overflows.
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def _log_odds(measured: PairDistances) -> tuple[float, float]:
    """Return slope and intercept of a logistic regression in which both kinds of pairs weigh the same."""
    from sklearn.linear_model import LogisticRegression

    kinds = [_thinned(_of_kind(measured, similar=similar)) for similar in (False, True)]
    distances = np.concatenate(kinds)
    labels = np.repeat([0, 1], [len(kind) for kind in kinds])
    weights = np.concatenate([np.full(len(kind), len(distances) / (2 * len(kind))) for kind in kinds])
    # In units of the spread, so that the slight regularisation, which keeps separable pairs finite, has one meaning.
    centre, spread = float(np.mean(distances)), float(np.std(distances)) or 1.0
    fitted = LogisticRegression(C=100.0).fit(((distances - centre) / spread)[:, None], labels, weights)
    slope = float(fitted.coef_[0, 0]) / spread
    return slope, float(fitted.intercept_[0]) - slope * centre


def _of_kind(measured: PairDistances, *, similar: bool) -> FloatArray:
    """Return the distances of one kind of pair; of more than :data:`MOST_SORTED`, every so manieth: they are enough."""
    chunks = measured.chunks(CHUNK)
    total = sum(int(np.count_nonzero(chunk.similar == similar)) for chunk in chunks)
    step = -(-total // MOST_SORTED) or 1
    # Copies, since a view would keep what it is a view of.
    return np.concatenate([chunk.distance[chunk.similar == similar][::step].copy() for chunk in chunks])


def _thinned(distances: FloatArray) -> FloatArray:
    """Return at most :data:`MOST_PAIRS` distances, evenly by rank: the fit sees the same distribution in less time."""
    ordered = np.sort(distances)
    step = -(-len(ordered) // MOST_PAIRS) or 1
    return ordered[::step].astype(np.float64)
