"""Cluster loss as a faceexp plugin.

Every call searches the batch for the clustering around a few of its points, the *facilities*, that is compact although
it is wrong. The search is discrete and has no gradient; it is one XLA-compiled function of distances and labels. What
it finds is a matrix of weights: with facilities chosen, the loss is a linear function of the distances.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import normalized, pairwise_distances

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

    from faceexp.contract import LossFunction

    Tensors = tuple[tf.Tensor, ...]

_SWEEPS = 5  # Of PAM, at most.
_FEW = 8  # Points that a loop takes at once; most clusters have fewer.
_PACK = 4096.0  # Two counts share one float32, exactly, where a batch has fewer rows than this.


def nearest_facility(
    distances: tf.Tensor, rank: tf.Tensor, without: tf.Tensor | int = -1
) -> tuple[tf.Tensor, tf.Tensor]:
    """Assign every point to its nearest facility, on ties to that of lowest rank; a facility always to itself.

    Args:
        distances: float32 (B, B).
        rank: int32 (B,), which facility a point is, in the order of choice; B where it is none.
        without: Rank of a facility to leave out.

    Returns:
        ``(nearest float32 (B,), cluster int32 (B,))``: distance and rank of the facility. The distance of a facility
        is -1, so that it never counts as nearer to another one.
    """
    import tensorflow as tf

    size = tf.shape(rank)[0]
    facility = (rank < size) & (rank != without)
    nearest = tf.reduce_min(tf.where(facility[:, None], distances, float("inf")), axis=0)
    cluster = tf.reduce_min(tf.where(facility[:, None] & (distances == nearest), rank[:, None], size), axis=0)
    return tf.where(facility, -1.0, nearest), tf.where(facility, rank, cluster)


def augmented_nmi(label_sizes: tf.Tensor, moves: tf.Tensor, left: tf.Tensor, taken: tf.Tensor) -> tf.Tensor:
    """Normalised mutual information of labels and clusters, if some points move to a cluster of their own.

    It takes no more than the sums of n log n over clusters, labels and their intersections, n being the sizes of
    these cells; and such a sum is the sum over points of log n, n being the size of the point's cell. Float32
    logarithms summed in float64 are exact in any order, so that equally good clusterings tie.

    Args:
        label_sizes: float32 (B,), how many points have the label of point j.
        moves: float32 (B, C), 1 where point j moves, in each of C cases; else 0.
        left: float32 (B, C), 4096 for each point in the cluster of j that stays, and 1 more if it has the label of j.
        taken: float32 (B, C), how many points with the label of j move.

    Returns:
        float64 (C,), normalised by the arithmetic mean of the entropies; 1 where there is but one label and cluster.
    """
    import tensorflow as tf

    def log_sum(sizes: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(tf.math.log(sizes), tf.float64), axis=0)

    staying = tf.floor(left / _PACK)
    clusters = log_sum(tf.where(moves > 0, tf.reduce_sum(moves, axis=0), staying))
    joint = log_sum(tf.where(moves > 0, taken, left - _PACK * staying))
    classes, size = log_sum(label_sizes), tf.size(label_sizes)
    whole = tf.cast(size, tf.float64) * tf.cast(tf.math.log(tf.cast(size, tf.float32)), tf.float64)
    entropies = 2.0 * whole - clusters - classes
    return tf.where(entropies > 0, 2.0 * (whole - clusters - classes + joint) / entropies, 1.0)


def _next_few(chosen: tf.Tensor, last: tf.Tensor) -> Tensors:
    """Return the chosen points that follow ``last``, a few; 1 where there is one, else 0; the last, B at the end."""
    import tensorflow as tf

    size = tf.shape(chosen)[0]
    found, few = tf.math.top_k(tf.cast(chosen & (tf.range(size) > last), tf.float32), tf.minimum(_FEW, size))
    return few, found, tf.reduce_max(tf.where(found > 0, few, size))


def _choose_greedily(
    distances: tf.Tensor, same_label: tf.Tensor, number: tf.Tensor, margin: Callable[..., tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose one facility after the other, each the best beside those before; return rank and cluster of all points.

    Every candidate is a case of ``augmented_nmi``. Its counts are kept: a new facility changes them by the few points
    that it draws, which leave their cluster (counted with a minus) for its own (counted with a plus).
    """
    import tensorflow as tf

    size = tf.shape(distances)[0]
    points = tf.range(size)

    def add(step: tf.Tensor, rank: tf.Tensor, nearest: tf.Tensor, cluster: tf.Tensor, *counts: tf.Tensor) -> Tensors:
        moves = tf.cast((distances < nearest[:, None]) | (points[:, None] == points), tf.float32)
        covered = tf.cast(tf.minimum(distances, nearest[:, None]), tf.float64)
        score = margin(moves, *counts) - tf.reduce_sum(covered, axis=0)
        best = tf.argmax(tf.where(rank < size, tf.constant(float("-inf"), tf.float64), score), output_type=tf.int32)
        row = tf.gather(distances, best)
        drawn = (row < nearest) | (points == best)
        closer, joined = tf.minimum(row, nearest), tf.where(drawn, step, cluster)

        def recount(last: tf.Tensor, left: tf.Tensor, taken: tf.Tensor) -> Tensors:
            few, found, last = _next_few(drawn, last)
            twice, sign = tf.concat([few, few], axis=0), tf.concat([found, -found], axis=0)[:, None]
            reach, where = (
                tf.concat([tf.gather(now, few), tf.gather(before, few)], axis=0)
                for now, before in ((closer, nearest), (joined, cluster))
            )
            moves = (tf.gather(distances, twice) < reach[:, None]) | (twice[:, None] == points)
            moves, same = tf.cast(moves, tf.float32), tf.gather(same_label, twice)
            pairs = tf.where(where[:, None] == joined, sign * (_PACK + same), 0.0)
            left += tf.matmul(pairs, 1.0 - moves, transpose_a=True)
            return last, left, taken + tf.matmul(sign * same, moves, transpose_a=True)

        left, taken = counts
        start = (-1, tf.where(drawn[:, None], 0.0, left), taken)
        _, *counts = tf.while_loop(lambda last, *_: last < size, recount, start)
        return step + 1, tf.where(points == best, step, rank), closer, joined, *counts

    none, nowhere = tf.fill([size], size), tf.fill([size], float("inf"))
    nothing_left, all_taken = tf.zeros_like(same_label), tf.matmul(same_label, tf.ones_like(same_label))
    start = (0, none, nowhere, none, nothing_left, all_taken)
    _, rank, _, cluster, _, _ = tf.while_loop(lambda step, *_: step < number, add, start)
    return rank, cluster


def choose_facilities(
    distances: tf.Tensor, labels: tf.Tensor, margin_multiplier: tf.Tensor, pam: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose as many facilities as there are labels, so that ``multiplier (1 - NMI) - sum of distances`` is high.

    Greedily; then, with PAM, by trying every member of a cluster as its facility, until a sweep changes nothing.
    Elements are taken by ``tf.gather`` alone: for a slice the compiler first tries to compute where it begins.

    Args:
        distances: float32 (B, B), symmetric, 0 from a point to itself.
        labels: int32 (B,).
        margin_multiplier: float32 scalar.
        pam: bool scalar, whether to refine the greedy choice by Partitioning Around Medoids.

    Returns:
        ``(rank int32 (B,), NMI float32 scalar)``: which facility a point is, in the order of choice; B where none.
    """
    import tensorflow as tf

    size = tf.shape(labels)[0]
    points = tf.range(size)
    multiplier, worst = tf.cast(margin_multiplier, tf.float64), tf.constant(float("-inf"), tf.float64)
    same_label = tf.cast(labels[:, None] == labels, tf.float32)
    label_sizes = tf.reduce_sum(same_label, axis=1)
    number = tf.cast(tf.round(tf.reduce_sum(1.0 / label_sizes)), tf.int32)  # Each label adds up to 1.

    def margin(*counts: tf.Tensor) -> tf.Tensor:
        return multiplier * (1.0 - augmented_nmi(label_sizes, *counts))

    def sweep(count: tf.Tensor, before: tf.Tensor, rank: tf.Tensor, members: tf.Tensor) -> Tensors:
        del before
        inside = tf.where(members[:, None] == members, distances, 0.0)
        spread = tf.reduce_sum(tf.cast(inside, tf.float64), axis=1)

        def replace(k: tf.Tensor, rank: tf.Tensor) -> Tensors:
            nearest, cluster = nearest_facility(distances, rank, without=k)
            pairs = tf.where(cluster[:, None] == cluster, _PACK + same_label, 0.0)

            def attempt(last: tf.Tensor, top: tf.Tensor, best: tf.Tensor) -> Tensors:
                few, found, last = _next_few(members == k, last)
                rows = tf.gather(distances, few)
                moved = (rows < nearest) | ((rows == nearest) & (k < cluster)) | (few[:, None] == points)
                moves = tf.cast(tf.transpose(moved), tf.float32)
                score = margin(moves, tf.matmul(pairs, 1.0 - moves), tf.matmul(same_label, moves))
                score = tf.where(found > 0, score - tf.gather(spread, few), worst)
                here, at = tf.reduce_max(score), tf.argmax(score, output_type=tf.int32)
                return last, tf.maximum(here, top), tf.where(here > top, tf.gather(few, at), best)

            _, _, best = tf.while_loop(lambda last, *_: last < size, attempt, (-1, worst, size))
            return k + 1, tf.where(points == best, k, tf.where(rank == k, size, rank))

        _, after = tf.while_loop(lambda k, *_: k < number, replace, (0, rank))
        return count + 1, rank, after, nearest_facility(distances, after)[1]

    rank, cluster = _choose_greedily(distances, same_label, number, margin)
    start, limit = (0, tf.fill([size], size), rank, cluster), tf.where(pam, _SWEEPS, 0)
    _, _, rank, cluster = tf.while_loop(
        lambda count, before, rank, _: (count < limit) & tf.reduce_any(before != rank), sweep, start
    )
    pairs = tf.where(cluster[:, None] == cluster, _PACK + same_label, 0.0)
    left = tf.reduce_sum(pairs, axis=1, keepdims=True)
    nmi = augmented_nmi(label_sizes, tf.zeros_like(left), left, tf.zeros_like(left))[0]
    return rank, tf.cast(nmi, tf.float32)


def clustering_weights(
    distances: tf.Tensor, labels: tf.Tensor, margin_multiplier: tf.Tensor, pam: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Write the loss as ``max(sum_ij w_ij d_ij + margin, 0)``.

    Args:
        distances: float32 (B, B).
        labels: int32 (B,).
        margin_multiplier: float32 scalar.
        pam: bool scalar.

    Returns:
        ``(w float32 (B, B), margin float32 scalar)``: w_ij is 1 where i is the medoid of the label of j, minus 1
        where i is the facility nearest to j. Medoids, or facilities, that tie share the 1.
    """
    import tensorflow as tf

    distances = tf.minimum(distances, tf.transpose(distances))  # Symmetric to the last bit: ties are ties.
    rank, nmi = choose_facilities(distances, labels, margin_multiplier, pam)
    to_facility = tf.where((rank < tf.shape(rank)[0])[:, None], distances, float("inf"))
    nearest = tf.cast(to_facility == tf.reduce_min(to_facility, axis=0), tf.float32)
    same = labels[:, None] == labels[None, :]
    spread = tf.where(same, tf.reduce_sum(tf.where(same, distances, 0.0), axis=1)[:, None], float("inf"))
    medoid = tf.cast(same & (spread == tf.reduce_min(spread, axis=0)), tf.float32)
    weights = medoid / tf.reduce_sum(medoid, axis=0) - nearest / tf.reduce_sum(nearest, axis=0)
    return weights, margin_multiplier * (1.0 - nmi)


@cache
def _compiled_weights() -> Any:  # noqa: ANN401 - TensorFlow has no name for it
    """Return ``clustering_weights``, traced once for all sizes and compiled for each."""
    import tensorflow as tf

    shapes: tuple[tuple[list[None], tf.DType], ...]
    shapes = (([None, None], tf.float32), ([None], tf.int32), ([], tf.float32), ([], tf.bool))
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in shapes]
    return tf.function(clustering_weights, input_signature=signature, jit_compile=True, autograph=False)


def cluster_loss(labels: tf.Tensor, embeddings: tf.Tensor, margin_multiplier: float, *, pam: bool) -> tf.Tensor:
    """Cluster loss: ``max(F(S) + multiplier (1 - NMI(S)) - F(medoids of the labels), 0)``.

    ``F(S) = -sum_j min_{i in S} ||x_i - x_j||``; S are as many points as there are labels, chosen to make the first
    two terms large (exactly so is infeasible). Neither the choice nor NMI has a gradient.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), B < 4096.
        margin_multiplier: Weight of 1 - NMI.
        pam: Refine the greedy choice by at most five sweeps of Partitioning Around Medoids.

    Returns:
        float32 scalar, a sum over the batch.
    """
    import tensorflow as tf

    distances = pairwise_distances(embeddings)
    found = _compiled_weights()(tf.stop_gradient(distances), tf.cast(labels, tf.int32), margin_multiplier, pam)
    weights: tf.Tensor
    margin: tf.Tensor
    weights, margin = (tf.stop_gradient(tensor) for tensor in found)
    return tf.maximum(tf.reduce_sum(weights * distances) + margin, 0.0)


class Cluster(LossPlugin):
    """Cluster loss: makes the true clustering beat every wrong one by a margin that grows with its wrongness."""

    reference: ClassVar[str] = (
        "H. O. Song, S. Jegelka, V. Rathod, K. Murphy: Deep metric learning via facility location. CVPR 2017"
    )
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    # Distances of embeddings that are not normalised, summed over the batch, stand against it.
    margin_multiplier: float = option(
        1.0,
        "Margin of a clustering whose NMI is 0.",
        unit="distance",
        ge=0,
        search={"low": 0.1, "high": 1000.0, "log": True},
    )
    pam: bool = option(default=True, description="Refine the greedy choice by Partitioning Around Medoids.")
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises."""
        return pair_traits(self, normalize=self.normalize)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: cluster_loss(
            labels, normalized(embeddings, when=self.normalize), self.margin_multiplier, pam=self.pam
        )
