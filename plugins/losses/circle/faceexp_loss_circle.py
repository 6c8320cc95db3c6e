"""Circle loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, masked_logsumexp, masked_mean, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def circle(labels: tf.Tensor, embeddings: tf.Tensor, m: float, gamma: float) -> tf.Tensor:
    """Circle loss: ``mean_i log(1 + sum_n exp(g a_n (s_in - m)) sum_p exp(-g a_p (s_ip - (1 - m))))``.

    ``s_ij`` is the cosine of embeddings i and j; p runs over the positives of row i, n over its negatives. The weights
    ``a_p = max(1 + m - s_ip, 0)`` and ``a_n = max(s_in + m, 0)`` grow with a pair's distance from its optimum; they
    have no gradient. The mean is over rows with both positives and negatives.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        m: Relaxation: the decision boundary is a circle of radius sqrt(2) m.
        gamma: g, the scale.

    Returns:
        float32 scalar; 0 for a batch without positives or without negatives.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    cosines = inner_products(unit_rows(embeddings))
    fixed = tf.stop_gradient(cosines)
    positive = -gamma * tf.maximum(1 + m - fixed, 0.0) * (cosines - (1 - m))
    negative = gamma * tf.maximum(fixed + m, 0.0) * (cosines - m)
    terms = tf.nn.softplus(masked_logsumexp(positive, similar) + masked_logsumexp(negative, different))
    return masked_mean(terms, tf.reduce_any(similar, axis=1) & tf.reduce_any(different, axis=1))


class Circle(LossPlugin):
    """Circle loss: every pair is pulled or pushed with a force of its own, by how far it is from its optimum.

    Embeddings are normalised inside. The defaults are those of the paper for fine-grained retrieval; for faces it
    recommends m = 0.25 and gamma = 256.
    """

    reference: ClassVar[str] = (
        "Y. Sun et al.: Circle loss: a unified perspective of pair similarity optimization. CVPR 2020"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    m: float = option(
        0.4,
        "Relaxation: optima are 1 + m and -m, margins 1 - m and m.",
        unit="cosine",
        ge=0,
        le=1,
        search={"low": 0.1, "high": 0.6},
    )
    gamma: float = option(
        80.0,
        "Scale of the exponents.",
        unit="1 / squared cosine",
        gt=0,
        search={"low": 16.0, "high": 512.0, "log": True},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: circle(labels, embeddings, self.m, self.gamma)
