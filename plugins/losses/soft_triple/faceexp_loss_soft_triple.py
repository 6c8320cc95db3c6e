"""SoftTriple loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import cosine_logits, replace_targets, softmax_cross_entropy, target_logits

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def soft_triple(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    proxies: tf.Tensor,
    centers_per_class: int,
    la: float,
    gamma: float,
    margin: float,
) -> tf.Tensor:
    """SoftTriple: softmax cross entropy of ``la (s_ic - [c = y_i] margin)`` over classes c.

    ``s_ic`` is the mean of the cosines of embedding i to the centres of class c, weighted by the softmax of
    ``cosine / gamma`` over these centres.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D), of any length.
        proxies: float32 (C * centers_per_class, D), those of a class next to each other, of any length.
        centers_per_class: Centres of each class.
        la: Factor of the similarities.
        gamma: Temperature of the weights of a class's centres.
        margin: Taken from the target's similarity.

    Returns:
        float32 scalar, the mean over rows; without the paper's optional regulariser, which merges centres.
    """
    import tensorflow as tf

    each = cosine_logits(embeddings, proxies)
    each = tf.reshape(each, [tf.shape(each)[0], -1, centers_per_class])
    similarities = tf.reduce_sum(tf.nn.softmax(each / gamma, axis=2) * each, axis=2)
    targets = target_logits(labels, similarities) - margin
    return softmax_cross_entropy(labels, la * replace_targets(labels, similarities, targets))


class SoftTriple(LossPlugin):
    """SoftTriple loss: classifies by cosine to several learned centres of each identity, the near ones weighing most.

    Embeddings and centres are normalised inside. The paper's regulariser, which merges centres, is left out.
    """

    reference: ClassVar[str] = (
        "Q. Qian, L. Shang, B. Sun, J. Hu, H. Li, R. Jin: "
        "SoftTriple loss: deep metric learning without triplet sampling. ICCV 2019"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    centers_per_class: int = option(
        10, "Centres of each identity.", unit="centres", ge=1, le=1000, search={"low": 1, "high": 20, "log": True}
    )
    la: float = option(
        20.0,
        "Factor of the similarities before the softmax, the paper's lambda.",
        gt=0,
        search={"low": 5.0, "high": 100.0, "log": True},
    )
    gamma: float = option(
        0.1, "Temperature of the weights of an identity's centres; smaller prefers the nearest.", ge=1e-6
    )
    margin: float = option(
        0.01,
        "Taken from the similarity to the own identity.",
        unit="cosine",
        ge=0,
        le=2,
        search={"low": 0.0, "high": 0.2},
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the centres, ``(labels, embeddings) -> scalar``."""
        options = self.centers_per_class, self.la, self.gamma, self.margin
        return proxy_layer(
            ctx,
            lambda labels, embeddings, proxies: soft_triple(labels, embeddings, proxies, *options),
            per_class=self.centers_per_class,
        )
