"""Proxy-anchor loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import cosine_logits, masked_logsumexp

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def proxy_anchor(
    labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, margin: float, alpha: float
) -> tf.Tensor:
    """Proxy-anchor loss: each proxy, as the anchor, pulls its own embeddings and pushes all others.

    The pull ``mean over classes c in the batch of log(1 + sum_{i: y_i = c} exp(-alpha (cos(x_i, p_c) - margin)))``,
    plus the push ``mean over all classes c of log(1 + sum_{i: y_i != c} exp(alpha (cos(x_i, p_c) + margin)))``.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.
        margin: Cosine that own embeddings should exceed, and others stay as far below zero.
        alpha: Factor of the cosines.

    Returns:
        float32 scalar; an empty sum contributes 0.
    """
    import tensorflow as tf

    cosines = cosine_logits(embeddings, proxies)
    own = labels[:, None] == tf.range(tf.shape(proxies)[0])[None, :]
    pull = tf.nn.softplus(masked_logsumexp(alpha * (margin - cosines), own, axis=0))
    push = tf.nn.softplus(masked_logsumexp(alpha * (margin + cosines), tf.logical_not(own), axis=0))
    present = tf.reduce_sum(tf.cast(tf.reduce_any(own, axis=0), tf.float32))
    return tf.math.divide_no_nan(tf.reduce_sum(pull), present) + tf.reduce_mean(push)


class ProxyAnchor(LossPlugin):
    """Proxy-anchor loss: each identity's learned proxy pulls its own embeddings and pushes others, the hard ones most.

    Embeddings and proxies are normalised inside.
    """

    reference: ClassVar[str] = "S. Kim, D. Kim, M. Cho, S. Kwak: Proxy anchor loss for deep metric learning. CVPR 2020"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    margin: float = option(
        0.1,
        "Cosine to exceed for own embeddings, minus it for others.",
        unit="cosine",
        ge=0,
        le=1,
        search={"low": 0.0, "high": 0.5},
    )
    alpha: float = option(32.0, "Factor of the cosines.", gt=0, search={"low": 8.0, "high": 128.0, "log": True})

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(
            ctx, lambda labels, embeddings, proxies: proxy_anchor(labels, embeddings, proxies, self.margin, self.alpha)
        )
