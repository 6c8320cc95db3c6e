"""The exact ROC curve of genuine and impostor pairs, and the area under it.

These two choose the checkpoint, so they have a file of their own: store keys of training follow it, and do not follow
the metrics that only judge (``verification``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.measured_pairs import CHUNK, map_in_threads

if TYPE_CHECKING:
    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.evaluation.measured_pairs import PairDistances, Pairs

# Decimal places of a rate over pairs that weigh differently: it is a sum of many weights, whose last digits are noise.
PLACES = 12


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
        shares: float (K,) twice: TAR and FAR where the pairs have weights; ``None``: every pair counts alike.
    """

    accepted: FloatArray
    rejected: FloatArray
    true_accepts: IntArray
    false_accepts: IntArray
    n_similar: int
    n_different: int
    shares: tuple[FloatArray, FloatArray] | None = None

    @property
    def both_kinds(self) -> bool:
        """Whether there are similar and different pairs, so that both rates exist."""
        return self.n_similar > 0 and self.n_different > 0

    @property
    def tar(self) -> FloatArray:
        """True accept rates, float (K,); ``nan`` without similar pairs."""
        return self.shares[0] if self.shares else self.true_accepts / (self.n_similar or math.nan)

    @property
    def far(self) -> FloatArray:
        """False accept rates, float (K,); ``nan`` without different pairs."""
        return self.shares[1] if self.shares else self.false_accepts / (self.n_different or math.nan)

    def pooled(self) -> Roc:
        """Return the curve of the same pairs where every one of them counts alike."""
        return replace(self, shares=None)


def roc(pairs: Pairs) -> Roc:
    """Return the ROC curve of some pairs."""
    similar, true_weights = _similar(pairs)
    steps = np.unique(similar)
    true = np.repeat(np.concatenate([[0], np.searchsorted(similar, steps, side="right")]), 2)
    false = np.zeros(len(true), np.int64)
    false_share = np.zeros(len(true))
    below, above = np.full(len(true), -np.inf), np.full(len(true), np.inf)
    # Different pairs are sorted chunk by chunk: sorting them together would need as much memory again as the distances
    # themselves. All steps are looked up in each chunk, so chunks are larger if there are many steps.
    chunks = pairs.chunks(max(CHUNK, 4 * len(steps)))
    for count, share, before, after in map_in_threads(lambda chunk: _false_accepts(chunk, steps), chunks):
        false += count
        if share is not None:
            false_share += share
        np.maximum(below, before, out=below)
        np.minimum(above, after, out=above)
    moved = np.concatenate([[True], (np.diff(true) > 0) | (np.diff(false) > 0)])
    true = true[moved]
    curve = Roc(
        accepted=np.maximum(_before(similar, true), below[moved]),
        rejected=np.minimum(_after(similar, true), above[moved]),
        true_accepts=true,
        false_accepts=false[moved],
        n_similar=len(similar),
        n_different=len(pairs) - len(similar),
    )
    if true_weights is None or not curve.both_kinds:
        return curve
    return replace(curve, shares=(np.round(true_weights[true], PLACES), np.round(false_share[moved], PLACES)))


def _similar(pairs: Pairs) -> tuple[FloatArray, FloatArray | None]:
    """Return the distances of similar pairs, ascending, and the weights of the first 0, 1, 2, ... of them together."""
    if pairs.weights is None:
        return np.sort(np.concatenate([chunk.distance[chunk.similar] for chunk in pairs.chunks(CHUNK)])), None
    # Chunk by chunk, since the weights of all pairs would fill the memory.
    ordered = [_ordered(chunk, chunk.similar) for chunk in pairs.chunks(CHUNK)]
    distance = np.concatenate([each for each, _ in ordered])
    weights = np.concatenate([each for _, each in ordered])
    order = np.argsort(distance)
    return distance[order], np.concatenate([[0.0], np.cumsum(weights[order])])


def _ordered(pairs: PairDistances, chosen: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return the distances and the weights of the pairs that are chosen, the nearest first."""
    distance, weights = pairs.distance[chosen], pairs.weight_of_each()[chosen]
    weights = weights[np.argsort(distance)]
    distance.sort()  # faster than to take them in that order
    return distance, weights


def _false_accepts(
    pairs: PairDistances, steps: FloatArray
) -> tuple[IntArray, FloatArray | None, FloatArray, FloatArray]:
    """Return how many different pairs are accepted just before and just after each step, int (2 K + 2,).

    That is: how many are nearer than the step, and how many are at most as far away. The first number is 0, for
    accepting none, and the last one is the number of all.

    Args:
        pairs: The pairs.
        steps: The K distinct distances of similar pairs, ascending.

    Returns:
        These numbers; the weights of so many nearest pairs together, if pairs have weights; for each number, the
        largest distance among so many nearest pairs; and the smallest distance among all the others.
    """
    if pairs.weights is None:
        different, weights = pairs.distance[~pairs.similar], None
        different.sort()
    else:
        different, weights = _ordered(pairs, ~pairs.similar)
    around = [np.searchsorted(different, steps, side="left"), np.searchsorted(different, steps, side="right")]
    counts = np.concatenate([[0], np.column_stack(around).ravel(), [len(different)]])
    share = None if weights is None else np.concatenate([[0.0], np.cumsum(weights)])[counts]
    return counts, share, _before(different, counts), _after(different, counts)


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
    if curve.shares:
        tar, far = curve.shares
        return float(np.sum(np.diff(far) * (tar[1:] + tar[:-1]))) / 2
    twice = np.diff(curve.false_accepts) * (curve.true_accepts[1:] + curve.true_accepts[:-1])
    return int(twice.sum()) / (2 * curve.n_similar * curve.n_different)
