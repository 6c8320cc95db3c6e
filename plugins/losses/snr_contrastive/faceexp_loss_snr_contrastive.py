"""Signal-to-noise-ratio contrastive loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import as_float32, nonzero_mean, pair_masks, squared_distances, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def snr_distances(x: tf.Tensor) -> tf.Tensor:
    """Noise-to-signal ratio of each row for each anchor: ``d_ij = var(x_i - x_j) / var(x_i)``, variances over columns.

    Args:
        x: float32 (B, D).

    Returns:
        float32 (B, B); 0 for an anchor whose numbers are all equal, up to rounding (where the reference is infinite).
    """
    import tensorflow as tf

    centered = x - tf.reduce_mean(x, axis=1, keepdims=True)
    power = tf.reduce_sum(tf.square(centered), axis=1, keepdims=True)
    power = tf.where(power <= 1e-12 * tf.reduce_sum(tf.square(x), axis=1, keepdims=True), 0.0, power)
    return tf.math.divide_no_nan(squared_distances(centered), power)


def snr_contrastive(labels: tf.Tensor, embeddings: tf.Tensor, pos_margin: float, neg_margin: float) -> tf.Tensor:
    """Contrastive loss in SNR distances: ``mean of max(d_ip - pos_margin, 0) + mean of max(neg_margin - d_in, 0)``.

    The means are over ordered pairs i, p of one identity and i, n of two, and over what is above zero alone.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        pos_margin: Distance up to which a similar pair costs nothing.
        neg_margin: Distance beyond which a different pair costs nothing.

    Returns:
        float32 scalar; a kind of which no pair is above zero contributes 0.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    distances = snr_distances(embeddings)
    pull, push = tf.maximum(distances - pos_margin, 0.0), tf.maximum(neg_margin - distances, 0.0)
    return nonzero_mean(pull, similar) + nonzero_mean(push, different)


class SNRContrastive(LossPlugin):
    """Contrastive loss in signal-to-noise-ratio distances: a difference's variance, relative to the anchor's.

    Embeddings are normalised inside unless ``normalize`` is false.
    """

    reference: ClassVar[str] = (
        "T. Yuan, W. Deng, J. Tang, Y. Tang, B. Chen: Signal-to-noise ratio: a robust distance metric for deep metric "
        "learning. CVPR 2019"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    pos_margin: float = option(
        0.0,
        "SNR distance up to which a similar pair costs nothing.",
        unit="SNR distance",
        ge=0,
        search={"low": 0.0, "high": 0.5},
    )
    neg_margin: float = option(
        1.0,
        "SNR distance beyond which a different pair costs nothing.",
        unit="SNR distance",
        ge=0,
        search={"low": 0.1, "high": 2.0},
    )
    normalize: bool = option(default=True, description="Divide embeddings by their L2 norm first.")
    embedding_reg_weight: float = option(
        0.0, "Weight of ``mean_i |sum of the numbers of x_i|``, the mean's distance from 0.", ge=0
    )

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises."""
        return pair_traits(self, normalize=self.normalize)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        import tensorflow as tf

        def loss(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
            embeddings = as_float32(embeddings)
            x = unit_rows(embeddings) if self.normalize else embeddings
            off_center = tf.reduce_mean(tf.abs(tf.reduce_sum(embeddings, axis=1)))
            terms = snr_contrastive(labels, x, self.pos_margin, self.neg_margin)
            return terms + self.embedding_reg_weight * off_center

        return loss
