"""Instance loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import image_numbers, inner_products, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

Target = Literal["identity", "number"]


def targets_of(labels: tf.Tensor, target: Target) -> tf.Tensor:
    """What each row should be taken for: a distribution over the rows of the batch.

    Args:
        labels: int32 (B,).
        target: ``"identity"``: all rows of its identity share the mass, the row itself among them. ``"number"``: row k
            of the batch, where the label is the k-th smallest of those that occur, counted from 0.

    Returns:
        float32 (B, B).
    """
    import tensorflow as tf

    if target == "identity":
        same = tf.cast(labels[:, None] == labels[None, :], tf.float32)
        return same / tf.reduce_sum(same, axis=1, keepdims=True)
    smaller = (labels[None, :] < labels[:, None]) & (image_numbers(labels) == 0)[None, :]
    number = tf.reduce_sum(tf.cast(smaller, tf.int32), axis=1)
    return tf.cast(number[:, None] == tf.range(tf.shape(labels)[0])[None, :], tf.float32)


def instance(labels: tf.Tensor, embeddings: tf.Tensor, gamma: float, target: Target) -> tf.Tensor:
    """Instance loss: softmax cross entropy of ``gamma s_ij`` over all rows j, ``s_ij`` the cosine of rows i and j.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        gamma: Factor of the cosines.
        target: What row i should be taken for, see :func:`targets_of`.

    Returns:
        float32 scalar, the mean over rows.
    """
    import tensorflow as tf

    log_softmax = tf.nn.log_softmax(gamma * inner_products(unit_rows(embeddings)), axis=1)
    return -tf.reduce_mean(tf.reduce_sum(targets_of(labels, target) * log_softmax, axis=1))


class Instance(LossPlugin):
    """Instance loss: each row is classified among the rows of the batch, by cosine.

    Embeddings are normalised inside. If all labels of a batch differ, every image is a class of its own, as in the
    paper, and each row should be taken for itself. With several images of an identity these share the target.
    pytorch-metric-learning, up to 2.9.0, takes the number of a label for the number of a row: it depends on the order
    of the batch which row that is. ``target = "number"`` does the same.
    """

    reference: ClassVar[str] = (
        "Z. Zheng, L. Zheng, M. Garrett, Y. Yang, M. Xu, Y.-D. Shen: Dual-path convolutional image-text embeddings "
        "with instance loss. ACM TOMM 2020"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2)

    gamma: float = option(
        64.0, "Factor of the cosines before the softmax.", gt=0, search={"low": 8.0, "high": 128.0, "log": True}
    )
    target: Target = option(
        "identity", "What a row should be taken for: its identity, or the row that its label numbers."
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: instance(labels, embeddings, self.gamma, self.target)
