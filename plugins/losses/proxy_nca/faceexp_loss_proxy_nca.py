"""Proxy-NCA loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import cosine_logits, softmax_cross_entropy

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def proxy_nca(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, softmax_scale: float) -> tf.Tensor:
    """Proxy-NCA: softmax cross entropy of ``-softmax_scale ||x_i - p_c||^2`` over classes c, of unit vectors.

    The sum of the softmax is over all proxies, as in later work, while the paper leaves the own one out and its loss
    may fall below zero. Of unit vectors ``||x - p||^2 = 2 - 2 cos``, and the 2 cancels.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length but zero.
        proxies: float32 (C, D), one for each class, of any length but zero.
        softmax_scale: Factor of the squared distances.

    Returns:
        float32 scalar, the mean over rows.
    """
    return softmax_cross_entropy(labels, 2.0 * softmax_scale * cosine_logits(embeddings, proxies))


class ProxyNCA(LossPlugin):
    """Proxy-NCA loss: classifies by the squared distance to a learned proxy of each identity.

    Embeddings and proxies are normalised inside.
    """

    reference: ClassVar[str] = (
        "Y. Movshovitz-Attias, A. Toshev, T. K. Leung, S. Ioffe, S. Singh: "
        "No fuss distance metric learning using proxies. ICCV 2017"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    softmax_scale: float = option(
        1.0, "Factor of the squared distances before the softmax.", gt=0, search={"low": 0.5, "high": 64.0, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(
            ctx, lambda labels, embeddings, proxies: proxy_nca(labels, embeddings, proxies, self.softmax_scale)
        )
