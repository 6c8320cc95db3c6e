"""Verification: are these two images of one identity? Answered by *similar iff distance <= threshold*.

TAR (true accept rate) is the accepted part of the similar pairs, FAR (false accept rate) that of the different pairs.
Where only one kind of pair exists, whatever needs both is ``nan``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import normalise
from faceexp.evaluation.pairs import CHUNK, each, pair_distances

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray, IntArray
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.pairs import PairDistances


@dataclass(frozen=True, eq=False)
class Roc:
    """The exact polyline of (FAR, TAR) over all thresholds, from accepting none to accepting all.

    Pairs of one distance are accepted together. Vertices inside a run of different pairs are left out: the line is
    straight there and nothing is best there. So there are at most twice as many vertices as distinct similar distances,
    plus two.

    Attributes:
        accepted: float (K,), the largest distance accepted at each vertex; ``-inf`` where none is.
        rejected: float (K,), the smallest distance rejected at each vertex; ``inf`` where none is.
        true_accepts: int (K,), similar pairs accepted.
        false_accepts: int (K,), different pairs accepted.
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
    """Return the ROC polyline of *similar iff distance <= threshold* over all thresholds."""
    similar = np.sort(pairs.distance[pairs.similar])
    steps = np.unique(similar)
    true = np.repeat(np.concatenate([[0], np.searchsorted(similar, steps, side="right")]), 2)
    false = np.zeros(len(true), np.int64)
    below, above = np.full(len(true), -np.inf), np.full(len(true), np.inf)
    # By chunks, since all different pairs in order would need as much memory again as the distances themselves.
    # Each is searched for all steps, so that many steps want larger ones.
    chunks = pairs.chunks(max(CHUNK, 4 * len(steps)))
    for count, before, after in each(lambda chunk: _false_accepts(chunk, steps), chunks):
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
    """Return how many different pairs are nearer than each step, and how many at most as far; none first, all last.

    With each number, (2 K + 2,), go the largest distance among these pairs and the smallest among the others.
    """
    different = pairs.distance[~pairs.similar]
    different.sort()
    around = [np.searchsorted(different, steps, side="left"), np.searchsorted(different, steps, side="right")]
    counts = np.concatenate([[0], np.column_stack(around).ravel(), [len(different)]])
    return counts, _before(different, counts), _after(different, counts)


def _before(ordered: FloatArray, counts: IntArray) -> FloatArray:
    """Return the last of the first ``counts`` values, ``-inf`` for none."""
    values = np.full(len(counts), -np.inf)
    values[counts > 0] = ordered[counts[counts > 0] - 1]
    return values


def _after(ordered: FloatArray, counts: IntArray) -> FloatArray:
    """Return the value after the first ``counts`` ones, ``inf`` for none."""
    values = np.full(len(counts), np.inf)
    values[counts < len(ordered)] = ordered[counts[counts < len(ordered)]]
    return values


def auc(curve: Roc) -> float:
    """Return the area under the ROC: the chance that a similar pair is nearer than a different one, ties half."""
    if not curve.both_kinds:
        return math.nan
    twice = np.diff(curve.false_accepts) * (curve.true_accepts[1:] + curve.true_accepts[:-1])
    return int(twice.sum()) / (2 * curve.n_similar * curve.n_different)


def eer(curve: Roc) -> float:
    """Return the equal error rate: the FAR where the ROC polyline crosses ``FAR = 1 - TAR``, linear in between."""
    if not curve.both_kinds:
        return math.nan
    surplus = curve.far - (1 - curve.tar)  # rises from -1 to 1
    after = int(np.argmax(surplus >= 0))
    before = after - 1
    part = -surplus[before] / (surplus[after] - surplus[before])
    return float(curve.far[before] + part * (curve.far[after] - curve.far[before]))


def tar_at_far(curve: Roc, far: float) -> float:
    """Return the largest TAR over operating points with ``FAR <= far``; nothing is interpolated.

    Raises:
        ValueError: ``far`` is negative: not even accepting none reaches that.
    """
    if far < 0:
        raise ValueError(f"far must be at least 0, not {far}")
    if not curve.both_kinds:
        return math.nan
    allowed = int(np.searchsorted(curve.far, far, side="right"))
    return float(curve.tar[allowed - 1])


def threshold_at_far(curve: Roc, far: float) -> float:
    """Return a distance threshold with ``FAR <= far`` and the TAR of :func:`tar_at_far`.

    Of the thresholds that accept so many similar pairs it is one that accepts the fewest different ones, midway between
    the neighbouring observed distances.

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
    """Return the largest part of all pairs that any threshold gets right, accepting none included.

    This chooses its threshold on the pairs it judges: a bound, not an estimate. Compare :func:`balanced_accuracy`.
    """
    total = curve.n_similar + curve.n_different
    right = curve.true_accepts + (curve.n_different - curve.false_accepts)
    return int(right.max()) / total if total else math.nan


def average_precision(curve: Roc) -> float:
    """Return ``sum_n (TAR_n - TAR_n-1) precision_n`` over distinct distances, precision = similar part of accepted."""
    if not curve.both_kinds:
        return math.nan
    accepts = np.maximum(curve.true_accepts + curve.false_accepts, 1)
    precision = curve.true_accepts / accepts
    return float(np.sum(np.diff(curve.tar) * precision[1:]))


def balanced_threshold(curve: Roc) -> float:
    """Return the distance threshold that maximises ``(TAR + 1 - FAR) / 2``.

    It lies midway between the neighbouring observed distances. Where several gaps are best, the widest between two
    observed distances is taken, the first of equals. If accepting none (or all) is the only best choice, it is just
    below the smallest (or at the largest) distance.
    """
    if not curve.both_kinds:
        return math.nan
    # In integers, so that equally good thresholds are equal.
    surplus = curve.true_accepts * curve.n_different - curve.false_accepts * curve.n_similar
    best = np.flatnonzero(surplus == surplus.max())
    width = curve.rejected[best] - curve.accepted[best]
    choice = best[np.argmax(np.where(np.isfinite(width), width, -1.0))]
    return _midway(float(curve.accepted[choice]), float(curve.rejected[choice]))


def _midway(accepted: float, rejected: float) -> float:
    if accepted == -math.inf:
        return math.nextafter(rejected, -math.inf)
    middle = accepted + (rejected - accepted) / 2
    return middle if middle < rejected and math.isfinite(middle) else accepted


def balanced_accuracy(pairs: PairDistances, threshold: float) -> float:
    """Return ``(TAR + 1 - FAR) / 2`` at a threshold: similar and different pairs count the same, however many.

    Args:
        pairs: The pairs to judge, not those on which the threshold was chosen.
        threshold: A distance; ``nan`` (there was nothing to choose it on) gives ``nan``.
    """
    far, tar = rates(pairs, threshold)
    return (tar + 1 - far) / 2


def rates(pairs: PairDistances, threshold: float) -> tuple[float, float]:
    """Return FAR and TAR at a threshold; both ``nan`` if it is, or if one kind of pair is missing."""
    true_accepts, false_accepts, n_similar = accepts(pairs, threshold)
    n_different = len(pairs.similar) - n_similar
    if math.isnan(threshold) or n_similar == 0 or n_different == 0:
        return math.nan, math.nan
    return false_accepts / n_different, true_accepts / n_similar


def accepts(pairs: PairDistances, threshold: float) -> tuple[int, int, int]:
    """Return how many similar and how many different pairs a threshold accepts, and how many similar ones there are."""
    counts = np.zeros(3, np.int64)
    for true, either, similar in each(lambda chunk: _counts(chunk, threshold), pairs.chunks(CHUNK)):
        counts += true, either - true, similar
    true_accepts, false_accepts, n_similar = counts.tolist()
    return true_accepts, false_accepts, n_similar


def _counts(pairs: PairDistances, threshold: float) -> tuple[int, int, int]:
    accepted = pairs.distance <= threshold
    either = np.count_nonzero(accepted)
    accepted &= pairs.similar
    return int(np.count_nonzero(accepted)), int(either), int(np.count_nonzero(pairs.similar))


def distance_ratio(pairs: PairDistances) -> float:
    """Return mean distance of similar pairs / mean distance of different pairs; ``nan`` if the latter is 0."""
    if pairs.similar.all() or not pairs.similar.any():
        return math.nan
    sums = np.zeros(2)
    for chunk in each(_sums, pairs.chunks(4 * CHUNK)):
        sums += chunk
    n_similar = int(np.count_nonzero(pairs.similar))
    similar, different = sums / [n_similar, len(pairs.similar) - n_similar]
    return float(similar / different) if different else math.nan


def _sums(pairs: PairDistances) -> tuple[float, float]:
    """Return the sums of similar and of different distances."""
    kinds = (pairs.similar, ~pairs.similar)
    similar, different = (float(np.sum(pairs.distance, where=kind, dtype=np.float64)) for kind in kinds)
    return similar, different


def sim_diff_ratio(embeddings: Embeddings, labels: IntArray, pairs: IntArray | None = None) -> float:
    """Return :func:`distance_ratio` of the Euclidean distances of L2-normalised rows, comparable between losses.

    Args:
        embeddings: float (N, D), not normalised yet.
        labels: int (N,).
        pairs: int (P, 2), row indices; ``None``: every pair.

    Raises:
        ValueError: See :func:`faceexp.evaluation.pairs.pair_distances`.
    """
    return distance_ratio(pair_distances(normalise(embeddings), labels, "euclidean", pairs))
