"""Tuplet margin loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import masked_logsumexp, masked_mean, pair_masks, safe_sqrt, squared_distances, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def tuplet_margin(labels: tf.Tensor, embeddings: tf.Tensor, margin: float, scale: float) -> tf.Tensor:
    """Tuplet margin loss: mean over similar pairs of ``log(1 + sum_n exp(scale (cos t_in - cos(t_ip - margin))))``.

    ``t_ij`` is the angle of rows i and j. Pairs (i, p) are ordered; n are the rows of other identities than i's.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        margin: Angle below which a similar pair is brought no closer, degrees.
        scale: Factor of the cosines.

    Returns:
        float32 scalar; 0 for a batch without similar or without different pairs. Finite also where embeddings of one
        identity coincide, and rounding gives the reference implementation a cosine beyond 1.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    # Of small angles, distances keep the digits that cosines lose: d = 2 sin(t/2), and so sin t = d cos(t/2).
    squared = squared_distances(unit_rows(embeddings))
    cosines = 1.0 - 0.5 * squared
    sines = safe_sqrt(squared) * safe_sqrt(tf.maximum(1.0 - 0.25 * squared, 0.0))
    angle = math.radians(margin)
    eased = math.cos(angle) * cosines + math.sin(angle) * sines
    negatives = masked_logsumexp(scale * cosines, different)
    return masked_mean(tf.math.softplus(negatives[:, None] - scale * eased), similar)


class TupletMargin(LossPlugin):
    """Tuplet margin loss: each similar pair, eased by an angle, against all negatives of its first row by softmax.

    Embeddings are divided by their L2 norm inside.
    """

    reference: ClassVar[str] = "B. Yu, D. Tao: Deep metric learning with tuplet margin loss. ICCV 2019"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    margin: float = option(
        5.73,
        "Angle below which a similar pair is brought no closer, in degrees.",
        unit="degrees",
        ge=0,
        lt=180,
        search={"low": 1.0, "high": 30.0, "log": True},
    )
    scale: float = option(64.0, "Factor of the cosines.", gt=0, search={"low": 8.0, "high": 128.0, "log": True})

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: tuplet_margin(labels, embeddings, self.margin, self.scale)
