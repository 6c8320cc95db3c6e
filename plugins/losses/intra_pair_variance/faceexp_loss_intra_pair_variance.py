"""Intra-pair variance loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, masked_mean, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def intra_pair_variance(labels: tf.Tensor, embeddings: tf.Tensor, pos_eps: float, neg_eps: float) -> tf.Tensor:
    """Intra-pair variance loss: pulls cosines that fall short of, or exceed, the mean of their kind back to it.

    ``mean of max((1 - pos_eps) m+ - s_ip, 0)^2 + mean of max(s_in - (1 + neg_eps) m-, 0)^2``, where ``s`` is the
    cosine, m+ its mean over pairs of one identity, and m- that over pairs of two. The means m have a gradient.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        pos_eps: Part of the mean by which a similar pair may fall short of it.
        neg_eps: Part of the mean by which a different pair may exceed it.

    Returns:
        float32 scalar; a kind of which the batch holds no pair contributes 0.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    cosines = inner_products(unit_rows(embeddings))
    short = tf.maximum((1 - pos_eps) * masked_mean(cosines, similar) - cosines, 0.0)
    beyond = tf.maximum(cosines - (1 + neg_eps) * masked_mean(cosines, different), 0.0)
    return masked_mean(tf.square(short), similar) + masked_mean(tf.square(beyond), different)


class IntraPairVariance(LossPlugin):
    """Intra-pair variance loss: keeps the cosines of similar pairs alike, and those of different pairs.

    Embeddings are normalised inside. The paper adds it to another loss: alone, it does not tell identities apart.
    """

    reference: ClassVar[str] = "B. Yu, D. Tao: Deep metric learning with tuplet margin loss. ICCV 2019"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    pos_eps: float = option(
        0.01,
        "Part of its mean that a similar pair's cosine may fall short.",
        ge=0,
        le=1,
        search={"low": 1e-3, "high": 0.3, "log": True},
    )
    neg_eps: float = option(
        0.01,
        "Part of its mean that a different pair's cosine may exceed.",
        ge=0,
        le=1,
        search={"low": 1e-3, "high": 0.3, "log": True},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: intra_pair_variance(labels, embeddings, self.pos_eps, self.neg_eps)
