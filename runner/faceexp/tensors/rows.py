"""What is made of the rows of a batch: their lengths, inner products and distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

# Squared distances come out of float32 inner products with an error of a few units in the last place of the squared
# norms; anything below that is noise, and is reported as the distance zero.
_NOISE = 4 * 1.1920929e-07


def as_float32(x: tf.Tensor) -> tf.Tensor:
    """Numbers of any floating type as float32, in which every loss is computed; float32 stays what it is.

    Half precision has too few digits for differences of squares, and float16 no numbers beyond 65504. The gradient has
    the type of what was given.

    Args:
        x: float16, bfloat16, float32 or float64, any shape.
    """
    import tensorflow as tf

    return tf.cast(x, tf.float32)


def safe_sqrt(squared: tf.Tensor) -> tf.Tensor:
    """Square root with gradient zero, instead of infinity, at zero; not-a-number stays what it is.

    Args:
        squared: Non-negative tensor of any shape.
    """
    import tensorflow as tf

    zero = squared <= 0
    return tf.where(zero, 0.0, tf.sqrt(tf.where(zero, 1.0, squared)))


def inner_products(x: tf.Tensor) -> tf.Tensor:
    """Inner product of every row with every row: ``x_i . x_j``.

    Args:
        x: float32 (B, D).

    Returns:
        float32 (B, B), symmetric; its gradient takes one matrix product, where that of ``tf.matmul`` takes two.
    """
    import tensorflow as tf

    def product(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.matmul(x, x, transpose_b=True), lambda upstream: tf.matmul(upstream + tf.transpose(upstream), x)

    products: tf.Tensor = tf.custom_gradient(product)(as_float32(x))
    return products


def squared_distances(embeddings: tf.Tensor) -> tf.Tensor:
    """Squared Euclidean distance of every row to every row: ``d_ij^2 = ||x_i - x_j||^2``.

    Args:
        embeddings: float32 (B, D).

    Returns:
        float32 (B, B), symmetric, zero where two rows coincide; the gradient there is zero too.
    """
    import tensorflow as tf

    embeddings = as_float32(embeddings)
    # Distances do not change when all rows move together; rows near the origin lose fewer digits in the difference.
    x = embeddings - tf.stop_gradient(tf.reduce_mean(embeddings, axis=0, keepdims=True))
    inner = inner_products(x)
    norms = tf.linalg.diag_part(inner)
    sums = norms[:, None] + norms[None, :]
    squared = sums - 2.0 * inner
    return tf.where(squared <= _NOISE * sums, 0.0, squared)


def pairwise_distances(embeddings: tf.Tensor) -> tf.Tensor:
    """Euclidean distance of every row to every row: ``d_ij = ||x_i - x_j||``.

    Args:
        embeddings: float32 (B, D).

    Returns:
        float32 (B, B), symmetric, zero where two rows coincide; the gradient there is zero too.
    """
    return safe_sqrt(squared_distances(embeddings))


def row_norms(x: tf.Tensor) -> tf.Tensor:
    """L2 norm of each row, with gradient zero at a row of zeros.

    Args:
        x: float32 (N, D).
    """
    import tensorflow as tf

    return safe_sqrt(tf.reduce_sum(tf.square(as_float32(x)), axis=1))


def unit_rows(x: tf.Tensor) -> tf.Tensor:
    """Rows divided by their L2 norm; a row of zeros stays zero, with gradient zero.

    Args:
        x: float32 (N, D).
    """
    import tensorflow as tf

    x = as_float32(x)
    return tf.math.divide_no_nan(x, row_norms(x)[:, None])


def normalized(x: tf.Tensor, *, when: bool) -> tf.Tensor:
    """Rows divided by their L2 norm when the option says so, else as they are.

    As TensorFlow does it: norms below 1e-6 count as 1e-6, so that the gradient at a row of zeros is large, where that
    of :func:`unit_rows` is zero.

    Args:
        x: float32 (N, D).
        when: A loss's option ``normalize``.
    """
    import tensorflow as tf

    x = as_float32(x)
    return tf.math.l2_normalize(x, axis=1) if when else x
