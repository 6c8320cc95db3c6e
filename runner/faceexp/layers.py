"""The layer of losses that learn proxies, points that stand for classes; importing it does not import TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faceexp.contract import LossContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faceexp.contract import LossFunction


def proxy_layer(
    ctx: LossContext, function: Callable[..., Any], *, per_class: int = 1, moving: Sequence[int] | None = None
) -> LossFunction:
    """Return a ``keras.layers.Layer`` that calls a pure function with trainable proxies.

    The proxies are one variable (num_classes * per_class, D), row ``c * per_class + s`` the s-th of class c. They
    start out normally distributed, of length about 1 whatever D, so that steps of one size turn them alike.

    Args:
        ctx: Numbers of classes and dimensions, and the seed of the first values.
        function: ``(labels, embeddings, proxies) -> scalar``; with ``moving``,
            ``(labels, embeddings, proxies, moving) -> (scalar, next value of moving)``.
        per_class: Proxies for each class.
        moving: Shape of a weight that is not trained, such as a moving average, and that every call replaces; it
            starts with zeros.
    """
    import tensorflow as tf

    keras: Any = tf.keras

    class ProxyLayer(keras.layers.Layer):  # type: ignore[misc]  # a class of no known type
        def __init__(self) -> None:
            super().__init__()
            shape = (ctx.num_classes * per_class, ctx.embedding_dim)
            drawn = keras.initializers.RandomNormal(stddev=ctx.embedding_dim**-0.5, seed=ctx.seed)
            self.proxies = self.add_weight(name="proxies", shape=shape, initializer=drawn)
            if moving is not None:
                self.moving = self.add_weight(name="moving", shape=tuple(moving), initializer="zeros", trainable=False)
            self.built = True

        def call(self, labels: tf.Tensor, embeddings: tf.Tensor) -> Any:  # noqa: ANN401 - what the function gives
            proxies = tf.convert_to_tensor(self.proxies)
            if moving is None:
                return function(labels, embeddings, proxies)
            value, after = function(labels, embeddings, proxies, tf.convert_to_tensor(self.moving))
            self.moving.assign(after)
            return value

    return ProxyLayer()
