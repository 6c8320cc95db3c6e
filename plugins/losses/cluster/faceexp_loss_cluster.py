"""Cluster loss as a faceexp plugin.

Every call searches the batch for the clustering around a few of its points, the *facilities*, that is compact although
it is wrong. The search is discrete and has no gradient; it is one XLA-compiled function of distances and labels. What
it finds is a matrix of weights: with facilities chosen, the loss is a linear function of the distances.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option
from faceexp.tensors import pairwise_distances

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

_SWEEPS = 5  # Of PAM, at most.
_CHUNK = 8  # Candidates that PAM tries at once; most clusters have fewer members.
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


def augmented_nmi(moved: tf.Tensor, cluster: tf.Tensor, same_label: tf.Tensor) -> tf.Tensor:
    """Normalised mutual information of labels and clusters, if some points moved to a cluster of their own.

    It takes no more than the sums of n log n over clusters, labels and their intersections, n being the sizes of
    these cells; and such a sum is the sum over points of log n, n being the size of the point's cell. Float32
    logarithms summed in float64 are exact in any order, so that equally good clusterings tie.

    Args:
        moved: bool (C, B), whether point j has moved, in each of C cases.
        cluster: int32 (B,), where points that do not move are.
        same_label: float32 (B, B), 1 where two points have one label.

    Returns:
        float64 (C,), normalised by the arithmetic mean of the entropies; 1 where there is but one label and cluster.
    """
    import tensorflow as tf

    def log_sum(sizes: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(tf.math.log(tf.maximum(sizes, 1.0)), tf.float64), axis=-1)

    moves = tf.cast(moved, tf.float32)
    same_cluster = tf.cast(cluster[:, None] == cluster[None, :], tf.float32)
    packed = tf.matmul(1.0 - moves, same_cluster * (_PACK + same_label))
    left = tf.floor(packed / _PACK)
    clusters = log_sum(tf.where(moved, tf.reduce_sum(moves, axis=1, keepdims=True), left))
    joint = log_sum(tf.where(moved, tf.matmul(moves, same_label), packed - _PACK * left))
    label_sizes = tf.reduce_sum(same_label, axis=1)
    classes = log_sum(label_sizes)
    whole = log_sum(tf.fill(tf.shape(label_sizes), tf.cast(tf.size(label_sizes), tf.float32)))
    entropies = 2.0 * whole - clusters - classes
    return tf.where(entropies > 0, 2.0 * (whole - clusters - classes + joint) / entropies, 1.0)


def choose_facilities(
    distances: tf.Tensor, labels: tf.Tensor, margin_multiplier: tf.Tensor, pam: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose as many facilities as there are labels, so that ``multiplier (1 - NMI) - sum of distances`` is high.

    Greedily, one facility after the other; then, with PAM, by trying every member of a cluster as its facility.
    Elements are taken by ``tf.gather`` alone: for a slice the compiler first tries to compute where it begins.

    Args:
        distances: float32 (B, B), symmetric.
        labels: int32 (B,).
        margin_multiplier: float32 scalar.
        pam: bool scalar, whether to refine the greedy choice by Partitioning Around Medoids.

    Returns:
        ``(rank int32 (B,), NMI float32 scalar)``: which facility a point is, in the order of choice; B where none.
    """
    import tensorflow as tf

    size = tf.shape(labels)[0]
    points = tf.range(size)
    none = tf.fill([size], size)
    multiplier, worst = tf.cast(margin_multiplier, tf.float64), tf.constant(float("-inf"), tf.float64)
    equal = labels[:, None] == labels[None, :]
    same_label = tf.cast(equal, tf.float32)
    number = tf.reduce_sum(tf.cast(tf.argmax(equal, axis=1, output_type=tf.int32) == points, tf.int32))

    def margin(moved: tf.Tensor, cluster: tf.Tensor) -> tf.Tensor:
        return multiplier * (1.0 - augmented_nmi(moved, cluster, same_label))

    def add(step: tf.Tensor, rank: tf.Tensor, nearest: tf.Tensor, cluster: tf.Tensor) -> tuple[tf.Tensor, ...]:
        moved = (distances < nearest) | (points[:, None] == points)
        covered = tf.cast(tf.maximum(tf.minimum(distances, nearest), 0.0), tf.float64)
        score = margin(moved, cluster) - tf.reduce_sum(covered, axis=1)
        best = tf.argmax(tf.where(rank < size, worst, score), output_type=tf.int32)
        nearest = tf.where(points == best, -1.0, tf.minimum(tf.gather(distances, best), nearest))
        return step + 1, tf.where(points == best, step, rank), nearest, tf.where(tf.gather(moved, best), step, cluster)

    def sweep(count: tf.Tensor, before: tf.Tensor, rank: tf.Tensor) -> tuple[tf.Tensor, ...]:
        del before
        _, members = nearest_facility(distances, rank)
        inside = tf.where(members[:, None] == members, distances, 0.0)
        spread = tf.reduce_sum(tf.cast(inside, tf.float64), axis=1)
        by_cluster = tf.concat([tf.argsort(members, stable=True), tf.zeros([_CHUNK], tf.int32)], axis=0)

        def replace(k: tf.Tensor, start: tf.Tensor, rank: tf.Tensor) -> tuple[tf.Tensor, ...]:
            nearest, cluster = nearest_facility(distances, rank, without=k)
            stop = start + tf.reduce_sum(tf.cast(members == k, tf.int32))

            def attempt(at: tf.Tensor, top: tf.Tensor, best: tf.Tensor) -> tuple[tf.Tensor, ...]:
                tried = tf.gather(by_cluster, at + tf.range(_CHUNK))
                rows = tf.gather(distances, tried)
                moved = (rows < nearest) | ((rows == nearest) & (k < cluster)) | (tried[:, None] == points)
                score = margin(moved, cluster) - tf.gather(spread, tried)
                score = tf.where(at + tf.range(_CHUNK) < stop, score, worst)
                found = tf.gather(tried, tf.argmax(score, output_type=tf.int32))
                here = tf.reduce_max(score)
                return at + _CHUNK, tf.maximum(here, top), tf.where(here > top, found, best)

            _, _, best = tf.while_loop(lambda at, *_: at < stop, attempt, (start, worst, size))
            return k + 1, stop, tf.where(points == best, k, tf.where(rank == k, size, rank))

        _, _, after = tf.while_loop(lambda k, *_: k < number, replace, (0, 0, rank))
        return count + 1, rank, after

    start = (0, none, tf.fill([size], float("inf")), none)
    _, rank, _, _ = tf.while_loop(lambda step, *_: step < number, add, start)
    limit = tf.where(pam, _SWEEPS, 0)
    _, _, rank = tf.while_loop(
        lambda count, before, rank: (count < limit) & tf.reduce_any(before != rank), sweep, (0, none, rank)
    )
    nmi = augmented_nmi(tf.zeros([1, size], tf.bool), nearest_facility(distances, rank)[1], same_label)[0]
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

    Reference: Song, Jegelka, Rathod, Murphy, Deep metric learning via facility location, CVPR 2017, arXiv 1612.01213.
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

    margin_multiplier: float = option(1.0, "Margin of a clustering whose NMI is 0.", unit="distance", ge=0)
    pam: bool = option(default=True, description="Refine the greedy choice by Partitioning Around Medoids.")
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises."""
        return LossTraits("cosine" if self.normalize else self.distance, self.needs, self.xla)

    def build(self, ctx: LossContext) -> LossFunction:  # noqa: ARG002 - the loss has no weights
        """Return ``(labels, embeddings) -> scalar``."""
        import tensorflow as tf

        def loss(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
            x = tf.math.l2_normalize(embeddings, axis=1) if self.normalize else embeddings
            return cluster_loss(labels, x, self.margin_multiplier, pam=self.pam)

        return loss
