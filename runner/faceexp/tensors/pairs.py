"""Pairs of a batch: which there are, their distances, and what is taken over some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from faceexp.tensors.rows import as_float32, pairwise_distances, safe_sqrt

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

Pairs = Literal["all", "halves"]


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
        embeddings = as_float32(embeddings)
        difference = embeddings[:half] - embeddings[half : 2 * half]
        distances = safe_sqrt(tf.reduce_sum(tf.square(difference), axis=1))
        same = tf.cast(labels[:half] == labels[half : 2 * half], tf.float32)
        return distances, same, 1.0 - same
    distances = pairwise_distances(embeddings)
    same = tf.cast(labels[:, None] == labels[None, :], tf.float32)
    upper = 1.0 - tf.linalg.band_part(tf.ones_like(distances), -1, 0)
    return distances, same * upper, (1.0 - same) * upper


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


def nonzero_mean(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of those entries of a mask that are not zero, 0 where there are none.

    What costs nothing is not averaged away; what is not a number is not zero either, and shows.

    Args:
        x: float32, any shape.
        mask: bool, the same shape.
    """
    return masked_mean(x, mask & (x != 0))


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
