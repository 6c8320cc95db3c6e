"""Triplet margin loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, LossTraits, option, pair_traits
from faceexp.tensors import (
    masked_mean,
    pair_masks,
    pairwise_distances,
    squared_distances,
    sum_over_positives,
    unit_rows,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

Miner = Literal["none", "batch_hard", "semihard", "hard"]


def triplet_margin(
    labels: tf.Tensor,
    distances: tf.Tensor,
    margin: float,
    *,
    swap: bool = False,
    smooth_loss: bool = False,
    miner: Miner = "none",
    miner_margin: float = 0.2,
) -> tf.Tensor:
    """Triplet margin loss: mean over triplets (a, p, n) of ``max(d_ap - d_an + margin, 0)``, those that cost something.

    Anchor a and positive p are any two rows of one identity, in this order, the negative n a row of another one.

    Args:
        labels: int32 (B,).
        distances: float32 (B, B), d.
        margin: By how much a negative shall be further away than a positive.
        swap: Take ``min(d_an, d_pn)`` for ``d_an``: the negative's distance to the nearer of anchor and positive.
        smooth_loss: ``log(1 + exp(d_ap - d_an + margin))`` instead of the hinge.
        miner: Which triplets: all (``"none"``); of every anchor the furthest positive with the nearest negative
            (``"batch_hard"``); those with ``d_an <= d_ap`` (``"hard"``), or with
            ``d_ap < d_an <= d_ap + miner_margin`` (``"semihard"``).
        miner_margin: As ``miner`` says.

    Returns:
        float32 scalar; 0 for a batch without triplets, or where none costs anything.

    Time is O(B^2) times the images of the largest identity, the number of triplets at most; memory is O(B^2).
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)

    def costs(d: tf.Tensor, positives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        d_ap = tf.gather(d, positives, batch_dims=1)[:, None]
        if miner == "batch_hard":
            nearest = tf.argmin(tf.where(different, d, float("inf")), axis=1, output_type=tf.int32)
            mined = tf.range(tf.shape(d)[1])[None, :] == nearest[:, None]
        else:
            # Triplets are left out, not taken in, so that what is not a number stays.
            out = {"none": d < 0, "hard": d > d_ap, "semihard": (d <= d_ap) | (d > d_ap + miner_margin)}[miner]
            mined = tf.logical_not(out)
        d_an = tf.minimum(d, tf.gather(d, positives)) if swap else d
        violations = d_ap - d_an + margin
        terms = tf.math.softplus(violations) if smooth_loss else tf.nn.relu(violations)
        return terms, different & mined & tf.logical_not(terms <= 0)

    if miner == "batch_hard":
        furthest = tf.argmax(tf.where(similar, distances, -1.0), axis=1, output_type=tf.int32)
        terms, chosen = costs(distances, furthest)
        return masked_mean(terms, chosen & tf.reduce_any(similar, axis=1, keepdims=True))
    return tf.math.divide_no_nan(*sum_over_positives(labels, distances, costs))


class TripletMargin(LossPlugin):
    """Triplet margin loss: a negative shall be further from an anchor than a positive is, by a margin.

    Embeddings are divided by their L2 norm inside, unless ``normalize`` is off. The miner measures the same distances
    as the loss.
    """

    reference: ClassVar[str] = (
        "A. Hermans, L. Beyer, B. Leibe: In defense of the triplet loss for person re-identification. 2017 (batch "
        "hard, smooth, mean of what is not zero); F. Schroff, D. Kalenichenko, J. Philbin: FaceNet: a unified "
        "embedding for face recognition and clustering. CVPR 2015 (semi-hard); V. Balntas, E. Riba, D. Ponsa, "
        "K. Mikolajczyk: Learning local feature descriptors with triplets. BMVC 2016 (swap)"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)
    suggested: ClassVar[bool] = True

    margin: float = option(
        0.05,
        "By how much a negative shall be further away than a positive.",
        unit="distance to the power",
        ge=0,
        search={"low": 0.01, "high": 1.0, "log": True},
    )
    swap: bool = option(default=False, description="Measure a negative from the nearer of anchor and positive.")
    smooth_loss: bool = option(default=False, description="A softplus instead of the hinge.")
    power: Literal[1, 2] = option(1, "1: distances; 2: squared distances.")
    normalize: bool = option(default=True, description="Divide embeddings by their L2 norm first.")
    miner: Miner = option(
        "none",
        "Which triplets: all, the hardest of each anchor, semi-hard ones, or hard ones.",
        search=["none", "batch_hard", "semihard", "hard"],
    )
    miner_margin: float = option(
        0.2, "How much further than the positive a semi-hard negative is at most.", unit="distance to the power", gt=0
    )

    def traits(self) -> LossTraits:
        """Return what the loss is made for: cosine where it normalises."""
        return pair_traits(self, normalize=self.normalize)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        measure = pairwise_distances if self.power == 1 else squared_distances
        options = self.model_dump(exclude={"power", "normalize"})

        def loss(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
            x = unit_rows(embeddings) if self.normalize else embeddings
            return triplet_margin(labels, measure(x), **options)

        return loss
