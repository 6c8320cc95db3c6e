"""N-pairs loss as a faceexp plugin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option
from faceexp.tensors import image_numbers, inner_products, masked_logsumexp, masked_mean, normalized, pair_masks

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def npairs(labels: tf.Tensor, embeddings: tf.Tensor, reg_lambda: float) -> tf.Tensor:
    """Multi-class N-pair loss: softmax cross entropy of ``a_i . p_j``, plus ``reg_lambda/4 (mean |a|^2 + mean |p|^2)``.

    Anchors a are the first half of the rows, positives p the second. The target of anchor i is a distribution over
    all positives, proportional to the affinity of their labels: 1 for equal labels, so that positives of one identity
    share the mass; for sets of labels, the number of common ones. An anchor without any positive contributes 0.

    Args:
        labels: int32 (B,), or multi-hot (B, C), 1 where a row has a label.
        embeddings: float32 (B, D).
        reg_lambda: Weight of the squared norms, which inner products would otherwise let grow.

    Returns:
        float32 scalar, the mean over anchors.
    """
    import tensorflow as tf

    half = tf.shape(embeddings)[0] // 2
    anchors, positives = embeddings[:half], embeddings[half : 2 * half]
    anchor_labels, positive_labels = labels[:half], labels[half : 2 * half]
    if len(labels.shape) == 2:
        sets = tf.cast(anchor_labels, tf.float32), tf.cast(positive_labels, tf.float32)
        affinity = tf.matmul(*sets, transpose_b=True)
    else:
        affinity = tf.cast(anchor_labels[:, None] == positive_labels[None, :], tf.float32)
    targets = tf.math.divide_no_nan(affinity, tf.reduce_sum(affinity, axis=1, keepdims=True))
    log_softmax = tf.nn.log_softmax(tf.matmul(anchors, positives, transpose_b=True), axis=1)
    cross_entropy = -tf.reduce_sum(targets * log_softmax)
    squared_norms = tf.reduce_sum(tf.square(anchors)) + tf.reduce_sum(tf.square(positives))
    return tf.math.divide_no_nan(cross_entropy + 0.25 * reg_lambda * squared_norms, tf.cast(half, tf.float32))


def npairs_of_first_images(labels: tf.Tensor, embeddings: tf.Tensor, reg_lambda: float) -> tf.Tensor:
    """N-pair loss with one pair for each identity: its first row in the batch is the anchor, its second the positive.

    The formula is that of :func:`npairs`; identities with one row in the batch have no part in it.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        reg_lambda: Weight of the squared norms.

    Returns:
        float32 scalar, the mean over identities with two rows or more; 0 if there are none.
    """
    import tensorflow as tf

    similar, _ = pair_masks(labels)
    number = image_numbers(labels)
    anchors, positives = (number == 0) & tf.reduce_any(similar, axis=1), number == 1
    logits = inner_products(embeddings)
    own = tf.reduce_sum(tf.where(similar & positives[None, :], logits, 0.0), axis=1)
    among = tf.ones_like(similar) & positives[None, :]
    cross_entropy = masked_mean(masked_logsumexp(logits, among) - own, anchors)
    squared_norms = tf.linalg.diag_part(logits)
    return cross_entropy + 0.25 * reg_lambda * sum(masked_mean(squared_norms, rows) for rows in (anchors, positives))


class NPairs(LossPlugin):
    """N-pairs loss: picks each anchor's positive out of all positives of the batch by inner product.

    pytorch-metric-learning's convention is ``pairs = "first_images", normalize = true, reg_lambda = 0``.
    """

    reference: ClassVar[str] = (
        "K. Sohn: Improved deep metric learning with multi-class N-pair loss objective. NIPS 2016"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2, halves="similar")
    suggested: ClassVar[bool] = True

    reg_lambda: float = option(
        0.002, "Weight of the squared norms of the embeddings.", ge=0, search={"low": 1e-5, "high": 0.1, "log": True}
    )
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")
    pairs: Literal["halves", "first_images"] = option(
        "halves", "Anchors and positives: rows i and i + B/2, or the first two images of each identity."
    )

    def traits(self) -> LossTraits:
        """Return what the loss is made for: no halves where it looks for the first two images of each identity."""
        needs = self.needs if self.pairs == "halves" else replace(self.needs, halves=None)
        return LossTraits(self.distance, needs, self.xla)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        function = npairs if self.pairs == "halves" else npairs_of_first_images
        return lambda labels, embeddings: function(labels, normalized(embeddings, when=self.normalize), self.reg_lambda)
