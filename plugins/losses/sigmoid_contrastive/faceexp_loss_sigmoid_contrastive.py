"""Sigmoid contrastive loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import scalar_layer
from faceexp.tensors import inner_products, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def sigmoid_contrastive(labels: tf.Tensor, embeddings: tf.Tensor, log_scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Sigmoid loss: ``mean_i sum_{j != i} log(1 + exp(-z_ij (t s_ij + b)))``, a binary decision for each pair.

    ``s_ij`` is the cosine of embeddings i and j; ``z_ij`` is 1 where they show the same identity, else -1.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        log_scale: log t, float32 scalar.
        bias: b, float32 scalar.

    Returns:
        float32 scalar; the mean over rows of sums, as in the paper.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    logits = tf.exp(log_scale) * inner_products(unit_rows(embeddings)) + bias
    terms = tf.math.softplus(tf.where(similar, -logits, logits))
    return tf.reduce_mean(tf.reduce_sum(tf.where(similar | different, terms, 0.0), axis=1))


class SigmoidContrastive(LossPlugin):
    """Sigmoid contrastive loss: decides for each pair alone whether it shows one identity, with a learned threshold.

    Embeddings are normalised inside. The paper compares images with texts, of which each has one; here all pairs of a
    batch are compared, and every image of an identity is a positive of the others. Scale and bias are trained.
    """

    reference: ClassVar[str] = (
        "X. Zhai, B. Mustafa, A. Kolesnikov, L. Beyer: Sigmoid loss for language image pre-training. ICCV 2023"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    # Both are trained, but a few hundred steps move them little.
    scale: float = option(
        10.0, "First value of the factor of the cosines.", gt=0, search={"low": 1.0, "high": 50.0, "log": True}
    )
    bias: float = option(
        -10.0,
        "First value of what is added to them; minus bias / scale is the threshold.",
        search={"low": -20.0, "high": 0.0},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with scale and bias, ``(labels, embeddings) -> scalar``."""
        return scalar_layer(ctx, sigmoid_contrastive, [math.log(self.scale), self.bias])
