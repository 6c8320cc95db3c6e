"""CosFace loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import cosine_logits, replace_targets, softmax_cross_entropy, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def cosface(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, margin: float, scale: float) -> tf.Tensor:
    """CosFace: softmax cross entropy of ``scale (cos(x_i, p_c) - [c = y_i] margin)`` over classes c.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.
        margin: Taken from the target's cosine.
        scale: Factor of the cosines.

    Returns:
        float32 scalar, the mean over rows.
    """
    cosines = cosine_logits(embeddings, proxies)
    targets = target_logits(labels, cosines) - margin
    return softmax_cross_entropy(labels, scale * replace_targets(labels, cosines, targets))


class CosFace(LossPlugin):
    """CosFace loss: classifies by cosine, the own identity's made smaller by a margin.

    Embeddings and proxies are normalised inside.
    """

    reference: ClassVar[str] = (
        "H. Wang, Y. Wang, Z. Zhou, X. Ji, D. Gong, J. Zhou, Z. Li, W. Liu: "
        "CosFace: large margin cosine loss for deep face recognition. CVPR 2018"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    margin: float = option(
        0.35, "Taken from the cosine to the own identity.", unit="cosine", ge=0, le=2, search={"low": 0.05, "high": 0.6}
    )
    # From the paper's lower bound on: 7.4 for 24 identities, if the own one shall reach a probability of 0.99.
    scale: float = option(
        64.0, "Factor of the cosines before the softmax.", gt=0, search={"low": 8.0, "high": 128.0, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(
            ctx, lambda labels, embeddings, proxies: cosface(labels, embeddings, proxies, self.margin, self.scale)
        )
