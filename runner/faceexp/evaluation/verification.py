"""Verification: do two images show the same identity? The answer is yes if and only if *distance <= threshold*.

A *similar* pair shows the same identity, a *different* pair two identities; biometrics calls them genuine pairs and
impostor pairs. A pair whose answer is yes is *accepted*. The true accept rate (TAR) is the accepted share of the
similar pairs, the false accept rate (FAR) the accepted share of the different pairs, and the false reject rate (FRR)
is 1 - TAR. Since each pair is a single comparison, FAR and FRR are here what standards of biometrics (ISO/IEC 19795-1)
call the false match rate (FMR) and the false non-match rate (FNMR).

Pairs may have weights (:class:`~faceexp.evaluation.people.PairWeights`); then each pair counts with its weight.

If only one kind of pair exists, whatever needs both kinds is ``nan``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import normalise
from faceexp.evaluation.measured_pairs import CHUNK, map_in_threads
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import PLACES, Roc

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray, IntArray
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.measured_pairs import PairDistances, Pairs


def eer(curve: Roc) -> float:
    """Return the equal error rate: the FAR at which it equals the FRR, with the ROC curve linear between vertices."""
    if not curve.both_kinds:
        return math.nan
    surplus = curve.far - (1 - curve.tar)  # rises from -1 to 1
    after = int(np.argmax(surplus >= 0))
    before = after - 1
    part = -surplus[before] / (surplus[after] - surplus[before])
    return float(curve.far[before] + part * (curve.far[after] - curve.far[before]))


def tar_at_far(curve: Roc, far: float) -> float:
    """Return the largest TAR of any threshold with ``FAR <= far``; nothing is interpolated.

    Raises:
        ValueError: ``far`` is negative, so that not even accepting no pair would be allowed.
    """
    if far < 0:
        raise ValueError(f"far must be at least 0, not {far}")
    if not curve.both_kinds:
        return math.nan
    allowed = int(np.searchsorted(curve.far, far, side="right"))
    return float(curve.tar[allowed - 1])


def threshold_at_far(curve: Roc, far: float) -> float:
    """Return a distance threshold with ``FAR <= far`` and the TAR of :func:`tar_at_far`.

    Of the thresholds that accept as many similar pairs, it is one that accepts the fewest different ones. It lies
    midway between the neighbouring distances.

    Raises:
        ValueError: ``far`` is negative.
    """
    if far < 0:
        raise ValueError(f"far must be at least 0, not {far}")
    if not curve.both_kinds:
        return math.nan
    allowed = int(np.searchsorted(curve.far, far, side="right")) - 1
    return _midway(float(curve.accepted[allowed]), float(curve.rejected[allowed]))


def best_accuracy(curve: Roc) -> float:
    """Return the largest share of all pairs that any threshold gets right, including one that accepts none.

    Every pair counts alike, also where pairs have weights.

    The threshold is chosen on the pairs that it judges, so this is an upper bound and not an estimate; for an estimate,
    see :func:`balanced_accuracy`.
    """
    total = curve.n_similar + curve.n_different
    right = curve.true_accepts + (curve.n_different - curve.false_accepts)
    return int(right.max()) / total if total else math.nan


def average_precision(curve: Roc) -> float:
    """Return ``sum_n (TAR_n - TAR_n-1) precision_n`` over distinct distances.

    The precision is the share of similar pairs among the accepted ones. Every pair counts alike, also where pairs have
    weights.
    """
    if not curve.both_kinds:
        return math.nan
    accepts = np.maximum(curve.true_accepts + curve.false_accepts, 1)
    precision = curve.true_accepts / accepts
    return float(np.sum(np.diff(curve.pooled().tar) * precision[1:]))


def balanced_threshold(curve: Roc) -> float:
    """Return the distance threshold that maximises ``(TAR + 1 - FAR) / 2``.

    It lies midway in a gap between two distances. If several gaps are best, the widest one is taken; of equally wide
    gaps, the first. If only accepting no pair is best, the threshold is just below the smallest distance; if only
    accepting all pairs is best, it is the largest distance.
    """
    if not curve.both_kinds:
        return math.nan
    # Computed in whole numbers where possible, so that thresholds which are equally good have equal values.
    surplus = (
        np.round(curve.tar - curve.far, PLACES)
        if curve.shares
        else curve.true_accepts * curve.n_different - curve.false_accepts * curve.n_similar
    )
    best = np.flatnonzero(surplus == surplus.max())
    width = curve.rejected[best] - curve.accepted[best]
    choice = best[np.argmax(np.where(np.isfinite(width), width, -1.0))]
    return _midway(float(curve.accepted[choice]), float(curve.rejected[choice]))


def _midway(accepted: float, rejected: float) -> float:
    """Return a threshold that accepts one distance and rejects another, larger one: if possible, their middle."""
    if accepted == -math.inf:
        return math.nextafter(rejected, -math.inf)
    middle = accepted + (rejected - accepted) / 2
    return middle if middle < rejected and math.isfinite(middle) else accepted


def balanced_accuracy(pairs: Pairs, threshold: float) -> float:
    """Return ``(TAR + 1 - FAR) / 2`` at a threshold: both kinds of pairs have the same weight, however many there are.

    Args:
        pairs: The pairs to judge. They must not be the pairs on which the threshold was chosen.
        threshold: A distance. If it is ``nan``, because there were no pairs to choose it on, so is the result.
    """
    far, tar = rates(pairs, threshold)
    return (tar + 1 - far) / 2


def rates(pairs: Pairs, threshold: float) -> tuple[float, float]:
    """Return FAR and TAR at a threshold; both are ``nan`` if the threshold is, or if one kind of pair is missing."""
    true_accepts, false_accepts, n_similar = accepts(pairs, threshold)
    n_different = len(pairs) - n_similar
    if math.isnan(threshold) or n_similar == 0 or n_different == 0:
        return math.nan, math.nan
    if pairs.weights is not None:
        sums = sum(map_in_threads(lambda chunk: _accepted_weights(chunk, threshold), pairs.chunks(CHUNK)))
        far, tar = np.round(sums, PLACES).tolist()
        return far, tar
    return false_accepts / n_different, true_accepts / n_similar


def accepts(pairs: Pairs, threshold: float) -> tuple[int, int, int]:
    """Return how many similar and how many different pairs a threshold accepts, and how many similar pairs exist."""
    counts = np.zeros(3, np.int64)
    for true, either, similar in map_in_threads(lambda chunk: _counts(chunk, threshold), pairs.chunks(CHUNK)):
        counts += true, either - true, similar
    true_accepts, false_accepts, n_similar = counts.tolist()
    return true_accepts, false_accepts, n_similar


def _counts(pairs: PairDistances, threshold: float) -> tuple[int, int, int]:
    """Return how many similar pairs are accepted, how many pairs are accepted, and how many similar pairs exist."""
    accepted = pairs.distance <= threshold
    either = np.count_nonzero(accepted)
    accepted &= pairs.similar
    return int(np.count_nonzero(accepted)), int(either), int(np.count_nonzero(pairs.similar))


def _accepted_weights(pairs: PairDistances, threshold: float) -> FloatArray:
    """Return the weights of the different and of the similar pairs that are accepted, float (2,)."""
    weights = pairs.weight_of_each()
    weights[pairs.distance > threshold] = 0
    similar = float(np.sum(weights, where=pairs.similar))
    return np.array([float(np.sum(weights)) - similar, similar])


def distance_ratio(pairs: Pairs) -> float:
    """Return the mean distance of similar pairs over that of different pairs; ``nan`` if the latter is 0."""
    sums, n_similar = np.zeros(2), 0
    for of_chunk, count in map_in_threads(_sums, pairs.chunks(4 * CHUNK if pairs.weights is None else CHUNK)):
        sums += of_chunk
        n_similar += count
    n_different = len(pairs) - n_similar
    if n_similar == 0 or n_different == 0:
        return math.nan
    # Weights of one kind add up to 1 already.
    counts = [n_similar, n_different] if pairs.weights is None else [1, 1]
    similar, different = sums / counts
    return float(similar / different) if different else math.nan


def _sums(pairs: PairDistances) -> tuple[tuple[float, float], int]:
    """Return the sums of distances, each times its weight, of similar and of different pairs; how many are similar."""
    distance = pairs.distance
    if pairs.weights is not None:
        distance = pairs.weight_of_each()
        distance *= pairs.distance
    kinds = (pairs.similar, ~pairs.similar)
    similar, different = (float(np.sum(distance, where=kind, dtype=np.float64)) for kind in kinds)
    return (similar, different), int(np.count_nonzero(pairs.similar))


def sim_diff_ratio(embeddings: Embeddings, labels: IntArray, pairs: IntArray | None = None) -> float:
    """Return :func:`distance_ratio` of the Euclidean distances of L2-normalised rows.

    Losses may scale embeddings as they like; on rows of length 1, the ratios of different losses can be compared.

    Args:
        embeddings: float (N, D), not normalised yet.
        labels: int (N,).
        pairs: int (P, 2), row indices; ``None``: every pair.

    Raises:
        ValueError: See :func:`faceexp.evaluation.pairs.pair_distances`.
    """
    return distance_ratio(pair_distances(normalise(embeddings), labels, "euclidean", pairs))
