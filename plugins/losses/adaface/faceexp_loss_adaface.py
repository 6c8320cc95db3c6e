"""AdaFace loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import add_angle, cosine_logits, replace_targets, row_norms, softmax_cross_entropy, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def qualities(embeddings: tf.Tensor, moving: tf.Tensor, h: float, momentum: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Image qualities ``h (|x_i| - mean) / (deviation + 0.001)``, clipped to [-1, 1], without a gradient.

    Mean and deviation are those of the norms of all batches so far, this one included, the later weighing more.

    Args:
        embeddings: float32 (B, D).
        moving: float32 (3,), sums of the batches' weights, weighted means and weighted deviations; zeros at first.
        h: Quality of a norm one deviation above the mean.
        momentum: Weight of a batch relative to the next one's.

    Returns:
        ``(qualities, moving)``: float32 (B,), and the sums with this batch.
    """
    import tensorflow as tf

    norms = tf.stop_gradient(row_norms(embeddings))
    seen = tf.stack([1.0, tf.reduce_mean(norms), tf.math.reduce_std(norms)])
    moving = momentum * moving + (1.0 - momentum) * seen
    mean, deviation = moving[1] / moving[0], moving[2] / moving[0]
    return tf.clip_by_value(h * (norms - mean) / (deviation + 0.001), -1.0, 1.0), moving


def adaface(
    labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, quality: tf.Tensor, m: float, scale: float
) -> tf.Tensor:
    """AdaFace: softmax cross entropy of ``scale cos theta_ic`` over classes c, the target's with two margins.

    ``theta_ic`` is the angle between embedding i and proxy c. The target's logit is
    ``scale (cos(theta - m q_i) - m (1 + q_i))``, its angle clipped to [0, pi]: ArcFace's margin for an image of
    quality q_i = -1, CosFace's for q_i = 0, and one that asks more of hard images than of easy ones for q_i = 1.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        proxies: float32 (C, D), one for each class, of any length.
        quality: float32 (B,), within [-1, 1].
        m: Margin.
        scale: Factor of the cosines.

    Returns:
        float32 scalar, the mean over rows.
    """
    import tensorflow as tf

    cosines = cosine_logits(embeddings, proxies)
    targets, angle = target_logits(labels, cosines), -m * quality
    turned = add_angle(targets, angle)
    turned = tf.where(tf.logical_and(angle < 0.0, targets > tf.cos(angle)), 1.0, turned)
    turned = tf.where(tf.logical_and(angle > 0.0, targets < -tf.cos(angle)), -1.0, turned)
    return softmax_cross_entropy(labels, scale * replace_targets(labels, cosines, turned - m * (1.0 + quality)))


class AdaFace(LossPlugin):
    """AdaFace loss: classifies by angle with a margin that adapts to image quality, judged by the embedding's length.

    Embeddings and proxies are normalised inside; embeddings' lengths, as the paper wants it, get no gradient. Their
    moving mean and deviation start with the first batch, not with constants as in the authors' code, and keep the
    share ``momentum`` at each batch: the paper's 0.99, in the authors' code t_alpha = 0.01.
    """

    reference: ClassVar[str] = (
        "M. Kim, A. K. Jain, X. Liu: AdaFace: quality adaptive margin for face recognition. CVPR 2022"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    m: float = option(
        0.4, "Margin, of the angle and of the cosine.", unit="radians", ge=0, le=1.5, search={"low": 0.1, "high": 0.8}
    )
    h: float = option(
        0.333,
        "Quality of an embedding whose length is one deviation above the mean.",
        ge=0,
        search={"low": 0.1, "high": 1.0},
    )
    scale: float = option(
        64.0, "Factor of the cosines before the softmax.", gt=0, search={"low": 8.0, "high": 128.0, "log": True}
    )
    momentum: float = option(0.99, "Share of the mean and deviation of lengths that each batch keeps.", ge=0, lt=1)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies and the moving statistics, ``(labels, embeddings) -> scalar``."""

        def function(
            labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, moving: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            quality, moving = qualities(embeddings, moving, self.h, self.momentum)
            return adaface(labels, embeddings, proxies, quality, self.m, self.scale), moving

        return proxy_layer(ctx, function, moving=[3])
