"""P2SGrad loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin
from faceexp.layers import proxy_layer
from faceexp.tensors import replace_targets, target_logits, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def p2sgrad(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor) -> tf.Tensor:
    """P2SGrad as a loss: ``mean over rows i and classes c of (cos theta_ic - [c = y_i])^2``.

    ``theta_ic`` is the angle between embedding i and proxy c. Its gradient weighs each cosine by how far it is from
    what it should be, 1 for the own identity and 0 for the others, which is the paper's rule up to a factor.

    Proxies are taken for the normalised ones: their gradient is that of a proxy of length 1, whatever their length, and
    has a part along the proxy itself, which turns nothing.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.

    Returns:
        float32 scalar.
    """
    import tensorflow as tf

    unit = proxies + tf.stop_gradient(unit_rows(proxies) - proxies)
    cosines = tf.matmul(unit_rows(embeddings), unit, transpose_b=True)
    return tf.reduce_mean(tf.square(replace_targets(labels, cosines, target_logits(labels, cosines) - 1.0)))


class P2SGrad(LossPlugin):
    """P2SGrad loss: mean squared error of the cosines to all proxies, without any option to tune.

    Embeddings and proxies are normalised inside.
    """

    reference: ClassVar[str] = (
        "X. Zhang et al.: P2SGrad: refined gradients for optimizing deep face models. CVPR 2019 (the gradient); "
        "X. Wang, J. Yamagishi: A comparative study on recent neural spoofing countermeasures for synthetic speech "
        "detection. Interspeech 2021 (the loss)"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        return proxy_layer(ctx, p2sgrad)
