"""Triplet loss with semi-hard negatives as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import pair_masks, squared_distances, sum_over_positives, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def triplet_semihard(labels: tf.Tensor, embeddings: tf.Tensor, margin: float) -> tf.Tensor:
    """Triplet loss with semi-hard negatives: ``mean over similar pairs (i, p) of max(d_ip - d_in + margin, 0)``.

    ``d_ij = ||x_i - x_j||^2``, squared. The negative n of a pair is the nearest one to i that is further than p,
    ``d_in > d_ip``; where there is none, the furthest. Equally near negatives share the gradient. Pairs are ordered,
    i and p being any two rows of one identity; those that cost nothing count in the mean.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        margin: Squared distance by which the negative shall be further than the positive.

    Returns:
        float32 scalar; 0 for a batch without similar pairs. In a batch of one identity, which has no negatives,
        ``d_in`` is taken as 0, as the reference implementation in TensorFlow 1 does.

    Time is O(B^2) times the images of the largest identity, memory O(B^2).
    """
    import tensorflow as tf

    _, different = pair_masks(labels)
    infinity = float("inf")

    def hinge(distances: tf.Tensor, positives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        d_ip = tf.gather(distances, positives, batch_dims=1)[:, None]
        further = different & (distances > d_ip)
        nearest = tf.reduce_min(tf.where(further, distances, infinity), axis=1, keepdims=True)
        furthest = tf.reduce_max(tf.where(different, distances, 0.0), axis=1, keepdims=True)
        d_in = tf.where(nearest < infinity, nearest, furthest)
        return tf.nn.relu(d_ip - d_in + margin), tf.ones_like(d_ip, tf.bool)

    total, pairs = sum_over_positives(labels, squared_distances(embeddings), hinge)
    return tf.math.divide_no_nan(total, pairs)


class TripletSemihard(LossPlugin):
    """Triplet loss with semi-hard negatives: each similar pair against the nearest negative beyond it.

    Embeddings are not normalised inside, as in the reference implementation, whose margin is the default. FaceNet, the
    paper, has ``normalize = true, margin = 0.2``.
    """

    reference: ClassVar[str] = (
        "F. Schroff, D. Kalenichenko, J. Philbin: FaceNet: A unified embedding for face recognition and clustering. "
        "CVPR 2015"
    )
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    # Embeddings are not normalised: how long they are depends on the trunk.
    margin: float = option(
        1.0,
        "By how much the negative shall be further away than the positive.",
        unit="squared distance",
        gt=0,
        search={"low": 0.01, "high": 1000.0, "log": True},
    )
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises."""
        return pair_traits(self, normalize=self.normalize)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""

        def loss(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
            x = unit_rows(embeddings) if self.normalize else embeddings
            return triplet_semihard(labels, x, self.margin)

        return loss
