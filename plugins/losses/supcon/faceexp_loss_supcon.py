"""Supervised contrastive loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, masked_logsumexp, masked_mean, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def supcon(labels: tf.Tensor, embeddings: tf.Tensor, temperature: float) -> tf.Tensor:
    """Supervised contrastive loss: ``mean_i (log sum_{j != i} exp(s_ij / T) - mean_p s_ip / T)``.

    ``s_ij`` is the cosine of embeddings i and j; p runs over the positives of row i. The mean is
    over rows that have a positive and a negative. (The reference averages over rows whose term is above zero: as the
    sum holds the positives and a negative, those are the same rows.)

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        temperature: T.

    Returns:
        float32 scalar; 0 for a batch without positives or without negatives.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    logits = inner_products(unit_rows(embeddings)) / temperature
    positives = tf.reduce_sum(tf.cast(similar, tf.float32), axis=1)
    mean_positive = tf.math.divide_no_nan(tf.reduce_sum(tf.where(similar, logits, 0.0), axis=1), positives)
    terms = masked_logsumexp(logits, similar | different) - mean_positive
    return masked_mean(terms, (positives > 0) & tf.reduce_any(different, axis=1))


class SupCon(LossPlugin):
    """Supervised contrastive loss: softmax over the batch, every image of an identity is a positive of the others.

    Embeddings are normalised inside.
    """

    reference: ClassVar[str] = "P. Khosla et al.: Supervised contrastive learning. NeurIPS 2020"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    temperature: float = option(
        0.1,
        "Divides cosines; smaller ones weigh hard pairs more.",
        unit="cosine",
        ge=1e-6,
        search={"low": 0.01, "high": 1.0, "log": True},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: supcon(labels, embeddings, self.temperature)
