"""Variational prototype loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import (
    arc_margin,
    cosine_logits,
    replace_targets,
    softmax_cross_entropy,
    target_logits,
    unit_rows,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def remembered(labels: tf.Tensor, embeddings: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
    """The memory after a batch: the direction of each identity's latest embeddings, and the step when it was seen.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        memory: float32 (C + 1, D + 1): a row for each class, its direction and its step; 0 for one that was never seen.
            The last number of the last row is the step of the batch before.

    Returns:
        The memory with this batch. Several images of an identity count with their mean.
    """
    import tensorflow as tf

    x, classes = unit_rows(tf.stop_gradient(embeddings)), tf.shape(memory)[0] - 1
    step = memory[-1:, -1:] + 1.0
    seen = tf.math.unsorted_segment_sum(tf.ones_like(labels), labels, classes)[:, None] > 0
    means = unit_rows(tf.math.unsorted_segment_sum(x, labels, classes))
    directions = tf.where(seen, means, memory[:-1, :-1])
    steps = tf.where(seen, step, memory[:-1, -1:])
    last = tf.concat([memory[-1:, :-1], step], axis=1)
    return tf.concat([tf.concat([directions, steps], axis=1), last], axis=0)


def injected(proxies: tf.Tensor, memory: tf.Tensor, share: float, lifetime: int, start: int) -> tf.Tensor:
    """Proxies with what is remembered of their identity: ``(1 - share) p_c + share m_c``, p and m of length 1.

    Args:
        proxies: float32 (C, D), of any length.
        memory: See :func:`remembered`.
        share: Of the remembered direction.
        lifetime: After how many steps a direction is forgotten.
        start: How many batches pass before the first one is used.

    Returns:
        float32 (C, D).
    """
    import tensorflow as tf

    directions, seen, step = memory[:-1, :-1], memory[:-1, -1:], memory[-1, -1] + 1.0
    fresh = (seen > 0) & (step - seen <= lifetime) & (step > start)
    weights = tf.where(fresh, share, 0.0)
    return (1.0 - weights) * unit_rows(proxies) + weights * directions


def vpl(labels: tf.Tensor, embeddings: tf.Tensor, prototypes: tf.Tensor, margin: float, scale: float) -> tf.Tensor:
    """ArcFace's loss: softmax cross entropy of ``scale cos(theta_ic + [c = y_i] margin)`` over classes c.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        prototypes: float32 (C, D), one for each class, of any length: what :func:`injected` gives.
        margin: Radians that are added to the target's angle; beyond 180 degrees the target falls as in ArcFace.
        scale: Factor of the cosines.

    Returns:
        float32 scalar, the mean over rows.
    """
    cosines = cosine_logits(embeddings, prototypes)
    targets = arc_margin(target_logits(labels, cosines), margin)
    return softmax_cross_entropy(labels, scale * replace_targets(labels, cosines, targets))


class VPL(LossPlugin):
    """Variational prototype learning: ArcFace whose proxies are mixed with what their identity last looked like.

    Embeddings and proxies are normalised inside. What is remembered of an identity has no gradient, and is replaced
    after each batch that shows it. The authors begin with it after 8000 of their hundreds of thousands of batches; here
    fine-tuning begins with a trained embedding and takes hundreds, so that ``start`` is 0.
    """

    reference: ClassVar[str] = (
        "J. Deng, J. Guo, J. Yang, A. Lattas, S. Zafeiriou: "
        "Variational prototype learning for deep face recognition. CVPR 2021"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    margin: float = option(
        0.5,
        "Added to the angle to the own identity.",
        unit="radians",
        ge=0,
        le=math.pi,
        search={"low": 0.1, "high": 0.8},
    )
    scale: float = option(
        64.0, "Factor of the cosines before the softmax.", gt=0, search={"low": 8.0, "high": 128.0, "log": True}
    )
    share: float = option(
        0.15,
        "Share of the remembered embedding in a proxy, the paper's lambda.",
        ge=0,
        lt=1,
        search={"low": 0.05, "high": 0.5},
    )
    lifetime: int = option(200, "Batches after which an embedding is forgotten.", unit="batches", ge=1)
    start: int = option(0, "Batches before embeddings that are remembered are used.", unit="batches", ge=0)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies and the memory, ``(labels, embeddings) -> scalar``."""

        def function(
            labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, memory: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            prototypes = injected(proxies, memory, self.share, self.lifetime, self.start)
            value = vpl(labels, embeddings, prototypes, self.margin, self.scale)
            return value, remembered(labels, embeddings, memory)

        return proxy_layer(ctx, function, moving=(ctx.num_classes + 1, ctx.embedding_dim + 1))
