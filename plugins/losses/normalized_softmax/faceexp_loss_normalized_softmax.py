"""Normalised softmax loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import cosine_logits, softmax_cross_entropy

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def normalized_softmax(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, temperature: float) -> tf.Tensor:
    """Normalised softmax loss: softmax cross entropy of ``cos(x_i, p_c) / temperature`` over classes c.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.
        temperature: Divides the cosines.

    Returns:
        float32 scalar, the mean over rows.
    """
    return softmax_cross_entropy(labels, cosine_logits(embeddings, proxies) / temperature)


class NormalizedSoftmax(LossPlugin):
    """Normalised softmax loss: classifies by the cosine to a learned proxy of each identity.

    Embeddings and proxies are normalised inside.
    """

    reference: ClassVar[str] = (
        "A. Zhai, H.-Y. Wu: Classification is a strong baseline for deep metric learning. BMVC 2019"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    temperature: float = option(
        0.05, "Divides the cosines; smaller is more selective.", ge=1e-6, search={"low": 0.01, "high": 0.5, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(
            ctx, lambda labels, embeddings, proxies: normalized_softmax(labels, embeddings, proxies, self.temperature)
        )
