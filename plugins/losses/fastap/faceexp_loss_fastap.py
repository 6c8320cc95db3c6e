"""FastAP loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import masked_mean, pair_masks, squared_distances, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def fastap(labels: tf.Tensor, embeddings: tf.Tensor, num_bins: int) -> tf.Tensor:
    """FastAP loss: ``mean_i (1 - AP_i)``, with average precision from soft histograms of squared distances.

    ``AP_i = 1/P_i sum_k h_k H_k / A_k``, where h counts the P_i positives of row i in bin k, H those in bins up to k,
    and A all other rows in bins up to k. The ``num_bins + 1`` bins are triangles around ``0 .. 4``, in which the
    squared distances of normalised embeddings lie; a distance counts in the two bins next to it, by how near they
    are. The mean is over rows that have a positive.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        num_bins: Number of steps from 0 to 4.

    Returns:
        float32 scalar; 0 for a batch without positives.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    steps = squared_distances(unit_rows(embeddings)) * (num_bins / 4)
    positives, others = [], []
    for number in range(num_bins + 1):
        pulses = tf.maximum(1.0 - tf.abs(steps - number), 0.0)
        positives.append(tf.reduce_sum(tf.where(similar, pulses, 0.0), axis=1))
        others.append(tf.reduce_sum(tf.where(different, pulses, 0.0), axis=1))
    counts = tf.stack(positives, axis=1)
    up_to, all_up_to = tf.cumsum(counts, axis=1), tf.cumsum(counts + tf.stack(others, axis=1), axis=1)
    sums = tf.reduce_sum(tf.math.divide_no_nan(counts * up_to, all_up_to), axis=1)
    total = tf.reduce_sum(tf.cast(similar, tf.float32), axis=1)
    return masked_mean(1.0 - tf.math.divide_no_nan(sums, total), total > 0)


class FastAP(LossPlugin):
    """FastAP loss: one minus average precision, made differentiable by histograms of distances.

    Embeddings are normalised inside.
    """

    reference: ClassVar[str] = "F. Cakir, K. He, X. Xia, B. Kulis, S. Sclaroff: Deep metric learning to rank. CVPR 2019"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    num_bins: int = option(
        10, "Steps of the histograms.", unit="bins", ge=1, le=100, search={"low": 4, "high": 64, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: fastap(labels, embeddings, self.num_bins)
