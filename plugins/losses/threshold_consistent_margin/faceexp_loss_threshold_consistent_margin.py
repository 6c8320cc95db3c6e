"""Threshold-consistent margin loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, masked_mean, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def threshold_consistent_margin(
    labels: tf.Tensor, embeddings: tf.Tensor, weights: tuple[float, float], margins: tuple[float, float]
) -> tf.Tensor:
    """TCM term: ``l+ mean of (m+ - s) over similar pairs with s <= m+, plus l- mean of (s - m-) with s >= m-``.

    ``s`` is the cosine of a pair; the second mean is over different pairs. What is beyond its margin does not count, so
    that few hard pairs weigh as much as many: all identities come to agree on one threshold between the margins.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        weights: l+ and l-.
        margins: m+ and m-.

    Returns:
        float32 scalar; a kind of which no pair is within its margin contributes 0.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    cosines = inner_products(unit_rows(embeddings))
    # Pairs are left out, not taken in, so that what is not a number stays.
    near, far = tf.logical_not(cosines > margins[0]), tf.logical_not(cosines < margins[1])
    pull = masked_mean(margins[0] - cosines, similar & near)
    push = masked_mean(cosines - margins[1], different & far)
    return weights[0] * pull + weights[1] * push


class ThresholdConsistentMargin(LossPlugin):
    """Threshold-consistent margin: pairs on the wrong side of two cosines, so that one threshold serves all identities.

    Embeddings are normalised inside. The paper adds this term to another loss, to regularise it. Alone it is a
    contrastive loss of cosines.
    """

    reference: ClassVar[str] = (
        "Q. Zhang, L. Xu, Q. Tang, J. Fang, Y. N. Wu, J. Tighe, Y. Xing: Threshold-consistent margin loss for "
        "open-world deep metric learning. ICLR 2024"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    margin_plus: float = option(
        0.9,
        "Cosine from which on a similar pair costs nothing.",
        unit="cosine",
        ge=-1,
        le=1,
        search={"low": 0.6, "high": 1.0},
    )
    margin_minus: float = option(
        0.5,
        "Cosine up to which a different pair costs nothing.",
        unit="cosine",
        ge=-1,
        le=1,
        search={"low": 0.0, "high": 0.6},
    )
    lambda_plus: float = option(1.0, "Weight of the similar pairs.", ge=0)
    lambda_minus: float = option(1.0, "Weight of the different pairs.", ge=0)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        weights, margins = (self.lambda_plus, self.lambda_minus), (self.margin_plus, self.margin_minus)
        return lambda labels, embeddings: threshold_consistent_margin(labels, embeddings, weights, margins)
