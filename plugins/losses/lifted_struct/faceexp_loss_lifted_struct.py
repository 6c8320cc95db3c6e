"""Lifted structured loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import masked_logsumexp, masked_mean, normalized, pair_masks, pairwise_distances

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def lifted_struct(labels: tf.Tensor, embeddings: tf.Tensor, margin: float, pos_margin: float = 0.0) -> tf.Tensor:
    """Lifted structured loss: ``mean over similar pairs of max(J_ij, 0)^2 / 2``.

    ``J_ij = d_ij - pos_margin + log(sum_n exp(margin - d_in) + sum_n exp(margin - d_jn))``, over the negatives n of i
    and of j, with ``d_ij = ||x_i - x_j||``: every pair is lifted against all negatives of both its ends.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        margin: Distance beyond which a negative weighs little.
        pos_margin: Taken from the distance of a similar pair.

    Returns:
        float32 scalar; 0 for a batch without similar or without different pairs, where the reference implementation
        in TensorFlow 1 gives no number.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    distances = pairwise_distances(embeddings)
    pushes = masked_logsumexp(margin - distances, different)
    both = pushes[:, None] + tf.math.softplus(pushes[None, :] - pushes[:, None])
    return masked_mean(0.5 * tf.square(tf.nn.relu(distances - pos_margin + both)), similar)


class LiftedStruct(LossPlugin):
    """Lifted structured loss: each similar pair against all negatives of both its ends.

    pytorch-metric-learning's convention is ``normalize = true``, with its ``neg_margin`` here ``margin``.
    """

    reference: ClassVar[str] = (
        "H. O. Song, Y. Xiang, S. Jegelka, S. Savarese: Deep metric learning via lifted structured feature embedding. "
        "CVPR 2016"
    )
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    # Embeddings are not normalised. Only margin - pos_margin matters, so that one of the two is enough.
    margin: float = option(
        1.0,
        "Distance beyond which a negative weighs little.",
        unit="distance",
        gt=0,
        search={"low": 0.1, "high": 100.0, "log": True},
    )
    pos_margin: float = option(0.0, "Taken from the distance of a similar pair.", unit="distance", ge=0)
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises."""
        return pair_traits(self, normalize=self.normalize)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: lifted_struct(
            labels, normalized(embeddings, when=self.normalize), self.margin, self.pos_margin
        )
