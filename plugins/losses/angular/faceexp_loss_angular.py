"""Angular loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import as_float32, image_numbers, inner_products, masked_logsumexp, pair_masks, unit_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

    from faceexp.contract import LossFunction

    Gradients = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


def angular(labels: tf.Tensor, embeddings: tf.Tensor, alpha: float) -> tf.Tensor:
    """Angular loss: ``mean_{a,p} log(1 + sum_n exp(4 t (u_a + u_p) . x_n - 2 (1 + t) u_a . u_p))``.

    ``t = tan^2 alpha``; ``u`` is the normalised and ``x`` the plain embedding (the reference normalises anchors and
    positives, but not negatives). The mean is over ordered positive pairs a, p; n runs over the negatives of a. The
    loss bounds the angle at the negative in the triangle that it forms with a circle around a and p.

    All anchors are compared with their first, second, ... positive in turn, and the gradient is summed along with the
    value, so that memory stays of order B^2.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        alpha: Upper bound of the angle, degrees.

    Returns:
        float32 scalar; 0 for a batch without positives or without negatives.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    similar &= tf.reduce_any(different)
    number = image_numbers(labels)
    pairs = tf.reduce_sum(tf.cast(similar, tf.float32))
    most = tf.where(pairs > 0, tf.reduce_max(number) + 1, 0)
    row = tf.range(tf.shape(labels)[0])
    squared_tangent = math.tan(math.radians(alpha)) ** 2
    to_negatives, to_positives = 4 * squared_tangent, 2 * (1 + squared_tangent)

    def value_and_gradients(negatives: tf.Tensor, positives: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
        """Return the mean, given ``u_i . x_j`` and ``u_i . u_j``, and its gradients in both."""

        def add(
            now: tf.Tensor, total: tf.Tensor, by_negatives: tf.Tensor, by_positives: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            chosen = similar & (number == now)[None, :]
            positive = tf.reduce_sum(tf.where(chosen, row[None, :], 0), axis=1)
            closeness = tf.reduce_sum(tf.where(chosen, positives, 0.0), axis=1)
            exponents = to_negatives * (negatives + tf.gather(negatives, positive)) - to_positives * closeness[:, None]
            terms = tf.nn.softplus(masked_logsumexp(exponents, different))
            exists = tf.reduce_any(chosen, axis=1)
            weights = tf.where(different & exists[:, None], tf.exp(exponents - terms[:, None]), 0.0)
            sums = tf.reduce_sum(weights, axis=1, keepdims=True)
            # The pair p, a has the same term as a, p: its gradient in the anchor's products counts here, not there.
            return (
                now + 1,
                total + tf.reduce_sum(tf.where(exists, terms, 0.0)),
                by_negatives + 2 * to_negatives * weights,
                by_positives - tf.where(chosen, to_positives * sums, 0.0),
            )

        start = (0, 0.0, tf.zeros_like(negatives), tf.zeros_like(negatives))
        _, total, *gradients = tf.while_loop(lambda now, *_: now < most, add, start)
        count = tf.maximum(pairs, 1.0)
        return total / count, lambda upstream: tuple(upstream / count * gradient for gradient in gradients)

    unit = unit_rows(embeddings)
    products = tf.matmul(unit, as_float32(embeddings), transpose_b=True), inner_products(unit)
    value: tf.Tensor = tf.custom_gradient(value_and_gradients)(*products)
    return value


class Angular(LossPlugin):
    """Angular loss: bounds the angle at the negative in the triangle of anchor, positive and negative.

    Anchors and positives are normalised inside, negatives are not.
    """

    reference: ClassVar[str] = (
        "J. Wang, F. Zhou, S. Wen, X. Liu, Y. Lin: Deep metric learning with angular loss. ICCV 2017, equation 7"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    alpha: float = option(
        40.0,
        "Upper bound of the angle at the negative, in degrees.",
        unit="degrees",
        gt=0,
        lt=90,
        search={"low": 30.0, "high": 60.0},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: angular(labels, embeddings, self.alpha)
