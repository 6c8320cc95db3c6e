"""Multi-similarity loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import inner_products, masked_logsumexp, pair_masks, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction

Miner = Literal["none", "multi_similarity"]


def hard_pairs(
    cosines: tf.Tensor, similar: tf.Tensor, different: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pairs worth learning from: each anchor's positives and negatives that are not apart by more than ``epsilon``.

    A positive stays if its cosine is below that of the anchor's nearest negative plus epsilon, a negative if its
    cosine is above that of the anchor's farthest positive minus epsilon. Comparisons are turned round, so that what
    is not a number stays and shows in the loss.

    Args:
        cosines: float32 (B, B).
        similar: bool (B, B), the positives of each row.
        different: bool (B, B), its negatives.
        epsilon: Slack.

    Returns:
        The two masks, reduced.
    """
    import tensorflow as tf

    nearest_negative = tf.reduce_max(tf.where(different, cosines, -1e30), axis=1, keepdims=True)
    farthest_positive = tf.reduce_min(tf.where(similar, cosines, 1e30), axis=1, keepdims=True)
    easy_positive = cosines - epsilon >= nearest_negative
    easy_negative = cosines + epsilon <= farthest_positive
    return similar & tf.logical_not(easy_positive), different & tf.logical_not(easy_negative)


def multi_similarity(
    labels: tf.Tensor, embeddings: tf.Tensor, alpha: float, beta: float, base: float, epsilon: float | None
) -> tf.Tensor:
    """Multi-similarity loss: ``mean_i (log(1 + sum_p exp(-a (s_ip - c))) / a + log(1 + sum_n exp(b (s_in - c))) / b)``.

    ``s_ij`` is the cosine of embeddings i and j; p runs over the positives of row i, n over its negatives. The mean is
    over all rows; a sum without terms is 0.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        alpha: a, the weight of positives in the exponent.
        beta: b, that of negatives.
        base: c, the cosine at which a pair weighs 1.
        epsilon: Slack of the miner, see :func:`hard_pairs`; None: all pairs.

    Returns:
        float32 scalar.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    cosines = inner_products(unit_rows(embeddings))
    if epsilon is not None:
        similar, different = hard_pairs(cosines, similar, different, epsilon)
    positive = tf.nn.softplus(masked_logsumexp(-alpha * (cosines - base), similar)) / alpha
    negative = tf.nn.softplus(masked_logsumexp(beta * (cosines - base), different)) / beta
    return tf.reduce_mean(positive + negative)


class MultiSimilarity(LossPlugin):
    """Multi-similarity loss: weighs each pair by its own cosine and by those of the anchor's other pairs.

    Embeddings are normalised inside. The paper prints a base of 1; its authors' code and the libraries use 0.5.
    """

    reference: ClassVar[str] = (
        "X. Wang, X. Han, W. Huang, D. Dong, M. Scott: Multi-similarity loss with general pair weighting for deep "
        "metric learning. CVPR 2019"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)
    suggested: ClassVar[bool] = True

    alpha: float = option(
        2.0,
        "Weight of positive pairs in the exponent.",
        unit="1 / cosine",
        ge=1e-6,
        search={"low": 0.1, "high": 50.0, "log": True},
    )
    beta: float = option(
        50.0,
        "Weight of negative pairs in the exponent.",
        unit="1 / cosine",
        ge=1e-6,
        search={"low": 1.0, "high": 100.0, "log": True},
    )
    base: float = option(
        0.5, "Cosine at which a pair weighs 1.", unit="cosine", ge=-1, le=1, search={"low": 0.0, "high": 1.0}
    )
    miner: Miner = option("none", "Pairs: all, or those that are not told apart by more than epsilon.")
    epsilon: float = option(0.1, "Slack of the miner.", unit="cosine", ge=0)

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: multi_similarity(
            labels, embeddings, self.alpha, self.beta, self.base, None if self.miner == "none" else self.epsilon
        )
