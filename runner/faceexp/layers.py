"""Layers of losses: of those that learn proxies, points that stand for classes, or numbers, or draw random numbers.

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
    proxies: int | None = None,
    scalars: Sequence[float] = (),
    moving: Sequence[int] | None = None,
    random: bool = False,
) -> LossFunction:
    """Return a ``keras.layers.Layer`` that calls a pure function with trainable proxies.

    The proxies are one variable (num_classes * per_class, D), row ``c * per_class + s`` the s-th of class c. They
    start out normally distributed, of length about 1 whatever D, so that steps of one size turn them alike.

    Args:
        ctx: Numbers of classes and dimensions, and the seed of the first values.
        function: ``(labels, embeddings, proxies, *scalars) -> scalar``; with ``moving``,
            ``(labels, embeddings, proxies, *scalars, moving) -> (scalar, next value of moving)``.
        per_class: Proxies for each class.
        proxies: How many proxies there are, if they do not stand for classes. If they do, the engine may let a step see
            those of a few classes (``sampled_classes`` in a file): ``num_classes`` is how many a step sees, and labels
            count these.
        scalars: First values of trainable numbers.
        moving: Shape of a weight that is not trained, such as a moving average, and that every call replaces; it
            starts with zeros.
        random: Whether the function draws random numbers: then its last argument is a seed, as :func:`random_layer`
            describes it.
    """
    rows = ctx.num_classes * per_class if proxies is None else proxies
    per_class = per_class if proxies is None else 0
    return _layer(
        "proxy_layer", ctx, function, rows=rows, per_class=per_class, scalars=scalars, moving=moving, random=random
    )


def scalar_layer(ctx: LossContext, function: Callable[..., Any], scalars: Sequence[float]) -> LossFunction:
    """Return a ``keras.layers.Layer`` that calls a pure function with trainable numbers, such as a scale and a bias.

    Args:
        ctx: What every layer of a loss is made with.
        function: ``(labels, embeddings, *scalars) -> scalar``.
        scalars: First values of the numbers.
    """
    return _layer("scalar_layer", ctx, function, scalars=scalars)


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
    return _layer("random_layer", ctx, function, random=True)


def _layer(
    name: str,
    ctx: LossContext,
    function: Callable[..., Any],
    *,
    rows: int = 0,
    per_class: int = 0,
    scalars: Sequence[float] = (),
    moving: Sequence[int] | None = None,
    random: bool = False,
) -> LossFunction:
    import tensorflow as tf

    keras: Any = tf.keras

    class Layer(keras.layers.Layer):  # type: ignore[misc]  # a class of no known type
        def __init__(self) -> None:
            # Whatever the precision of the network, a loss is computed in float32: Keras turns embeddings into it.
            super().__init__(name=name, dtype="float32")
            self.proxies = self.moving = self.seeds = None
            # How many rows of the proxies belong to each class; 0 where they stand for none.
            self.per_class = per_class
            self.drawn = keras.initializers.RandomNormal(stddev=ctx.embedding_dim**-0.5, seed=ctx.seed)
            if rows:
                self.proxies = self.add_weight(name="proxies", shape=(rows, ctx.embedding_dim), initializer=self.drawn)
            self.scalars = [
                self.add_weight(name=f"scalar_{number}", shape=(), initializer=keras.initializers.Constant(value))
                for number, value in enumerate(scalars)
            ]
            if moving is not None:
                self.moving = self.add_weight(name="moving", shape=tuple(moving), initializer="zeros", trainable=False)
            if random:
                # Its state is no weight; the engine sets it anew for each training, as that of Keras' own layers.
                self.seeds = keras.random.SeedGenerator(ctx.seed)
            self.built = True

        def first_proxies(self, classes: int) -> tf.Tensor:
            """Return the first values of the proxies of so many classes."""
            first: tf.Tensor = self.drawn((classes * per_class, ctx.embedding_dim), dtype="float32")
            return first

        def call(self, labels: tf.Tensor, embeddings: tf.Tensor) -> Any:  # noqa: ANN401 - what the function gives
            weights = (self.proxies, *self.scalars, self.moving)
            given = [tf.convert_to_tensor(weight) for weight in weights if weight is not None]
            if self.seeds is not None:
                given.append(tf.cast(self.seeds.next(), tf.int32))
            returned = function(labels, embeddings, *given)
            if self.moving is None:
                return returned
            value, after = returned
            self.moving.assign(after)
            return value

    return Layer()
