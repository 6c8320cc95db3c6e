"""UniFace loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import cosine_logits, replace_targets, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def uniface(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    proxies: tf.Tensor,
    bias: tf.Tensor,
    margin: float,
    scale: float,
    weight: float,
) -> tf.Tensor:
    """Unified cross entropy: ``log(1 + exp(b - s (c_iy - m))) + l sum_{j != y} log(1 + exp(s c_ij - b))``.

    ``c_ij`` is the cosine of embedding i and proxy j, y the own class. All classes share one threshold, ``b / s``: the
    own cosine should exceed it by the margin, and each other one stay below, whatever the other cosines are.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.
        bias: b, float32 scalar.
        margin: m.
        scale: s.
        weight: l.

    Returns:
        float32 scalar, the mean over rows.
    """
    import tensorflow as tf

    logits = scale * cosine_logits(embeddings, proxies)
    targets = target_logits(labels, logits)
    others = tf.reduce_sum(replace_targets(labels, tf.math.softplus(logits - bias), tf.zeros_like(targets)), axis=1)
    return tf.reduce_mean(tf.math.softplus(bias - targets + scale * margin) + weight * others)


class UniFace(LossPlugin):
    """UniFace loss: one learned threshold for all identities, which cosines to the own proxy exceed and others do not.

    Embeddings and proxies are normalised inside. The threshold starts at log(10 C) / scale, as in the authors' code.
    ``l`` balances the C - 1 other identities against the own one; the paper's other way of balancing, to draw some of
    them, is left out.
    """

    reference: ClassVar[str] = (
        "J. Zhou, X. Jia, Q. Li, L. Shen, J. Duan: "
        "UniFace: unified cross-entropy loss for deep face recognition. ICCV 2023"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    margin: float = option(
        0.4, "Taken from the cosine to the own identity.", unit="cosine", ge=0, le=2, search={"low": 0.05, "high": 0.6}
    )
    scale: float = option(64.0, "Factor of the cosines.", gt=0, search={"low": 8.0, "high": 128.0, "log": True})
    weight: float = option(
        1.0, "Weight of all other identities, the paper's lambda.", ge=0, search={"low": 0.1, "high": 10.0, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies and the bias, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(
            ctx,
            lambda labels, embeddings, proxies, bias: uniface(
                labels, embeddings, proxies, bias, self.margin, self.scale, self.weight
            ),
            scalars=[math.log(10 * ctx.num_classes)],
        )
