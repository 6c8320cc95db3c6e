"""Sub-center ArcFace loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import arc_margin, cosine_logits, replace_targets, softmax_cross_entropy, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def subcenter_arcface(
    labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, margin: float, scale: float, sub_centers: int
) -> tf.Tensor:
    """Sub-center ArcFace: softmax cross entropy of ``scale cos(theta_ic + [c = y_i] margin)`` over classes c.

    ``theta_ic`` is the angle between embedding i and the nearest of class c's proxies. Where a target's angle plus
    the margin passes 180 degrees, its logit is ``scale (cos theta - margin sin margin)``, so that it keeps falling.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C * sub_centers, D), those of a class next to each other, of any length.
        margin: Radians that are added to the target's angle.
        scale: Factor of the cosines.
        sub_centers: Proxies of each class.

    Returns:
        float32 scalar, the mean over rows; at an angle of exactly 0 or pi the sine has gradient 0.
    """
    import tensorflow as tf

    each = cosine_logits(embeddings, proxies)
    cosines = tf.reduce_max(tf.reshape(each, [tf.shape(each)[0], -1, sub_centers]), axis=2)
    targets = arc_margin(target_logits(labels, cosines), margin)
    return softmax_cross_entropy(labels, scale * replace_targets(labels, cosines, targets))


class SubCenterArcFace(LossPlugin):
    """Sub-center ArcFace loss: ArcFace with several proxies for each identity, of which the nearest counts.

    Embeddings and proxies are normalised inside. The default margin, 28.6 degrees, is the paper's 0.5 radians.
    """

    reference: ClassVar[str] = (
        "J. Deng, J. Guo, T. Liu, M. Gong, S. Zafeiriou: "
        "Sub-center ArcFace: boosting face recognition by large-scale noisy web faces. ECCV 2020"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

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
    sub_centers: int = option(
        3, "Proxies of each identity.", unit="proxies", ge=1, le=1000, search={"low": 1, "high": 10}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        margin = math.radians(self.margin)

        def function(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor) -> tf.Tensor:
            return subcenter_arcface(labels, embeddings, proxies, margin, self.scale, self.sub_centers)

        return proxy_layer(ctx, function, per_class=self.sub_centers)
