"""Lifted structured loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import masked_logsumexp, masked_mean, pair_masks, pairwise_distances

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def lifted_struct(labels: tf.Tensor, embeddings: tf.Tensor, margin: float) -> tf.Tensor:
    """Lifted structured loss: ``mean over similar pairs of max(J_ij, 0)^2 / 2``.

    ``J_ij = d_ij + log(sum_n exp(margin - d_in) + sum_n exp(margin - d_jn))``, over the negatives n of i and of j,
    with ``d_ij = ||x_i - x_j||``: every pair is lifted against all negatives of both its ends.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        margin: Distance beyond which a negative weighs little.

    Returns:
        float32 scalar; 0 for a batch without similar or without different pairs, where the reference implementation
        in TensorFlow 1 gives no number.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    distances = pairwise_distances(embeddings)
    pushes = masked_logsumexp(margin - distances, different)
    both = pushes[:, None] + tf.math.softplus(pushes[None, :] - pushes[:, None])
    return masked_mean(0.5 * tf.square(tf.nn.relu(distances + both)), similar)


class LiftedStruct(LossPlugin):
    """Lifted structured loss: each similar pair against all negatives of both its ends.

    Embeddings are not normalised inside.
    """

    reference: ClassVar[str] = (
        "H. O. Song, Y. Xiang, S. Jegelka, S. Savarese: Deep metric learning via lifted structured feature embedding. "
        "CVPR 2016"
    )
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    margin: float = option(1.0, "Distance beyond which a negative weighs little.", unit="distance", gt=0)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: lifted_struct(labels, embeddings, self.margin)
