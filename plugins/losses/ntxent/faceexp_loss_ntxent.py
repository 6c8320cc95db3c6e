"""NT-Xent loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, masked_logsumexp, masked_mean, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def ntxent(labels: tf.Tensor, embeddings: tf.Tensor, temperature: float) -> tf.Tensor:
    """NT-Xent loss: ``mean over positive pairs i, p of -log(exp(s_ip / T) / (exp(s_ip / T) + sum_n exp(s_in / T)))``.

    ``s_ij`` is the cosine of embeddings i and j, the pairs are ordered, and n runs over the negatives of i: positives
    do not compete with each other, as they do in the supervised contrastive loss.

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
    negatives = masked_logsumexp(logits, different)
    return masked_mean(tf.nn.softplus(negatives[:, None] - logits), similar)


class NTXent(LossPlugin):
    """NT-Xent loss: softmax that picks a positive out of an anchor's negatives, one positive at a time.

    Embeddings are normalised inside. The default temperature is that of momentum contrast (He et al., CVPR 2020).
    """

    reference: ClassVar[str] = (
        "T. Chen, S. Kornblith, M. Norouzi, G. Hinton: A simple framework for contrastive learning of visual "
        "representations. ICML 2020"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    temperature: float = option(
        0.07,
        "Divides cosines; smaller ones weigh hard pairs more.",
        unit="cosine",
        ge=1e-6,
        search={"low": 0.01, "high": 1.0, "log": True},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: ntxent(labels, embeddings, self.temperature)
