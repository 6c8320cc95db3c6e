"""CurricularFace loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import (
    add_angle,
    arc_margin,
    cosine_logits,
    replace_targets,
    softmax_cross_entropy,
    target_logits,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def curricularface(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    proxies: tf.Tensor,
    moving: tf.Tensor,
    margin: float,
    scale: float,
    momentum: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """CurricularFace: ArcFace that weighs hard negatives more, the further training has come.

    ``theta_ic`` is the angle between embedding i and proxy c, y the target. A negative is hard where
    ``cos theta_ic > cos(theta_iy + margin)``; its logit is ``scale cos theta_ic (t + cos theta_ic)``, with t the moving
    mean of the targets' cosines, this batch's included. All other logits are those of ArcFace.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.
        moving: float32 scalar, t before this batch; zero at first.
        margin: Radians that are added to the target's angle.
        scale: Factor of the cosines.
        momentum: Share of t that is kept.

    Returns:
        ``(loss, t)``, float32 scalars: the mean over rows, and the moving mean with this batch.
    """
    import tensorflow as tf

    cosines = cosine_logits(embeddings, proxies)
    targets = target_logits(labels, cosines)
    t = momentum * moving + (1.0 - momentum) * tf.reduce_mean(tf.stop_gradient(targets))
    hard = cosines > add_angle(targets, margin)[:, None]
    weighed = tf.where(hard, cosines * (t + cosines), cosines)
    logits = replace_targets(labels, weighed, arc_margin(targets, margin))
    return softmax_cross_entropy(labels, scale * logits), t


class CurricularFace(LossPlugin):
    """CurricularFace loss: ArcFace that turns from easy to hard negatives as training proceeds.

    Embeddings and proxies are normalised inside. How far training has come, the moving mean of the cosine to the own
    proxy, starts at zero, and keeps the share ``momentum`` at each batch: the paper's 0.99.
    """

    reference: ClassVar[str] = (
        "Y. Huang, Y. Wang, Y. Tai, X. Liu, P. Shen, S. Li, J. Li, F. Huang: "
        "CurricularFace: adaptive curriculum learning loss for deep face recognition. CVPR 2020"
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
    momentum: float = option(0.99, "Share of the moving mean that each batch keeps.", ge=0, lt=1)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies and the moving mean, ``(labels, embeddings) -> scalar``."""

        def function(
            labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, moving: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            return curricularface(labels, embeddings, proxies, moving, self.margin, self.scale, self.momentum)

        return proxy_layer(ctx, function, moving=[])
