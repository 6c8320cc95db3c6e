"""SphereFace loss as a faceexp plugin."""

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


def sphereface(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, margin: int, scale: float) -> tf.Tensor:
    """SphereFace: softmax cross entropy of ``scale |x_i| cos theta_ic`` over classes c, the target's angle multiplied.

    ``theta_ic`` is the angle between embedding i and proxy c. The target has ``psi(theta)`` in place of ``cos theta``:
    ``psi(theta) = (-1)^k cos(margin theta) - 2k`` with ``k = floor(margin theta / pi)``, which falls from 1 at 0 to
    ``1 - 2 margin`` at pi.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); their lengths scale the logits.
        proxies: float32 (C, D), one for each class, of any length.
        margin: Factor of the target's angle.
        scale: Factor of the logits.

    Returns:
        float32 scalar, the mean over rows.
    """
    cosines = cosine_logits(embeddings, proxies)
    psi = multiplied_angle(target_logits(labels, cosines), margin)
    logits = replace_targets(labels, cosines, psi) * (scale * row_norms(embeddings))[:, None]
    return softmax_cross_entropy(labels, logits)


class SphereFace(LossPlugin):
    """SphereFace loss: classifies by angle, the own identity's multiplied by a margin.

    Proxies are normalised inside; embeddings are not, their lengths scale the logits.
    """

    reference: ClassVar[str] = (
        "W. Liu, Y. Wen, Z. Yu, M. Li, B. Raj, L. Song: "
        "SphereFace: deep hypersphere embedding for face recognition. CVPR 2017"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    margin: int = option(4, "Whole factor of the angle to the own identity.", ge=1, le=16, search={"low": 1, "high": 4})
    # The lengths of embeddings multiply it.
    scale: float = option(
        1.0, "Factor of the logits before the softmax.", gt=0, search={"low": 0.1, "high": 10.0, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(
            ctx, lambda labels, embeddings, proxies: sphereface(labels, embeddings, proxies, self.margin, self.scale)
        )
