"""Losses of tensorflow-similarity as faceexp plugins: the library's own code, made to train here.

The library means its losses to be compiled by ``keras.Model.fit`` with AutoGraph, on embeddings that its own layer
normalised. What all of them need to run elsewhere stands once, in :class:`TfsimLoss`; the losses add their options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from faceexp.contract import BatchNeeds, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.quiet import silence
from faceexp.tensors import as_float32, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

# The library's names and their aliases, but for its inner product, which is no distance.
LibraryDistance = Literal["cosine", "euclidean", "l2", "squared_euclidean", "sql2", "manhattan", "l1", "snr"]
Positive = Literal["hard", "easy"]
Negative = Literal["hard", "semi-hard", "easy"]

_DISTANCE = "Distance between rows; 'manhattan', 'l1' and 'snr' take B B D numbers of memory."


def without_infinite_gradients(x: tf.Tensor) -> tf.Tensor:
    """Return x; where a gradient that flows back to it is not finite, zero flows on."""
    import tensorflow as tf

    def backward(gradient: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.math.is_finite(gradient), gradient, 0.0)

    shielded: tf.Tensor = tf.custom_gradient(lambda here: (tf.identity(here), backward))(x)
    return shielded


class TfsimLoss(LossPlugin):
    """A loss of tensorflow-similarity: the mean over rows of what the library gives each row.

    A row that the library cannot evaluate, because an exponential over- or underflows, counts 0 and has no gradient.
    That happens only to rows that are far from normalised, or with extreme options. Where an embedding itself is not
    finite, neither is the loss.
    """

    library_class: ClassVar[str]
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    # The library's option has the name of the contract's class variable: an instance has the one, its class the other.
    distance: LibraryDistance = option("cosine", _DISTANCE)  # type: ignore[assignment, misc]
    normalize: bool = option(default=True, description="Divide embeddings by their L2 norm first.")

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Say at each loss what it is made for by default; pydantic has taken the attribute for the option."""
        if "library_class" in cls.__dict__:
            cls.distance = "cosine"

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises or measures the angle itself."""
        return pair_traits(self, normalize=self.normalize or self.distance == "cosine")

    def adapt(self, distances: tf.Tensor) -> tf.Tensor:
        """Return the distances (B, B) as the loss shall see them."""
        return distances

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        import tensorflow as tf

        with silence():
            from tensorflow_similarity import distances, losses

        class Adapted(distances.Distance):  # type: ignore[misc] # the library has no types
            """The chosen distance, such that one row without a gradient does not spoil those of all others."""

            def call(adapted, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:  # noqa: N805 - self is the plugin
                return self.adapt(without_infinite_gradients(measure(queries, keys)))

        measure = distances.distance_canonicalizer(self.distance)
        options: dict[str, Any] = self.model_dump(exclude={"normalize"})
        options["distance"] = Adapted(measure.name, measure.aliases)
        loss = getattr(losses, self.library_class)(reduction="sum_over_batch_size", **options)
        # The library's functions hold Python ifs over tensors, and whoever calls this may compile without AutoGraph.
        rows_of = tf.autograph.to_graph(losses.MetricLoss.call)

        def mean_over_rows(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
            embeddings = as_float32(embeddings)
            x = without_infinite_gradients(unit_rows(embeddings) if self.normalize else embeddings)
            # Labels are a column: given a vector the library chooses between two shapes, which XLA does not compile.
            rows = rows_of(loss, labels[:, None], x)
            mean = tf.reduce_mean(tf.where(tf.math.is_finite(rows), rows, 0.0))
            return tf.where(tf.reduce_all(tf.math.is_finite(embeddings)), mean, float("nan"))

        return mean_over_rows


class TfsimMultiSimilarity(TfsimLoss):
    """Multi-similarity loss of tensorflow-similarity: mines hard pairs and weights them by relative similarity.

    Embeddings are normalised, unless told otherwise.
    """

    library_class: ClassVar[str] = "MultiSimilarityLoss"
    reference: ClassVar[str] = (
        "X. Wang, X. Han, W. Huang, D. Dong, M. R. Scott: Multi-similarity loss with general pair weighting for deep "
        "metric learning. CVPR 2019"
    )

    alpha: float = option(
        2.0, "Exponential weight of similar pairs.", gt=0, search={"low": 0.1, "high": 50.0, "log": True}
    )
    beta: float = option(
        40.0, "Exponential weight of different pairs.", gt=0, search={"low": 1.0, "high": 100.0, "log": True}
    )
    epsilon: float = option(
        0.1, "How much easier than the hardest opposite a mined pair may be.", unit="distance", ge=0
    )
    lmda: float = option(
        0.5,
        "Distance, counted from 1 - center, that divides near from far.",
        unit="distance",
        search={"low": 0.0, "high": 1.0},
    )
    center: float = option(1.0, "Distance to expect of a pair.", unit="distance", ge=0)


class TfsimCircle(TfsimLoss):
    """Circle loss of tensorflow-similarity: weights each pair by how far it is from its optimum.

    Embeddings are normalised, unless told otherwise. The library differentiates the weights too; the paper does not.
    """

    library_class: ClassVar[str] = "CircleLoss"
    reference: ClassVar[str] = (
        "Y. Sun, C. Cheng, Y. Zhang, C. Zhang, L. Zheng, Z. Wang, Y. Wei: Circle loss: a unified perspective of pair "
        "similarity optimization. CVPR 2020"
    )

    gamma: float = option(80.0, "Scale of the exponents.", gt=0, search={"low": 16.0, "high": 512.0, "log": True})
    margin: float = option(
        0.4,
        "Distance below which similar pairs, and beyond 1 - which different, are fine.",
        unit="distance",
        ge=0,
        search={"low": 0.1, "high": 0.6},
    )


class TfsimMinedLoss(TfsimLoss):
    """A loss of one mined similar and one mined different row for each row."""

    positive_mining_strategy: Positive = option(
        "hard", "Similar row to take: the farthest, or the nearest.", search=["hard", "easy"]
    )
    negative_mining_strategy: Negative = option(
        "semi-hard",
        "Different row to take: the nearest, the nearest beyond the farthest similar one, or the farthest.",
        search=["semi-hard", "hard"],
    )
    margin: float | None = option(
        None,
        "How much farther the different row shall be; left out: the soft margin log(1 + exp).",
        unit="distance",
        ge=0,
    )


class TfsimTriplet(TfsimMinedLoss):
    """Triplet loss of tensorflow-similarity: each row's similar row shall be nearer than its different one.

    Embeddings are normalised, unless told otherwise. A batch without similar or without different pairs gives numbers
    that mean nothing: the library takes excluded pairs then.
    """

    library_class: ClassVar[str] = "TripletLoss"
    reference: ClassVar[str] = (
        "F. Schroff, D. Kalenichenko, J. Philbin: FaceNet: a unified embedding for face recognition and clustering. "
        "CVPR 2015"
    )


class TfsimPN(TfsimMinedLoss):
    """Positive-negative loss of tensorflow-similarity: a triplet loss that parts the similar row and the different too.

    Embeddings are normalised, unless told otherwise. A batch without similar or without different pairs gives numbers
    that mean nothing: the library takes excluded pairs then.
    """

    library_class: ClassVar[str] = "PNLoss"
    reference: ClassVar[str] = (
        "B. Szubert, J. E. Cole, C. Monaco, I. Drozdov: Structure-preserving visualisation of high dimensional "
        "single-cell datasets. Scientific Reports 9, 2019"
    )


class TfsimSoftNearestNeighbor(TfsimLoss):
    """Soft nearest neighbour loss of tensorflow-similarity: a random near neighbour shall show the same identity.

    Embeddings are normalised, unless told otherwise; the library alone does not.
    """

    library_class: ClassVar[str] = "SoftNearestNeighborLoss"
    reference: ClassVar[str] = (
        "N. Frosst, N. Papernot, G. Hinton: Analyzing and improving representations with the soft nearest neighbor "
        "loss. ICML 2019"
    )

    distance: LibraryDistance = option("sql2", _DISTANCE)  # type: ignore[misc]
    temperature: float = option(
        1.0, "Distance that counts as near.", unit="distance", gt=0, search={"low": 0.01, "high": 10.0, "log": True}
    )

    def adapt(self, distances: tf.Tensor) -> tf.Tensor:
        """Count distances from each row's nearest other row: the same quotients of exponentials, none of them 0 / 0."""
        import tensorflow as tf

        # By a mask: XLA does not compile the gradient of tf.linalg.set_diag where the size of batches is unknown.
        row = tf.range(tf.shape(distances)[0])
        diagonal = row[:, None] == row[None, :]
        others = tf.where(diagonal, distances.dtype.max, distances)
        nearest = tf.stop_gradient(tf.reduce_min(others, axis=1, keepdims=True))
        return tf.where(diagonal, 0.0, distances - nearest)
