"""ElasticFace loss as a faceexp plugin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import arc_margin, cosine_logits, replace_targets, softmax_cross_entropy, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

Form = Literal["arc", "cos"]


def elasticface(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    proxies: tf.Tensor,
    margins: tf.Tensor,
    form: Form,
    scale: float,
    *,
    plus: bool,
) -> tf.Tensor:
    """ElasticFace: ArcFace or CosFace, with a margin of its own for each row.

    Softmax cross entropy of ``scale cos theta_ic`` over classes c, with ``theta_ic`` the angle between embedding i and
    proxy c. The target's logit is ``scale cos(theta + margin_i)`` (``"arc"``; where the angle plus the margin passes
    180 degrees, ``scale (cos theta - margin_i sin margin_i)``) or ``scale (cos theta - margin_i)`` (``"cos"``).

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C, D), one for each class, of any length.
        margins: float32 (B,), radians or cosine; below 0 they count as 0, and beyond pi as pi.
        form: ``"arc"`` or ``"cos"``.
        scale: Factor of the cosines.
        plus: The row furthest from its proxy gets the largest of the margins, the nearest one the smallest.

    Returns:
        float32 scalar, the mean over rows.
    """
    import tensorflow as tf

    cosines = cosine_logits(embeddings, proxies)
    targets = target_logits(labels, cosines)
    if plus:
        place = tf.argsort(tf.argsort(tf.stop_gradient(targets)))
        margins = tf.gather(tf.sort(margins, direction="DESCENDING"), place)
    margins = tf.clip_by_value(margins, 0.0, math.pi)
    moved = arc_margin(targets, margins) if form == "arc" else targets - margins
    return softmax_cross_entropy(labels, scale * replace_targets(labels, cosines, moved))


class ElasticFace(LossPlugin):
    """ElasticFace loss: ArcFace or CosFace with a margin that is drawn anew for each image of each batch.

    Embeddings and proxies are normalised inside. Margins are normally distributed. ``plus`` is the paper's
    ElasticFace+, which gives large margins to images far from their identity's proxy.
    """

    reference: ClassVar[str] = (
        "F. Boutros, N. Damer, F. Kirchbuchner, A. Kuijper: "
        "ElasticFace: elastic margin loss for deep face recognition. CVPR workshops 2022"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    form: Form = option(
        "arc", "Whether the margin is added to the angle, or taken from the cosine.", search=["arc", "cos"]
    )
    margin: float | None = option(
        None, "Mean of the margins; if not given, 0.5 (arc) or 0.35 (cos).", unit="radians or cosine", ge=0, le=math.pi
    )
    sigma: float = option(
        0.05,
        "Standard deviation of the margins.",
        unit="radians or cosine",
        ge=0,
        search={"low": 0.01, "high": 0.2, "log": True},
    )
    plus: bool = option(default=False, description="Give the largest margins to the images furthest from their proxy.")
    scale: float = option(
        64.0, "Factor of the cosines before the softmax.", gt=0, search={"low": 8.0, "high": 128.0, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies and a seed, ``(labels, embeddings) -> scalar``."""
        import tensorflow as tf

        mean = {"arc": 0.5, "cos": 0.35}[self.form] if self.margin is None else self.margin

        def function(labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            margins = tf.random.stateless_normal(tf.shape(labels), seed, mean=mean, stddev=self.sigma)
            return elasticface(labels, embeddings, proxies, margins, self.form, self.scale, plus=self.plus)

        return proxy_layer(ctx, function, random=True)
