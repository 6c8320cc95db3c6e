"""PNP loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, pair_masks, sum_over_positives, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

Variant = Literal["O", "Iu", "Ib", "Ds", "Dq"]


def penalty(rank: tf.Tensor, variant: Variant, alpha: float, b: float) -> tf.Tensor:
    """What R negatives before a positive cost.

    ``O``: R. ``Iu``: ``(1 + R) log(1 + R)``, and ``Ib``: ``(b R - log(1 + b R)) / b^2``, whose slopes increase with R,
    without bound or within one. ``Ds``: ``log(1 + R)``, and ``Dq``: ``1 - (1 + R)^-alpha``, whose slopes decrease.

    Args:
        rank: R, float32, any shape.
        variant: Which of them.
        alpha: Of ``Dq``.
        b: Of ``Ib``.
    """
    import tensorflow as tf

    logs = tf.math.log1p(rank)
    if variant == "Ib":
        return (b * rank - tf.math.log1p(b * rank)) / b**2
    return {"O": rank, "Iu": (1.0 + rank) * logs, "Ds": logs, "Dq": -tf.math.expm1(-alpha * logs)}[variant]


def pnp(labels: tf.Tensor, embeddings: tf.Tensor, anneal: float, variant: Variant, alpha: float, b: float) -> tf.Tensor:
    """PNP loss: ``mean_i mean_p penalty(R_ip)``, with ``R_ip = sum_n sigmoid((s_in - s_ip) / anneal)``.

    ``s_ij`` is the cosine of embeddings i and j. R counts, smoothly, the negatives n of row i that are nearer to it
    than p; p runs over the rows of i's identity, row i included. The mean is over rows i that have a positive.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        anneal: Width of the sigmoids.
        variant: See :func:`penalty`, as for ``alpha`` and ``b``.
        alpha: Of ``Dq``.
        b: Of ``Ib``.

    Returns:
        float32 scalar; 0 for a batch without positives or without negatives.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    positives = tf.reduce_sum(tf.cast(similar, tf.float32), axis=1)
    share = tf.where(positives > 0, 1.0 / (1.0 + positives), 0.0)[:, None]

    def costs(cosines: tf.Tensor, nearer_to: tf.Tensor) -> tf.Tensor:
        before = tf.where(different, tf.sigmoid((cosines - nearer_to[:, None]) / anneal), 0.0)
        return share * penalty(tf.reduce_sum(before, axis=1, keepdims=True), variant, alpha, b)

    def of_positives(cosines: tf.Tensor, positives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        terms = costs(cosines, tf.gather(cosines, positives, batch_dims=1))
        return terms, tf.ones_like(terms, tf.bool)

    cosines = inner_products(unit_rows(embeddings))
    total, _ = sum_over_positives(labels, cosines, of_positives)
    own = tf.reduce_sum(costs(cosines, tf.linalg.diag_part(cosines)))
    return tf.math.divide_no_nan(total + own, tf.reduce_sum(tf.cast(positives > 0, tf.float32)))


class PNP(LossPlugin):
    """PNP loss: counts only the negatives that come before a positive, which is enough to raise average precision.

    Embeddings are normalised inside.
    """

    reference: ClassVar[str] = (
        "Z. Li, W. Min, J. Song, Y. Zhu, L. Kang, X. Wei, X. Wei, S. Jiang: Rethinking the optimization of average "
        "precision: only penalizing negative instances before positive ones is enough. AAAI 2022"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    variant: Variant = option(
        "O",
        "What negatives before a positive cost: their number, or a function of it.",
        search=["O", "Iu", "Ib", "Ds", "Dq"],
    )
    anneal: float = option(
        0.01,
        "Width of the sigmoids that count.",
        unit="cosine",
        ge=1e-6,
        search={"low": 1e-3, "high": 0.1, "log": True},
    )
    alpha: float = option(
        1.0,
        "Of the variant Dq: how soon further negatives cost little.",
        gt=0,
        search={"low": 0.5, "high": 8.0, "log": True},
    )
    b: float = option(2.0, "Of the variant Ib: how soon the slope reaches its bound.", ge=1e-3)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: pnp(labels, embeddings, self.anneal, self.variant, self.alpha, self.b)
