"""Smooth-AP loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import image_numbers, inner_products, unit_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

    from faceexp.contract import LossFunction

    Gradient = Callable[[tf.Tensor], tf.Tensor]

Positives = Literal["identity", "block"]


def blocks(labels: tf.Tensor) -> tf.Tensor:
    """Labels that name blocks of B / m consecutive rows, where m = B // number of identities of the batch.

    Args:
        labels: int32 (B,).
    """
    import tensorflow as tf

    rows = tf.shape(labels)[0]
    identities = tf.reduce_sum(tf.cast(image_numbers(labels) == 0, tf.int32))
    return tf.range(rows) // (rows // (rows // identities))


def smooth_ap(labels: tf.Tensor, embeddings: tf.Tensor, temperature: float) -> tf.Tensor:
    """Smooth-AP loss: ``mean_i (1 - mean_p R+_ip / R_ip)``, one minus average precision with smooth ranks.

    ``R_ij = 1 + sum_{k != j} sigmoid((s_ik - s_ij) / T)`` is the smooth rank of row j by its cosine to row i, and
    ``R+_ij`` the same among the rows of i's identity alone; p runs over these, row i included. An image that is the
    only one of its identity has to rank first for itself.

    All rows are ranked for their first, second, ... positive in turn, and the gradient is summed along with the value,
    so that memory stays of order B^2.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        temperature: T.

    Returns:
        float32 scalar, within [0, 1].
    """
    import tensorflow as tf

    same = labels[:, None] == labels[None, :]
    number = image_numbers(labels)
    most = tf.reduce_max(number) + 1
    share = 1.0 / (tf.reduce_sum(tf.cast(same, tf.float32), axis=1) * tf.cast(tf.size(labels), tf.float32))

    def value_and_gradient(cosines: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        def add(now: tf.Tensor, value: tf.Tensor, gradient: tf.Tensor) -> tuple[tf.Tensor, ...]:
            chosen = same & (number == now)[None, :]
            exists = tf.reduce_any(chosen, axis=1)
            own = tf.reduce_sum(tf.where(chosen, cosines, 0.0), axis=1, keepdims=True)
            above = tf.where(chosen, 0.0, tf.sigmoid((cosines - own) / temperature))
            rank = 1.0 + tf.reduce_sum(above, axis=1)
            positive_rank = 1.0 + tf.reduce_sum(tf.where(same, above, 0.0), axis=1)
            precision = tf.where(exists, share * positive_rank / rank, 0.0)
            # d(R+ / R) = (dR+ - R+ / R dR) / R, where row k moves the ranks by its sigmoid's slope, row p by minus all.
            by_rank = tf.where(exists, share / rank, 0.0)[:, None]
            slopes = above * (1.0 - above) / temperature
            moves = slopes * (tf.where(same, by_rank, 0.0) - (precision / rank)[:, None])
            moves -= tf.where(chosen, tf.reduce_sum(moves, axis=1, keepdims=True), 0.0)
            return now + 1, value - tf.reduce_sum(precision), gradient - moves

        start = (0, 1.0, tf.zeros_like(cosines))
        _, value, gradient = tf.while_loop(lambda now, *_: now < most, add, start)
        return value, lambda upstream: upstream * gradient

    value: tf.Tensor = tf.custom_gradient(value_and_gradient)(inner_products(unit_rows(embeddings)))
    return value


class SmoothAP(LossPlugin):
    """Smooth-AP loss: one minus average precision, made differentiable by sigmoids in place of comparisons.

    Embeddings are normalised inside. As in the paper, the positives of a row are those of its identity.
    pytorch-metric-learning, up to 2.9.0, takes blocks of B / m consecutive rows for identities, m being the number of
    images of each: wrong unless there are as many identities as images of each. ``positives = "block"`` does the same.
    """

    reference: ClassVar[str] = (
        "A. Brown, W. Xie, V. Kalogeiton, A. Zisserman: Smooth-AP: smoothing the path towards large-scale image "
        "retrieval. ECCV 2020"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    temperature: float = option(
        0.01, "Width of the sigmoids.", unit="cosine", gt=0, search={"low": 1e-3, "high": 0.1, "log": True}
    )
    positives: Positives = option("identity", "What a row should find: its identity, or its block of the batch.")

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: smooth_ap(
            labels if self.positives == "identity" else blocks(labels), embeddings, self.temperature
        )
