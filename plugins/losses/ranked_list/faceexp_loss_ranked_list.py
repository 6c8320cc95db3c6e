"""Ranked list loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import pair_masks, pairwise_distances, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def weighted_mean(costs: tf.Tensor, mask: tf.Tensor, temperature: float) -> tf.Tensor:
    """Mean of each row's costs, weighted by ``exp(temperature cost)``; 0 for a row whose costs are all zero.

    As in pytorch-metric-learning, 1e-5 for each row of the batch is added to the sum of the weights.

    Args:
        costs: float32 (B, B), at least 0.
        mask: bool (B, B), which of them are meant; those that are zero do not count.
        temperature: 0 weighs all alike.

    Returns:
        float32 (B,).
    """
    import tensorflow as tf

    chosen = mask & (costs != 0)
    exponents = tf.where(chosen, temperature * costs, -1e30)
    added = tf.fill([tf.shape(costs)[0], 1], tf.math.log(1e-5 * tf.cast(tf.shape(costs)[0], tf.float32)))
    weights = tf.nn.softmax(tf.concat([exponents, added], axis=1), axis=1)[:, :-1]
    return tf.reduce_sum(tf.where(chosen, weights * costs, 0.0), axis=1)


def ranked_list(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    alpha: float,
    margin: float,
    imbalance: float,
    temperatures: tuple[float, float],
) -> tf.Tensor:
    """Ranked list loss: ``mean_i ((1 - imbalance) P_i + imbalance N_i)``.

    ``P_i`` is the weighted mean of ``d_ip - (alpha - margin)`` over the positives p of row i that are further away than
    ``alpha - margin``, with weights ``exp(Tp (d_ip - (alpha - margin)))``; ``N_i`` that of ``alpha - d_in`` over its
    negatives n nearer than alpha, with weights ``exp(Tn (alpha - d_in))``. ``d`` is the Euclidean distance of
    normalised embeddings. The weights are part of what is differentiated.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        alpha: Distance beyond which a negative costs nothing.
        margin: Positives cost nothing within ``alpha - margin``.
        imbalance: Share of the negatives.
        temperatures: Tp and Tn.

    Returns:
        float32 scalar, the mean over all rows.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    distances = pairwise_distances(unit_rows(embeddings))
    pull = weighted_mean(tf.nn.relu(distances - (alpha - margin)), similar, temperatures[0])
    push = weighted_mean(tf.nn.relu(alpha - distances), different, temperatures[1])
    return tf.reduce_mean((1.0 - imbalance) * pull + imbalance * push)


class RankedList(LossPlugin):
    """Ranked list loss: all positives of a row within a sphere, all negatives outside a larger one, hard ones first.

    Embeddings are normalised inside. The defaults are the paper's simpler form, RLL-S: positives weigh the same.
    """

    reference: ClassVar[str] = (
        "X. Wang, Y. Hua, E. Kodirov, G. Hu, R. Garnier, N. M. Robertson: Ranked list loss for deep metric learning. "
        "CVPR 2019"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    margin: float = option(
        0.4,
        "How much nearer than alpha positives have to be.",
        unit="distance",
        ge=0,
        le=2,
        search={"low": 0.1, "high": 1.0},
    )
    alpha: float | None = option(
        None, "Distance beyond which a negative costs nothing; if not given, 1 + margin / 2.", unit="distance", gt=0
    )
    imbalance: float = option(0.5, "Share of the negatives in the loss.", ge=0, le=1, search={"low": 0.2, "high": 0.8})
    Tn: float = option(
        10.0,
        "Exponent by which near negatives weigh more.",
        unit="1 / distance",
        ge=0,
        search={"low": 1.0, "high": 50.0, "log": True},
    )
    Tp: float = option(0.0, "Exponent by which far positives weigh more.", unit="1 / distance", ge=0)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        alpha = 1 + self.margin / 2 if self.alpha is None else self.alpha
        return lambda labels, embeddings: ranked_list(
            labels, embeddings, alpha, self.margin, self.imbalance, (self.Tp, self.Tn)
        )
