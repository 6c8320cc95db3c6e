"""Classification: a row's logits, one for each class; the class of its label is its target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from faceexp.tensors.rows import safe_sqrt, unit_rows

if TYPE_CHECKING:
    import tensorflow as tf


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


def multiplied_angle(cosines: tf.Tensor, factor: int) -> tf.Tensor:
    """``psi(theta) = (-1)^k cos(factor theta) - 2k`` of ``cos theta``, with ``k = floor(factor theta / pi)``.

    It falls from 1 at theta = 0 to ``1 - 2 factor`` at pi, as ``cos(factor theta)`` alone does not.

    Args:
        cosines: ``cos theta``, float32, any shape.
        factor: A whole number.
    """
    import tensorflow as tf

    # cos(n theta) is a polynomial of cos theta, the n-th of Chebyshev's; each follows from the two before.
    before, multiple = tf.ones_like(cosines), cosines
    for _ in range(factor - 1):
        before, multiple = multiple, 2.0 * cosines * multiple - before
    angle = tf.acos(tf.clip_by_value(tf.stop_gradient(cosines), -1.0, 1.0))
    k = tf.floor(angle * (factor / math.pi))
    psi: tf.Tensor = (1.0 - 2.0 * tf.math.floormod(k, 2.0)) * multiple - 2.0 * k
    return psi


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
