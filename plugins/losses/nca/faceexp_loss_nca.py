"""NCA loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import masked_logsumexp, masked_mean, pair_masks, squared_distances, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def nca(labels: tf.Tensor, embeddings: tf.Tensor, softmax_scale: float) -> tf.Tensor:
    """Neighbourhood components analysis: ``mean_i -log(sum_p exp(-s d_ip^2) / sum_{j != i} exp(-s d_ij^2))``.

    ``d_ij`` is the Euclidean distance of the normalised embeddings i and j; p runs over the positives of row i. The
    mean is over rows that have one. The paper maximises the probabilities themselves; this is the form with a
    logarithm.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D); normalised here.
        softmax_scale: s.

    Returns:
        float32 scalar; 0 for a batch without positives (where the reference is not a number) or without negatives.
    """
    import tensorflow as tf

    similar, different = pair_masks(labels)
    logits = -softmax_scale * squared_distances(unit_rows(embeddings))
    terms = tf.nn.softplus(masked_logsumexp(logits, different) - masked_logsumexp(logits, similar))
    return masked_mean(terms, tf.reduce_any(similar, axis=1))


class NCA(LossPlugin):
    """NCA loss: probability that a random neighbour shows the same identity, nearer ones being more likely.

    Embeddings are normalised inside; distances are Euclidean ones of the normalised embeddings.
    """

    reference: ClassVar[str] = (
        "J. Goldberger, S. Roweis, G. Hinton, R. Salakhutdinov: Neighbourhood components analysis. NIPS 2004"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    softmax_scale: float = option(
        1.0,
        "Factor of squared distances in the softmax.",
        unit="1 / squared distance",
        gt=0,
        search={"low": 0.5, "high": 64.0, "log": True},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return ``(labels, embeddings) -> scalar``."""
        return lambda labels, embeddings: nca(labels, embeddings, self.softmax_scale)
