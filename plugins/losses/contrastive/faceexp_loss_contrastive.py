"""Contrastive loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import Pairs, normalized, pair_distances

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def contrastive(labels: tf.Tensor, embeddings: tf.Tensor, margin: float, pairs: Pairs) -> tf.Tensor:
    """Contrastive loss: ``mean over pairs of s d^2 + (1 - s) max(margin - d, 0)^2``.

    ``d = ||x_i - x_j||``, and ``s = 1`` where i and j show the same identity, else 0.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        margin: Distance beyond which a different pair costs nothing.
        pairs: ``"all"``: every pair i < j; ``"halves"``: rows i and i + B/2.

    Returns:
        float32 scalar; 0 for a batch without pairs.
    """
    import tensorflow as tf

    distances, similar, different = pair_distances(labels, embeddings, pairs)
    terms = similar * tf.square(distances) + different * tf.square(tf.maximum(margin - distances, 0.0))
    return tf.math.divide_no_nan(tf.reduce_sum(terms), tf.reduce_sum(similar + different))


class Contrastive(LossPlugin):
    """Contrastive loss: pulls similar pairs together, pushes different pairs beyond a margin."""

    reference: ClassVar[str] = (
        "R. Hadsell, S. Chopra, Y. LeCun: Dimensionality reduction by learning an invariant mapping. CVPR 2006"
    )
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)
    suggested: ClassVar[bool] = True

    margin: float = option(1.0, "Distance beyond which a different pair costs nothing.", unit="distance", gt=0)
    pairs: Pairs = option("all", "Pairs of a batch: every i < j, or rows i and i + B/2.")
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises, halves of both kinds where it uses halves."""
        return pair_traits(self, normalize=self.normalize, halves=self.pairs == "halves")

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: contrastive(
            labels, normalized(embeddings, when=self.normalize), self.margin, self.pairs
        )
