"""Tensor operations that losses share; importing this module does not import TensorFlow.

All of them are plain TensorFlow operations with static control flow, so that they run on CPU and GPU and compile
under XLA. Gradients are finite everywhere, also where two embeddings coincide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

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

    products: tf.Tensor = tf.custom_gradient(product)(x)
    return products


def squared_distances(embeddings: tf.Tensor) -> tf.Tensor:
    """Squared Euclidean distance of every row to every row: ``d_ij^2 = ||x_i - x_j||^2``.

    Args:
        embeddings: float32 (B, D).

    Returns:
        float32 (B, B), symmetric, zero where two rows coincide; the gradient there is zero too.
    """
    import tensorflow as tf

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


def row_norms(x: tf.Tensor) -> tf.Tensor:
    """L2 norm of each row, with gradient zero at a row of zeros.

    Args:
        x: float32 (N, D).
    """
    import tensorflow as tf

    return safe_sqrt(tf.reduce_sum(tf.square(x), axis=1))


def unit_rows(x: tf.Tensor) -> tf.Tensor:
    """Rows divided by their L2 norm; a row of zeros stays zero, with gradient zero.

    Args:
        x: float32 (N, D).
    """
    import tensorflow as tf

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

    return tf.math.l2_normalize(x, axis=1) if when else x


def pair_masks(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which ordered pairs i, j with i != j are similar, and which different.

    Args:
        labels: int32 (B,).

    Returns:
        ``(similar, different)``, bool (B, B).
    """
    import tensorflow as tf

    same = labels[:, None] == labels[None, :]
    row = tf.range(tf.shape(labels)[0])
    return same & (row[:, None] != row[None, :]), tf.logical_not(same)


def image_numbers(labels: tf.Tensor) -> tf.Tensor:
    """Number of each row among the rows of its identity: 0 for the first one, 1 for the second, and so on.

    A loop over these numbers visits all positives, ``similar & (image_numbers(labels) == number)``, one for each row
    at a time, where a tensor of all anchors, positives and negatives would not fit into memory.

    Args:
        labels: int32 (B,).

    Returns:
        int32 (B,).
    """
    import tensorflow as tf

    same = labels[:, None] == labels[None, :]
    row = tf.range(tf.shape(labels)[0])
    earlier: tf.Tensor = tf.reduce_sum(tf.cast(same & (row[None, :] < row[:, None]), tf.int32), axis=1)
    return earlier


def masked_logsumexp(x: tf.Tensor, mask: tf.Tensor, axis: int = 1) -> tf.Tensor:
    """``log sum exp`` over the entries of a mask; a very negative finite number where there are none.

    Args:
        x: float32, any shape.
        mask: bool, the same shape.
        axis: The axis to sum over.
    """
    import tensorflow as tf

    summed: tf.Tensor = tf.reduce_logsumexp(tf.where(mask, x, -1e30), axis=axis)
    return summed


def masked_mean(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of the entries of a mask, 0 where there are none.

    Args:
        x: float32, any shape.
        mask: bool, the same shape.
    """
    import tensorflow as tf

    chosen = tf.where(mask, x, 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(chosen), tf.reduce_sum(tf.cast(mask, x.dtype)))


def sum_over_positives(
    labels: tf.Tensor, x: tf.Tensor, terms: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum over all similar pairs (i, p), one positive p of every anchor i at a time.

    The rounds are as many as the largest identity of the batch has further rows. Each takes the memory of what
    ``terms`` computes, and so do all of them together: the gradient is summed up along with the value. Losses of
    triplets take time O(B^2) times the number of rounds that way, and memory O(B^2).

    Args:
        labels: int32 (B,).
        x: float32, any shape: what the terms depend on and get a gradient in, for instance all distances.
        terms: ``(x, positives int32 (B,)) -> (values float32 (B, N), chosen bool (B, N))``: the terms of the pairs
            (i, positives[i]), and which of them to sum. Rounds in which an anchor has no positive left are left out.

    Returns:
        ``(sum of the chosen terms, number of them)``, float32 scalars.
    """
    import tensorflow as tf

    order = tf.argsort(labels, stable=True)
    ordered = tf.gather(labels, order)
    first = tf.searchsorted(ordered, labels)
    images = tf.searchsorted(ordered, labels, side="right") - first
    place = tf.argsort(order) - first

    def total(x: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
        def add(step: tf.Tensor, value: tf.Tensor, count: tf.Tensor, slope: tf.Tensor) -> tuple[tf.Tensor, ...]:
            positives = tf.gather(order, first + (place + step) % images)
            with tf.GradientTape() as tape:
                tape.watch(x)
                values, chosen = terms(x, positives)
                chosen &= (step < images)[:, None]
                part = tf.reduce_sum(tf.where(chosen, values, 0.0))
            number = tf.reduce_sum(tf.cast(chosen, tf.float32))
            here = tf.convert_to_tensor(tape.gradient(part, x))
            return step + 1, value + part, count + number, slope + here

        def more(step: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return step < tf.reduce_max(images)

        start = (tf.constant(1), tf.constant(0.0), tf.constant(0.0), tf.zeros_like(x))
        _, value, count, slope = tf.while_loop(more, add, start)
        return (value, count), lambda upstream, _: upstream * slope

    value, count = tf.custom_gradient(total)(x)
    return value, count


# Classification: a row's logits, one for each class; the class of its label is its target.


def cosine_logits(embeddings: tf.Tensor, proxies: tf.Tensor) -> tf.Tensor:
    """Cosine of the angle between every embedding and every proxy.

    Args:
        embeddings: float32 (B, D).
        proxies: float32 (P, D).

    Returns:
        float32 (B, P), up to rounding within [-1, 1]; 0 where either is zero.
    """
    import tensorflow as tf

    return tf.matmul(unit_rows(embeddings), unit_rows(proxies), transpose_b=True)


def add_angle(cosines: tf.Tensor, angle: tf.Tensor | float) -> tf.Tensor:
    """``cos(theta + angle)`` of ``cos theta``, with a finite gradient also at theta = 0 and pi.

    Args:
        cosines: float32, any shape; beyond [-1, 1] by rounding, the sine counts as 0.
        angle: Radians.
    """
    import tensorflow as tf

    sines = safe_sqrt(tf.maximum(1.0 - tf.square(cosines), 0.0))
    return cosines * tf.cos(angle) - sines * tf.sin(angle)


def arc_margin(cosines: tf.Tensor, margin: tf.Tensor | float) -> tf.Tensor:
    """ArcFace's target: ``cos(theta + margin)``, or beyond theta + margin = pi ``cos theta - margin sin margin``.

    ``cos(theta + margin)`` would rise again there, and reward a target for being further away.

    Args:
        cosines: ``cos theta``, float32, any shape.
        margin: Radians, within [0, pi].
    """
    import tensorflow as tf

    beyond = cosines < -tf.cos(margin)
    return tf.where(beyond, cosines - margin * tf.sin(margin), add_angle(cosines, margin))


def target_logits(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Logit of the class of each row's label.

    Args:
        labels: int32 (B,), within 0..C-1.
        logits: float32 (B, C).

    Returns:
        float32 (B,).
    """
    import tensorflow as tf

    is_target = labels[:, None] == tf.range(tf.shape(logits)[1])[None, :]
    return tf.reduce_sum(tf.where(is_target, logits, 0.0), axis=1)


def replace_targets(labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Logits with another value for the class of each row's label; the other classes keep theirs.

    Args:
        labels: int32 (B,), within 0..C-1.
        logits: float32 (B, C).
        targets: float32 (B,).
    """
    import tensorflow as tf

    is_target = labels[:, None] == tf.range(tf.shape(logits)[1])[None, :]
    return tf.where(is_target, targets[:, None], logits)


def softmax_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean over rows of ``-log softmax(logits)`` at the class of each row's label.

    Args:
        labels: int32 (B,), within 0..C-1.
        logits: float32 (B, C).
    """
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
