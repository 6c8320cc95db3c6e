"""Generalized lifted structure loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import masked_logsumexp, pair_masks, pairwise_distances, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def generalized_lifted_struct(
    labels: tf.Tensor, embeddings: tf.Tensor, neg_margin: float, pos_margin: float
) -> tf.Tensor:
    """Generalized lifted structure loss: ``mean over rows of max(P_i + N_i, 0)``.

    ``P_i = log sum_p exp(d_ip - pos_margin)`` over the positives p of row i, ``N_i = log sum_n exp(neg_margin - d_in)``
    over its negatives n, ``d`` the distances of embeddings divided by their L2 norm.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        neg_margin: Distance beyond which a negative weighs little.
        pos_margin: Distance within which a positive weighs little.

    Returns:
        float32 scalar; where a row has no positives or no negatives, that part of it is 0.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    distances = pairwise_distances(unit_rows(embeddings))

    def part(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reduce_any(mask, axis=1), masked_logsumexp(x, mask), 0.0)

    rows = part(distances - pos_margin, similar) + part(neg_margin - distances, different)
    return tf.reduce_mean(tf.nn.relu(rows))


class GeneralizedLiftedStruct(LossPlugin):
    """Generalized lifted structure loss: all positives of a row against all its negatives, by soft maxima.

    Embeddings are divided by their L2 norm inside.
    """

    reference: ClassVar[str] = (
        "A. Hermans, L. Beyer, B. Leibe: In defense of the triplet loss for person re-identification. 2017"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    # Only neg_margin - pos_margin matters. In a batch of 16 times 4 images the maximum with 0 has an effect below about
    # -3; above that, no margin changes the gradient.
    neg_margin: float = option(
        1.0, "Distance beyond which a negative weighs little.", unit="distance", search={"low": -5.0, "high": 1.0}
    )
    pos_margin: float = option(0.0, "Distance within which a positive weighs little.", unit="distance")

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, x: generalized_lifted_struct(labels, x, self.neg_margin, self.pos_margin)
