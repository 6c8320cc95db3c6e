"""Verification: do two images show the same identity? The answer is yes if and only if *distance <= threshold*.

A *similar* pair shows the same identity, a *different* pair two identities; biometrics calls them genuine pairs and
impostor pairs. A pair whose answer is yes is *accepted*. The true accept rate (TAR) is the accepted share of the
similar pairs, the false accept rate (FAR) the accepted share of the different pairs, and the false reject rate (FRR)
is 1 - TAR. Since each pair is a single comparison, FAR and FRR are here what standards of biometrics (ISO/IEC 19795-1)
call the false match rate (FMR) and the false non-match rate (FNMR).

If only one kind of pair exists, whatever needs both kinds is ``nan``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import normalise
from faceexp.evaluation.pairs import CHUNK, map_in_threads, pair_distances

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray, IntArray
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.pairs import PairDistances


@dataclass(frozen=True, eq=False)
class Roc:
    """The ROC curve: the exact polyline of (FAR, TAR) over all thresholds, from accepting none to accepting all pairs.

    Pairs at the same distance are accepted together. Where only different pairs follow each other, the line is straight
    and no threshold is best, so the vertices in between are left out. Hence there are at most twice as many vertices as
    distinct distances of similar pairs, plus two.

    Attributes:
        accepted: float (K,), the largest distance that is accepted at each vertex; ``-inf`` if none is.
        rejected: float (K,), the smallest distance that is rejected at each vertex; ``inf`` if none is.
        true_accepts: int (K,), how many similar pairs are accepted.
        false_accepts: int (K,), how many different pairs are accepted.
        n_similar: Number of similar pairs.
        n_different: Number of different pairs.
    """

    accepted: FloatArray
    rejected: FloatArray
    true_accepts: IntArray
    false_accepts: IntArray
    n_similar: int
    n_different: int

    @property
    def both_kinds(self) -> bool:
        """Whether there are similar and different pairs, so that both rates exist."""
        return self.n_similar > 0 and self.n_different > 0

    @property
    def tar(self) -> FloatArray:
        """True accept rates, float (K,); ``nan`` without similar pairs."""
        return self.true_accepts / (self.n_similar or math.nan)

    @property
    def far(self) -> FloatArray:
        """False accept rates, float (K,); ``nan`` without different pairs."""
        return self.false_accepts / (self.n_different or math.nan)


def roc(pairs: PairDistances) -> Roc:
    """Return the ROC curve of some pairs."""
    similar = np.sort(pairs.distance[pairs.similar])
    steps = np.unique(similar)
    true = np.repeat(np.concatenate([[0], np.searchsorted(similar, steps, side="right")]), 2)
    false = np.zeros(len(true), np.int64)
    below, above = np.full(len(true), -np.inf), np.full(len(true), np.inf)
    # Different pairs are sorted chunk by chunk: sorting them together would need as much memory again as the distances
    # themselves. All steps are looked up in each chunk, so chunks are larger if there are many steps.
    chunks = pairs.chunks(max(CHUNK, 4 * len(steps)))
    for count, before, after in map_in_threads(lambda chunk: _false_accepts(chunk, steps), chunks):
        false += count
        np.maximum(below, before, out=below)
        np.minimum(above, after, out=above)
    moved = np.concatenate([[True], (np.diff(true) > 0) | (np.diff(false) > 0)])
    true = true[moved]
    return Roc(
        accepted=np.maximum(_before(similar, true), below[moved]),
        rejected=np.minimum(_after(similar, true), above[moved]),
        true_accepts=true,
        false_accepts=false[moved],
        n_similar=len(similar),
        n_different=len(pairs.distance) - len(similar),
    )


def _false_accepts(pairs: PairDistances, steps: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return how many different pairs are accepted just before and just after each step, int (2 K + 2,).

    That is: how many are nearer than the step, and how many are at most as far away. The first number is 0, for
    accepting none, and the last one is the number of all.

    Args:
        pairs: The pairs.
        steps: The K distinct distances of similar pairs, ascending.

    Returns:
        These numbers; for each of them, the largest distance among so many nearest pairs; and the smallest distance
        among all the others.
    """
    different = pairs.distance[~pairs.similar]
    different.sort()
    around = [np.searchsorted(different, steps, side="left"), np.searchsorted(different, steps, side="right")]
    counts = np.concatenate([[0], np.column_stack(around).ravel(), [len(different)]])
    return counts, _before(different, counts), _after(different, counts)


def _before(ordered: FloatArray, counts: IntArray) -> FloatArray:
    """Return the last of the first ``counts`` values; ``-inf`` where ``counts`` is 0."""
    values = np.full(len(counts), -np.inf)
    values[counts > 0] = ordered[counts[counts > 0] - 1]
    return values


def _after(ordered: FloatArray, counts: IntArray) -> FloatArray:
    """Return the value after the first ``counts`` values; ``inf`` where there is none."""
    values = np.full(len(counts), np.inf)
    values[counts < len(ordered)] = ordered[counts[counts < len(ordered)]]
    return values


def auc(curve: Roc) -> float:
    """Return the area under the ROC curve.

    It is the probability that a similar pair is nearer than a different one; if both are equally near, it counts half.
    """
    if not curve.both_kinds:
        return math.nan
    twice = np.diff(curve.false_accepts) * (curve.true_accepts[1:] + curve.true_accepts[:-1])
    return int(twice.sum()) / (2 * curve.n_similar * curve.n_different)


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

    The threshold is chosen on the pairs that it judges, so this is an upper bound and not an estimate; for an estimate,
    see :func:`balanced_accuracy`.
    """
    total = curve.n_similar + curve.n_different
    right = curve.true_accepts + (curve.n_different - curve.false_accepts)
    return int(right.max()) / total if total else math.nan


def average_precision(curve: Roc) -> float:
    """Return ``sum_n (TAR_n - TAR_n-1) precision_n`` over distinct distances.

    The precision is the share of similar pairs among the accepted ones.
    """
    if not curve.both_kinds:
        return math.nan
    accepts = np.maximum(curve.true_accepts + curve.false_accepts, 1)
    precision = curve.true_accepts / accepts
    return float(np.sum(np.diff(curve.tar) * precision[1:]))


def balanced_threshold(curve: Roc) -> float:
    """Return the distance threshold that maximises ``(TAR + 1 - FAR) / 2``.

    It lies midway in a gap between two distances. If several gaps are best, the widest one is taken; of equally wide
    gaps, the first. If only accepting no pair is best, the threshold is just below the smallest distance; if only
    accepting all pairs is best, it is the largest distance.
    """
    if not curve.both_kinds:
        return math.nan
    # Computed in whole numbers, so that thresholds which are equally good have equal values.
    surplus = curve.true_accepts * curve.n_different - curve.false_accepts * curve.n_similar
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


def balanced_accuracy(pairs: PairDistances, threshold: float) -> float:
    """Return ``(TAR + 1 - FAR) / 2`` at a threshold: both kinds of pairs have the same weight, however many there are.

    Args:
        pairs: The pairs to judge. They must not be the pairs on which the threshold was chosen.
        threshold: A distance. If it is ``nan``, because there were no pairs to choose it on, so is the result.
    """
    far, tar = rates(pairs, threshold)
    return (tar + 1 - far) / 2


def rates(pairs: PairDistances, threshold: float) -> tuple[float, float]:
    """Return FAR and TAR at a threshold; both are ``nan`` if the threshold is, or if one kind of pair is missing."""
    true_accepts, false_accepts, n_similar = accepts(pairs, threshold)
    n_different = len(pairs.similar) - n_similar
    if math.isnan(threshold) or n_similar == 0 or n_different == 0:
        return math.nan, math.nan
    return false_accepts / n_different, true_accepts / n_similar


def accepts(pairs: PairDistances, threshold: float) -> tuple[int, int, int]:
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


def distance_ratio(pairs: PairDistances) -> float:
    """Return the mean distance of similar pairs over that of different pairs; ``nan`` if the latter is 0."""
    if pairs.similar.all() or not pairs.similar.any():
        return math.nan
    sums = np.zeros(2)
    for chunk in map_in_threads(_sums, pairs.chunks(4 * CHUNK)):
        sums += chunk
    n_similar = int(np.count_nonzero(pairs.similar))
    similar, different = sums / [n_similar, len(pairs.similar) - n_similar]
    return float(similar / different) if different else math.nan


def _sums(pairs: PairDistances) -> tuple[float, float]:
    """Return the sum of the distances of similar pairs, and that of different pairs."""
    kinds = (pairs.similar, ~pairs.similar)
    similar, different = (float(np.sum(pairs.distance, where=kind, dtype=np.float64)) for kind in kinds)
    return similar, different


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
