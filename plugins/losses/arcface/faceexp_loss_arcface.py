"""ArcFace loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import arc_margin, cosine_logits, replace_targets, softmax_cross_entropy, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def arcface(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, margin: float, scale: float) -> tf.Tensor:
    """ArcFace: softmax cross entropy of ``scale cos(theta_ic + [c = y_i] margin)`` over classes c.

    ``theta_ic`` is the angle between embedding i and proxy c. Where a target's angle plus the margin passes 180
    degrees, its logit is ``scale (cos theta - margin sin margin)``, so that it keeps falling.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.
        margin: Radians that are added to the target's angle.
        scale: Factor of the cosines.

    Returns:
        float32 scalar, the mean over rows; at an angle of exactly 0 or pi the sine has gradient 0.
    """
    cosines = cosine_logits(embeddings, proxies)
    targets = arc_margin(target_logits(labels, cosines), margin)
    return softmax_cross_entropy(labels, scale * replace_targets(labels, cosines, targets))


class ArcFace(LossPlugin):
    """ArcFace loss: classifies by angle, the own identity's made larger by a margin.

    Embeddings and proxies are normalised inside. The default margin, 28.6 degrees, is the paper's 0.5 radians.
    """

    reference: ClassVar[str] = (
        "J. Deng, J. Guo, N. Xue, S. Zafeiriou: "
        "ArcFace: additive angular margin loss for deep face recognition. CVPR 2019"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)
    suggested: ClassVar[bool] = True

    margin: float = option(
        28.6,
        "Degrees added to the angle to the own identity.",
        unit="degrees",
        ge=0,
        le=180,
        search={"low": 5.0, "high": 50.0},
    )
    scale: float = option(
        64.0, "Factor of the cosines before the softmax.", gt=0, search={"low": 8.0, "high": 128.0, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        margin = math.radians(self.margin)
        return proxy_layer(
            ctx, lambda labels, embeddings, proxies: arcface(labels, embeddings, proxies, margin, self.scale)
        )
