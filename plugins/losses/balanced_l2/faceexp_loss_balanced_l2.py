"""Balanced L2 loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import Pairs, normalized, pair_distances

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def balanced_l2(labels: tf.Tensor, embeddings: tf.Tensor, threshold: float, pairs: Pairs) -> tf.Tensor:
    """Balanced L2 loss: ``0.5 (mean over similar pairs of d + mean over different pairs of max(threshold - d, 0))``.

    ``d = ||x_i - x_j||``. The two kinds of pairs weigh the same, however many there are of each.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        threshold: Distance beyond which a different pair costs nothing.
        pairs: ``"all"``: every pair i < j; ``"halves"``: rows i and i + B/2.

    Returns:
        float32 scalar; a kind of which the batch holds no pair contributes 0.
    """
    import tensorflow as tf

    distances, similar, different = pair_distances(labels, embeddings, pairs)
    pull = tf.reduce_sum(similar * distances)
    push = tf.reduce_sum(different * tf.maximum(threshold - distances, 0.0))
    mean_pull = tf.math.divide_no_nan(pull, tf.reduce_sum(similar))
    mean_push = tf.math.divide_no_nan(push, tf.reduce_sum(different))
    return 0.5 * (mean_pull + mean_push)


class BalancedL2(LossPlugin):
    """Balanced L2 loss: mean distance of similar pairs and mean shortfall of different ones, weighted equally."""

    reference: ClassVar[str] = "the study of 2018 that faceexp generalises, there called balanced L2"
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    # Embeddings are not normalised: how long they are depends on the trunk.
    threshold: float = option(
        10.0,
        "Distance beyond which a different pair costs nothing.",
        unit="distance",
        gt=0,
        search={"low": 0.1, "high": 100.0, "log": True},
    )
    pairs: Pairs = option("all", "Pairs of a batch: every i < j, or rows i and i + B/2.")
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises, halves of both kinds where it uses halves."""
        return pair_traits(self, normalize=self.normalize, halves=self.pairs == "halves")

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: balanced_l2(
            labels, normalized(embeddings, when=self.normalize), self.threshold, self.pairs
        )
