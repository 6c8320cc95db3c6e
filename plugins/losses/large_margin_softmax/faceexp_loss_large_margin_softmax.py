"""Large-margin softmax loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import (
    cosine_logits,
    multiplied_angle,
    replace_targets,
    row_norms,
    softmax_cross_entropy,
    target_logits,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def large_margin_softmax(
    labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, margin: int, scale: float
) -> tf.Tensor:
    """Large-margin softmax: softmax cross entropy of ``scale |x_i| |p_c| cos theta_ic`` over classes c.

    ``theta_ic`` is the angle between embedding i and proxy c, so that the logits are inner products. The target has
    ``psi(theta)`` in place of ``cos theta``: ``psi(theta) = (-1)^k cos(margin theta) - 2k`` with
    ``k = floor(margin theta / pi)``.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); their lengths scale the logits.
        proxies: float32 (C, D), one for each class; their lengths scale the logits, too.
        margin: Factor of the target's angle.
        scale: Factor of the logits.

    Returns:
        float32 scalar, the mean over rows.
    """
    cosines = cosine_logits(embeddings, proxies)
    psi = multiplied_angle(target_logits(labels, cosines), margin)
    lengths = row_norms(embeddings)[:, None] * row_norms(proxies)[None, :]
    return softmax_cross_entropy(labels, scale * lengths * replace_targets(labels, cosines, psi))


class LargeMarginSoftmax(LossPlugin):
    """Large-margin softmax loss: classifies by inner product, the angle to the own identity multiplied by a margin.

    Neither embeddings nor proxies are normalised. The paper's weight of the plain softmax, which is lowered as training
    proceeds, is left out, as in pytorch-metric-learning.
    """

    reference: ClassVar[str] = (
        "W. Liu, Y. Wen, Z. Yu, M. Yang: Large-margin softmax loss for convolutional neural networks. ICML 2016"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    margin: int = option(4, "Whole factor of the angle to the own identity.", ge=1, le=16, search={"low": 1, "high": 4})
    # The lengths of embeddings and proxies multiply it.
    scale: float = option(
        1.0, "Factor of the logits before the softmax.", gt=0, search={"low": 0.1, "high": 10.0, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(
            ctx,
            lambda labels, embeddings, proxies: large_margin_softmax(
                labels, embeddings, proxies, self.margin, self.scale
            ),
        )
