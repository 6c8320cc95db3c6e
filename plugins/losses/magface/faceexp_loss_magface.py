"""MagFace loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import arc_margin, cosine_logits, replace_targets, row_norms, softmax_cross_entropy, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def magface(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    proxies: tf.Tensor,
    lengths: tuple[float, float],
    margins: tuple[float, float],
    lambda_g: float,
    scale: float,
) -> tf.Tensor:
    """MagFace: ArcFace with a margin that grows with the embedding's length, plus ``lambda_g mean(1/a_i + a_i/u_a^2)``.

    The length ``a_i = |x_i|`` is clipped to [l_a, u_a], without a gradient beyond, and the margin m(a) is linear from
    l_m at l_a to u_m at u_a. Where a target's angle plus its margin passes pi, its logit is
    ``scale (cos theta - m(a) sin m(a))``, so that it keeps falling.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        proxies: float32 (C, D), one for each class, of any length.
        lengths: l_a and u_a.
        margins: l_m and u_m, radians.
        lambda_g: Factor of the term that rewards long embeddings.
        scale: Factor of the cosines.

    Returns:
        float32 scalar, the mean over rows.
    """
    import tensorflow as tf

    (l_a, u_a), (l_m, u_m) = lengths, margins
    a = tf.clip_by_value(row_norms(embeddings), l_a, u_a)
    margin = l_m + (u_m - l_m) / (u_a - l_a) * (a - l_a)
    cosines = cosine_logits(embeddings, proxies)
    targets = arc_margin(target_logits(labels, cosines), margin)
    cross_entropy = softmax_cross_entropy(labels, scale * replace_targets(labels, cosines, targets))
    return cross_entropy + lambda_g * tf.reduce_mean(1.0 / a + a / u_a**2)


class MagFace(LossPlugin):
    """MagFace loss: ArcFace with a margin that grows with the embedding's length, which comes to tell quality.

    Embeddings and proxies are normalised inside, and embeddings' lengths are trained too. Defaults are the paper's.
    Beyond an angle of pi the target falls as in ArcFace, while the authors' code leaves out the margin of angles
    beyond pi/2.
    """

    reference: ClassVar[str] = (
        "Q. Meng, S. Zhao, Z. Huang, F. Zhou: "
        "MagFace: a universal representation for face recognition and quality assessment. CVPR 2021"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    l_a: float = option(10.0, "Length up to which the margin is l_m.", unit="embedding length", gt=0)
    u_a: float = option(110.0, "Length from which on the margin is u_m.", unit="embedding length", gt=0)
    l_m: float = option(
        0.45, "Margin of the shortest embeddings.", unit="radians", ge=0, le=math.pi, search={"low": 0.1, "high": 0.6}
    )
    u_m: float = option(
        0.8, "Margin of the longest embeddings.", unit="radians", ge=0, le=math.pi, search={"low": 0.6, "high": 1.0}
    )
    lambda_g: float = option(
        35.0,
        "Factor of the term 1/a + a/u_a^2 of lengths a, which rewards long embeddings.",
        unit="embedding length",
        ge=0,
    )
    scale: float = option(
        64.0, "Factor of the cosines before the softmax.", gt=0, search={"low": 8.0, "high": 128.0, "log": True}
    )

    @model_validator(mode="after")
    def _lower_below_upper(self) -> Self:
        if self.l_a >= self.u_a:
            raise ValueError(f"l_a, {self.l_a:g}, must be below u_a, {self.u_a:g}; set both")
        if self.l_m > self.u_m:
            raise ValueError(f"l_m, {self.l_m:g}, must not be above u_m, {self.u_m:g}; set both")
        return self

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        options = (self.l_a, self.u_a), (self.l_m, self.u_m), self.lambda_g, self.scale
        return proxy_layer(ctx, lambda labels, embeddings, proxies: magface(labels, embeddings, proxies, *options))
