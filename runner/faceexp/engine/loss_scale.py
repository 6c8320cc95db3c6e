"""The scale of a loss whose gradients are computed in float16, in which small ones would become 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from faceexp.engine.backend import Tensor, Variable, tensorflow

# As keras.optimizers.LossScaleOptimizer has them.
FIRST = 2.0**15
GOOD_STEPS = 2000
# A gradient that is not finite at a scale below this, after some forty steps that were left out, does not come from the
# scale. The step is made: weights and loss become what they would be without a scale, so that the training diverges.
SMALLEST = 2.0**-24


class LossScale:
    """Chooses the scale while a network is trained (Micikevicius et al.: Mixed precision training. ICLR 2018).

    The gradients of a loss that counts ``s`` times are ``s`` times as large, and are divided by ``s`` in float32. Where
    one of them is not finite, the step is left out and ``s`` is halved; after 2000 steps without that, ``s`` is
    doubled. It is what ``keras.optimizers.LossScaleOptimizer`` does.

    Attributes:
        value: The scale ``s``, float32 ().
    """

    def __init__(self) -> None:
        tf = tensorflow()
        self.value = tf.Variable(FIRST, trainable=False)
        self._good = tf.Variable(0.0, trainable=False)

    @property
    def variables(self) -> list[Variable]:
        """Everything that is kept from step to step."""
        return [self.value, self._good]

    def reset(self) -> None:
        """Start over."""
        self.value.assign(FIRST)
        self._good.assign(0.0)

    def step(self, gradients: Sequence[Tensor | None], make: Callable[[Sequence[Tensor | None]], None]) -> None:
        """Make a step, or leave it out, and choose the scale of the next one.

        Args:
            gradients: Those of the scaled loss; a weight without one has ``None``.
            make: Makes the step with the gradients of the loss itself.
        """
        tf = tensorflow()
        scale = tf.convert_to_tensor(self.value)
        plain = [each if each is None else _divided(each, scale) for each in gradients]
        numbers = [_numbers(each) for each in gradients if each is not None]
        is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in numbers])

        def made() -> Tensor:
            make(plain)
            return tf.constant(0)

        tf.cond(is_finite | (scale < SMALLEST), made, lambda: tf.constant(0))
        is_doubled = self._good + 1.0 >= GOOD_STEPS
        self.value.assign(tf.where(is_finite, tf.where(is_doubled, 2.0 * scale, scale), 0.5 * scale))
        self._good.assign(tf.where(is_finite & ~is_doubled, self._good + 1.0, 0.0))


def _divided(gradient: Tensor, scale: Tensor) -> Tensor:
    """Return a gradient over a scale; one of a few rows stays one."""
    tf = tensorflow()
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / scale, gradient.indices, gradient.dense_shape)
    return gradient / scale


def _numbers(gradient: Tensor) -> Tensor:
    return gradient.values if isinstance(gradient, tensorflow().IndexedSlices) else gradient
