"""Contrastive loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import Pairs, nonzero_mean, normalized, pair_distances

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

Mean = Literal["pairs", "costly"]


def contrastive(
    distances: tf.Tensor,
    similar: tf.Tensor,
    different: tf.Tensor,
    margin: float,
    *,
    pos_margin: float = 0.0,
    power: int = 2,
    mean: Mean = "pairs",
) -> tf.Tensor:
    """Contrastive loss: ``mean over pairs of s max(d - pos_margin, 0)^power + (1 - s) max(margin - d, 0)^power``.

    ``d`` is the distance of a pair, and ``s = 1`` where it shows one identity, else 0.

    Args:
        distances: float32, any shape.
        similar: float32, the same shape: 1 for a similar pair, else 0.
        different: float32, the same shape: 1 for a different pair; both are 0 where an entry is no pair.
        margin: Distance beyond which a different pair costs nothing.
        pos_margin: Distance up to which a similar pair costs nothing.
        power: 1 or 2.
        mean: ``"pairs"``: over all pairs. ``"costly"``: over the similar pairs that cost something, plus that over the
            different ones.

    Returns:
        float32 scalar; 0 for a batch without pairs.
    """
    import tensorflow as tf

    pull, push = tf.maximum(distances - pos_margin, 0.0), tf.maximum(margin - distances, 0.0)
    if power == 2:
        pull, push = tf.square(pull), tf.square(push)
    if mean == "costly":
        return nonzero_mean(pull, similar > 0) + nonzero_mean(push, different > 0)
    total = tf.reduce_sum(similar * pull + different * push)
    return tf.math.divide_no_nan(total, tf.reduce_sum(similar + different))


class Contrastive(LossPlugin):
    """Contrastive loss: pulls similar pairs together, pushes different pairs beyond a margin.

    pytorch-metric-learning's convention is ``normalize = true, power = 1, mean = "costly"``, with its ``neg_margin``
    here ``margin``; with its cosines, ``measure = "cosine"`` and both margins taken from 1.
    """

    reference: ClassVar[str] = (
        "R. Hadsell, S. Chopra, Y. LeCun: Dimensionality reduction by learning an invariant mapping. CVPR 2006"
    )
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)
    suggested: ClassVar[bool] = True

    # Embeddings are not normalised: how long they are depends on the trunk.
    margin: float = option(
        1.0,
        "Distance beyond which a different pair costs nothing.",
        unit="distance",
        gt=0,
        search={"low": 0.1, "high": 100.0, "log": True},
    )
    pairs: Pairs = option("all", "Pairs of a batch: every i < j, or rows i and i + B/2.")
    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")
    measure: Distance = option("euclidean", "Distance of a pair: Euclidean, or 1 minus the cosine.")
    pos_margin: float = option(0.0, "Distance up to which a similar pair costs nothing.", unit="distance", ge=0)
    power: Literal[1, 2] = option(2, "1: costs are distances; 2: their squares.")
    mean: Mean = option("pairs", "Mean over all pairs, or of both kinds apart over those that cost something.")
    far_similar: float = option(0.0, "Only similar pairs further apart than this are used.", unit="distance", ge=0)
    near_different: float | None = option(
        None, "Only different pairs nearer than this are used; if not given, all.", unit="distance", gt=0
    )

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises, halves of both kinds where it uses halves."""
        return pair_traits(self, normalize=self.normalize or self.measure == "cosine", halves=self.pairs == "halves")

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        import tensorflow as tf

        options = self.model_dump(include={"margin", "pos_margin", "power", "mean"})
        of_cosines = self.measure == "cosine"

        def loss(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
            x = normalized(embeddings, when=self.normalize or of_cosines)
            distances, similar, different = pair_distances(labels, x, self.pairs)
            if of_cosines:
                distances = 0.5 * tf.square(distances)
            # Pairs are left out, not taken in, so that what is not a number stays.
            if self.far_similar > 0:
                similar = tf.where(distances <= self.far_similar, 0.0, similar)
            if self.near_different is not None:
                different = tf.where(distances >= self.near_different, 0.0, different)
            return contrastive(distances, similar, different, **options)

        return loss
