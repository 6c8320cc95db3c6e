"""Tensor operations that losses share; importing this module does not import TensorFlow.

All of them are plain TensorFlow operations with static control flow, so that they run on CPU and GPU and compile
under XLA. Gradients are finite everywhere, also where two embeddings coincide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import tensorflow as tf

Pairs = Literal["all", "halves"]

# Squared distances come out of float32 inner products with an error of a few units in the last place of the squared
# norms; anything below that is noise, and is reported as the distance zero.
_NOISE = 4 * 1.1920929e-07


def safe_sqrt(squared: tf.Tensor) -> tf.Tensor:
    """Square root with gradient zero, instead of infinity, at zero; not-a-number stays what it is.

    Args:
        squared: Non-negative tensor of any shape.
    """
    import tensorflow as tf

    zero = squared <= 0
    return tf.where(zero, 0.0, tf.sqrt(tf.where(zero, 1.0, squared)))


def pairwise_distances(embeddings: tf.Tensor) -> tf.Tensor:
    """Euclidean distance of every row to every row: ``d_ij = ||x_i - x_j||``.

    Args:
        embeddings: float32 (B, D).

    Returns:
        float32 (B, B), symmetric, zero where two rows coincide; the gradient there is zero too.
    """
    import tensorflow as tf

    # Distances do not change when all rows move together; rows near the origin lose fewer digits in the difference.
    x = embeddings - tf.stop_gradient(tf.reduce_mean(embeddings, axis=0, keepdims=True))
    inner = tf.matmul(x, x, transpose_b=True)
    norms = tf.linalg.diag_part(inner)
    sums = norms[:, None] + norms[None, :]
    squared = sums - 2.0 * inner
    return safe_sqrt(tf.where(squared <= _NOISE * sums, 0.0, squared))


def pair_distances(labels: tf.Tensor, embeddings: tf.Tensor, pairs: Pairs) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Distances of the chosen pairs of a batch, with masks that say which pairs are similar and which different.

    Args:
        labels: int32 (B,).
        embeddings: float32 (B, D).
        pairs: ``"all"``: every pair i < j; ``"halves"``: rows i and i + B/2.

    Returns:
        ``(distances, similar, different)``, three float32 tensors of one shape; the masks are 0 or 1, and both 0
        where an entry is no pair.
    """
    import tensorflow as tf

    if pairs == "halves":
        half = tf.shape(embeddings)[0] // 2
        difference = embeddings[:half] - embeddings[half : 2 * half]
        distances = safe_sqrt(tf.reduce_sum(tf.square(difference), axis=1))
        same = tf.cast(labels[:half] == labels[half : 2 * half], tf.float32)
        return distances, same, 1.0 - same
    distances = pairwise_distances(embeddings)
    same = tf.cast(labels[:, None] == labels[None, :], tf.float32)
    upper = 1.0 - tf.linalg.band_part(tf.ones_like(distances), -1, 0)
    return distances, same * upper, (1.0 - same) * upper


def unit_rows(x: tf.Tensor) -> tf.Tensor:
    """Rows divided by their L2 norm; a row of zeros stays zero, with gradient zero.

    Args:
        x: float32 (N, D).
    """
    import tensorflow as tf

    norms = safe_sqrt(tf.reduce_sum(tf.square(x), axis=1, keepdims=True))
    return tf.math.divide_no_nan(x, norms)


def pair_masks(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which ordered pairs i, j with i != j are similar, and which different.

    Args:
        labels: int32 (B,).

    Returns:
        ``(similar, different)``, bool (B, B).
    """
    import tensorflow as tf

    same = labels[:, None] == labels[None, :]
    return same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool), ~same


def masked_logsumexp(x: tf.Tensor, mask: tf.Tensor, axis: int = 1) -> tf.Tensor:
    """``log sum exp`` over the entries of a mask; a very negative finite number where there are none.

    Args:
        x: float32, any shape.
        mask: bool, the same shape.
        axis: The axis to sum over.
    """
    import tensorflow as tf

    return tf.reduce_logsumexp(tf.where(mask, x, -1e30), axis=axis)


def masked_mean(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of the entries of a mask, 0 where there are none.

    Args:
        x: float32, any shape.
        mask: bool, the same shape.
    """
    import tensorflow as tf

    chosen = tf.where(mask, x, 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(chosen), tf.reduce_sum(tf.cast(mask, x.dtype)))
