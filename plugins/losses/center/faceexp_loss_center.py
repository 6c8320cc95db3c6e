"""Center loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.tensors import softmax_cross_entropy

if TYPE_CHECKING:
    import tensorflow as tf

    from faceexp.contract import LossFunction


def center(
    labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, bias: tf.Tensor, centers: tf.Tensor, weight: float
) -> tf.Tensor:
    """Center loss: softmax cross entropy of ``x_i . p_c + b_c``, plus ``weight/2 mean ||x_i - center_{y_i}||^2``.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        proxies: float32 (C, D), the classifier's weights.
        bias: float32 (C,), the classifier's.
        centers: float32 (C, D); they get no gradient.
        weight: Of the squared distances to the centres, the paper's lambda.

    Returns:
        float32 scalar.
    """
    import tensorflow as tf

    logits = tf.matmul(embeddings, proxies, transpose_b=True) + bias
    own = tf.stop_gradient(tf.gather(centers, labels))
    squared = tf.reduce_sum(tf.square(embeddings - own), axis=1)
    return softmax_cross_entropy(labels, logits) + 0.5 * weight * tf.reduce_mean(squared)


def moved_centers(labels: tf.Tensor, embeddings: tf.Tensor, centers: tf.Tensor, alpha: float) -> tf.Tensor:
    """Centres after a batch: ``center_c - alpha sum_{i: y_i = c} (center_c - x_i) / (1 + n_c)``.

    Args:
        labels: int32 (B,), n_c of them c.
        embeddings: float32 (B, D).
        centers: float32 (C, D).
        alpha: The rate.
    """
    import tensorflow as tf

    x, classes = tf.stop_gradient(embeddings), tf.shape(centers)[0]
    counts = tf.math.unsorted_segment_sum(tf.ones_like(x[:, :1]), labels, classes)
    sums = tf.math.unsorted_segment_sum(x, labels, classes)
    moved: tf.Tensor = centers - alpha * (counts * centers - sums) / (1.0 + counts)
    return moved


class Center(LossPlugin):
    """Center loss: classifies by a linear layer, and pulls embeddings to a moving centre of their identity.

    Embeddings are not normalised. Centres are moved as in the paper, by its rule with the rate alpha and not by the
    optimiser, after the loss of each batch; they start at zero. The classifier is trained, with a bias.
    """

    reference: ClassVar[str] = (
        "Y. Wen, K. Zhang, Z. Li, Y. Qiao: "
        "A discriminative feature learning approach for deep face recognition. ECCV 2016"
    )
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    weight: float = option(
        0.003,
        "Of the squared distances to the centres, the paper's lambda.",
        ge=0,
        search={"low": 1e-4, "high": 1.0, "log": True},
    )
    alpha: float = option(
        0.5, "Share of the way to the batch's mean that a centre moves.", ge=0, le=1, search={"low": 0.05, "high": 1.0}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with classifier and centres, ``(labels, embeddings) -> scalar``."""
        import tensorflow as tf

        keras: Any = tf.keras
        shape = (ctx.num_classes, ctx.embedding_dim)
        weight, alpha = self.weight, self.alpha

        class CenterLayer(keras.layers.Layer):  # type: ignore[misc]  # a class of no known type
            def __init__(self) -> None:
                super().__init__(dtype="float32")
                drawn = keras.initializers.GlorotUniform(seed=ctx.seed)
                self.proxies = self.add_weight(name="proxies", shape=shape, initializer=drawn)
                self.bias = self.add_weight(name="bias", shape=shape[:1], initializer="zeros")
                self.centers = self.add_weight(name="centers", shape=shape, initializer="zeros", trainable=False)
                self.built = True

            def call(self, labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
                centers = tf.convert_to_tensor(self.centers)
                proxies, bias = tf.convert_to_tensor(self.proxies), tf.convert_to_tensor(self.bias)
                value = center(labels, embeddings, proxies, bias, centers, weight)
                self.centers.assign(moved_centers(labels, embeddings, centers, alpha))
                return value

        return CenterLayer()
