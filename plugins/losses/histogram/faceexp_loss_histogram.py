"""Histogram loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def density(cosines: tf.Tensor, mask: tf.Tensor, n_bins: int) -> tf.Tensor:
    """Histogram of the cosines of a mask, which sums up to 1: each counts in the two nodes next to it.

    Args:
        cosines: float32, any shape.
        mask: bool, the same shape.
        n_bins: Steps from -1 to 1.

    Returns:
        float32 (n_bins + 1,), zeros where the mask is empty.
    """
    import tensorflow as tf

    place = tf.reshape((cosines + 1.0) * (n_bins / 2), [-1])
    weights = tf.reshape(tf.cast(mask, tf.float32), [-1])
    # A place that is not a number is in some bin all the same, so that it shows.
    node = tf.clip_by_value(tf.cast(tf.floor(place), tf.int32), 0, n_bins - 1)
    upper = tf.where(weights > 0, place - tf.cast(node, tf.float32), 0.0)
    counts = tf.math.unsorted_segment_sum(weights - upper, node, n_bins + 1)
    counts += tf.math.unsorted_segment_sum(upper, node + 1, n_bins + 1)
    return tf.math.divide_no_nan(counts, tf.reduce_sum(weights))


def histogram(labels: tf.Tensor, embeddings: tf.Tensor, n_bins: int) -> tf.Tensor:
    """Histogram loss: ``sum_r h-_r sum_{q <= r} h+_q``, the chance that a different pair is nearer than a similar one.

    ``h+`` and ``h-`` are the histograms of the cosines of similar and of different pairs, see :func:`density`. Of
    different pairs only those count in which one of the two has a positive in the batch.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        n_bins: Steps of the histograms from -1 to 1.

    Returns:
        float32 scalar; 0 for a batch without similar or without different pairs.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    has_positive = tf.reduce_any(similar, axis=1)
    different &= has_positive[:, None] | has_positive[None, :]
    cosines = inner_products(unit_rows(embeddings))
    positives, negatives = density(cosines, similar, n_bins), density(cosines, different, n_bins)
    return tf.reduce_sum(negatives * tf.cumsum(positives))


class Histogram(LossPlugin):
    """Histogram loss: the overlap of the histograms of similar and of different pairs, with nothing to tune but bins.

    Embeddings are normalised inside.
    """

    reference: ClassVar[str] = "E. Ustinova, V. Lempitsky: Learning deep embeddings with histogram loss. NIPS 2016"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    n_bins: int = option(
        100,
        "Steps of the histograms of cosines, from -1 to 1.",
        unit="bins",
        ge=1,
        le=10_000,
        search={"low": 25, "high": 400, "log": True},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: histogram(labels, embeddings, self.n_bins)
