"""Layers of losses: of those that learn proxies, points that stand for classes, and of those that draw random numbers.

Importing this module does not import TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faceexp.contract import LossContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from faceexp.contract import LossFunction

# The beginnings of the names of TensorFlow's operations that draw random numbers without a seed of their own: what they
# draw depends on what was drawn before. Those that `random_layer` is for begin with "Stateless".
UNSEEDED_OPERATIONS = (
    "Random",
    "TruncatedNormal",
    "ParameterizedTruncatedNormal",
    "Multinomial",
    "UniformCandidateSampler",
    "LogUniformCandidateSampler",
)


def unseeded_draws(operations: Iterable[str]) -> tuple[str, ...]:
    """Return which of a graph's operations draw random numbers without a seed of their own: each once, sorted."""
    return tuple(sorted({name for name in operations if name.startswith(UNSEEDED_OPERATIONS)}))


def proxy_layer(
    ctx: LossContext,
    function: Callable[..., Any],
    *,
    per_class: int = 1,
    moving: Sequence[int] | None = None,
    random: bool = False,
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
        random: Whether the function draws random numbers: then its last argument is a seed, as :func:`random_layer`
            describes it.
    """
    return _layer(ctx, function, per_class=per_class, moving=moving, random=random)


def random_layer(ctx: LossContext, function: Callable[..., Any]) -> LossFunction:
    """Return a ``keras.layers.Layer`` that calls a pure function with a seed for random numbers, another one each time.

    Every training begins with the seed of its own trial, so that its numbers do not depend on what was trained before.

    >>> def loss(labels, embeddings, seed):
    ...     noise = tf.random.stateless_normal(tf.shape(embeddings), seed, stddev=0.1)
    ...     return tf.reduce_mean((embeddings + noise)**2)
    >>> random_layer(ctx, loss)

    Args:
        ctx: The seed of the first call.
        function: ``(labels, embeddings, seed) -> scalar``; the seed is int32 (2,), for ``tf.random.stateless_normal``
            and its like. One that draws twice splits it: ``tf.random.split(seed, 2)``.
    """
    return _layer(ctx, function, per_class=0, moving=None, random=True)


def _layer(
    ctx: LossContext, function: Callable[..., Any], *, per_class: int, moving: Sequence[int] | None, random: bool
) -> LossFunction:
    import tensorflow as tf

    keras: Any = tf.keras

    class Layer(keras.layers.Layer):  # type: ignore[misc]  # a class of no known type
        def __init__(self) -> None:
            super().__init__(name="proxy_layer" if per_class else "random_layer")
            self.proxies = self.moving = self.seeds = None
            if per_class:
                shape = (ctx.num_classes * per_class, ctx.embedding_dim)
                drawn = keras.initializers.RandomNormal(stddev=ctx.embedding_dim**-0.5, seed=ctx.seed)
                self.proxies = self.add_weight(name="proxies", shape=shape, initializer=drawn)
            if moving is not None:
                self.moving = self.add_weight(name="moving", shape=tuple(moving), initializer="zeros", trainable=False)
            if random:
                # Its state is no weight; the engine sets it anew for each training, as that of Keras' own layers.
                self.seeds = keras.random.SeedGenerator(ctx.seed)
            self.built = True

        def call(self, labels: tf.Tensor, embeddings: tf.Tensor) -> Any:  # noqa: ANN401 - what the function gives
            given = [tf.convert_to_tensor(weight) for weight in (self.proxies, self.moving) if weight is not None]
            if self.seeds is not None:
                given.append(tf.cast(self.seeds.next(), tf.int32))
            returned = function(labels, embeddings, *given)
            if self.moving is None:
                return returned
            value, after = returned
            self.moving.assign(after)
            return value

    return Layer()
