"""Margin loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import masked_logsumexp, pair_masks, pairwise_distances, sum_over_positives, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def margin_of_all(labels: tf.Tensor, excess: tf.Tensor, margin: float) -> tf.Tensor:
    """Margin loss of all triplets: mean of ``max(e_ap + margin, 0)`` and ``max(margin - e_an, 0)``.

    The sum runs over triplets (a, p, n), two terms each, and is divided by the number of terms that are not 0.

    Args:
        labels: int32 (B,).
        excess: float32 (B, B), e: distances, less the one that is to divide similar from different pairs.
        margin: By how much it is to divide them.

    Returns:
        float32 scalar; 0 for a batch without triplets.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    positives, negatives = (tf.reduce_sum(tf.cast(mask, tf.float32), 1, keepdims=True) for mask in (similar, different))
    pull, push = tf.nn.relu(excess + margin), tf.nn.relu(margin - excess)
    # A similar pair stands in as many triplets as its anchor has negatives, and the other way round.
    pulls, pushes = tf.where(similar, negatives, 0.0), tf.where(different, positives, 0.0)
    total = tf.reduce_sum(pulls * pull + pushes * push)
    count = tf.reduce_sum(tf.where(pull <= 0, 0.0, pulls) + tf.where(push <= 0, 0.0, pushes))
    return tf.math.divide_no_nan(total, count)


def margin_of_drawn(
    labels: tf.Tensor, excess: tf.Tensor, margin: float, chances: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """As :func:`margin_of_all`, with one negative drawn for each similar pair (a, p).

    Args:
        labels: int32 (B,).
        excess: float32 (B, B).
        margin: As there.
        chances: float32 (B, B), of each row to be drawn for an anchor, up to a factor; 0 for its own identity.
        seed: int32 (2,).
    """
    import tensorflow as tf

    reached = tf.cumsum(chances, axis=1)
    # Fractions come of whole numbers because XLA and TensorFlow, alike in these, draw fractions in different ways.
    fractions = tf.random.stateless_uniform(tf.shape(excess), seed, 0, 2**23, tf.int32, alg="philox")
    aims = reached[:, -1:] * tf.cast(fractions, tf.float32) * 2.0**-23

    def costs(excess: tf.Tensor, positives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        passed = reached <= tf.gather(aims, positives, batch_dims=1)[:, None]
        drawn = tf.minimum(tf.reduce_sum(tf.cast(passed, tf.int32), axis=1), tf.shape(excess)[1] - 1)
        e_ap, e_an = (tf.gather(excess, other, batch_dims=1)[:, None] for other in (positives, drawn))
        violations = tf.concat([margin + e_ap, margin - e_an], axis=1)
        possible = tf.gather(chances, drawn, batch_dims=1)[:, None] > 0
        return violations, tf.logical_and(possible, tf.logical_not(violations <= 0))

    return tf.math.divide_no_nan(*sum_over_positives(labels, excess, costs))


def chances_by_distance(
    labels: tf.Tensor, distances: tf.Tensor, dimensions: tf.Tensor, cutoff: float, nonzero_loss_cutoff: float
) -> tf.Tensor:
    """Chances of negatives inverse to how many there are at their distance, so that all distances are drawn alike.

    This is section 4 of the paper. Points on a sphere in D dimensions are at distance d from each other with density
    ``q(d) = d^(D-2) (1 - d^2/4)^((D-3)/2)``.

    Args:
        labels: int32 (B,).
        distances: float32 (B, B), between rows of length 1.
        dimensions: int32 scalar, D.
        cutoff: Smaller distances count as this one.
        nonzero_loss_cutoff: Negatives at this distance or beyond are not drawn; where an anchor has no others, all
            are as likely.

    Returns:
        float32 (B, B), rows sum to 1; all 0 in a batch of one identity.
    """
    import tensorflow as tf

    _, different = pair_masks(labels)
    near = different & (distances < nonzero_loss_cutoff)
    d, dim = tf.clip_by_value(distances, cutoff, nonzero_loss_cutoff), tf.cast(dimensions, tf.float32)
    log_density = (dim - 2.0) * tf.math.log(d) + 0.5 * (dim - 3.0) * tf.math.log(1.0 - 0.25 * tf.square(d))
    some = tf.reduce_any(near, axis=1, keepdims=True)
    mask, logits = tf.where(some, near, different), tf.where(some, -log_density, 0.0)
    return tf.where(mask, tf.exp(logits - masked_logsumexp(logits, mask)[:, None]), 0.0)


class Margin(LossPlugin):
    """Margin loss: similar pairs within a distance, different pairs beyond it, by a margin either way.

    Embeddings are divided by their L2 norm inside. The paper samples negatives by distance; the default is all
    triplets, as in the reference implementation. Which negatives are drawn follows from ``ctx.seed`` and from a count
    of calls, both of them weights of the layer.
    """

    reference: ClassVar[str] = (
        "C.-Y. Wu, R. Manmatha, A. J. Smola, P. Kraehenbuehl: Sampling matters in deep embedding learning. ICCV 2017"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    margin: float = option(
        0.2,
        "By how much pairs shall be within or beyond beta.",
        unit="distance",
        ge=0,
        search={"low": 0.05, "high": 0.5},
    )
    nu: float = option(0.0, "Weight of beta in the loss, where it is learned.", ge=0)
    beta: float = option(
        1.2,
        "Distance between similar and different pairs, or its first value.",
        unit="distance",
        gt=0,
        search={"low": 0.6, "high": 1.6},
    )
    learn_beta: bool = option(default=False, description="Train beta along with the embedding.")
    sampling: Literal["all", "distance_weighted"] = option(
        "all", "Negatives of a similar pair: all, or one drawn by its distance."
    )
    cutoff: float = option(0.5, "Sampling counts smaller distances as this one.", unit="distance", gt=0, lt=2)
    nonzero_loss_cutoff: float = option(1.4, "Sampling leaves out greater distances.", unit="distance", gt=0, lt=2)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer ``(labels, embeddings) -> scalar`` with beta, and the seed and the step of sampling."""
        import tensorflow as tf

        keras: Any = tf.keras
        options = self

        class MarginLayer(keras.layers.Layer):  # type: ignore[misc]  # a class of no known type
            def __init__(self) -> None:
                super().__init__(dtype="float32")
                given = keras.initializers.Constant(options.beta)
                self.beta = self.add_weight(name="beta", shape=(1,), initializer=given, trainable=options.learn_beta)
                if options.sampling == "distance_weighted":
                    self.random = self.add_weight(name="random", shape=(2,), dtype="int32", trainable=False)
                    self.random.assign([ctx.seed % 2**31, 0])
                self.built = True

            def call(self, labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
                distances = pairwise_distances(unit_rows(embeddings))
                beta = tf.convert_to_tensor(self.beta)[0]
                if options.sampling == "all":
                    loss = margin_of_all(labels, distances - beta, options.margin)
                else:
                    cutoffs = options.cutoff, options.nonzero_loss_cutoff
                    chances = chances_by_distance(labels, distances, tf.shape(embeddings)[1], *cutoffs)
                    seed = tf.convert_to_tensor(self.random)
                    self.random.assign(seed + tf.constant([0, 1]))
                    loss = margin_of_drawn(labels, distances - beta, options.margin, chances, seed)
                similar, different = (tf.reduce_any(mask) for mask in pair_masks(labels))
                return loss + tf.where(options.learn_beta & similar & different, options.nu * beta, 0.0)

        return MarginLayer()
