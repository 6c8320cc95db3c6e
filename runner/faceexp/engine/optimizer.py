"""Adam in one pass over the weights, by TensorFlow's own operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from faceexp.engine.backend import tensorflow

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

Moments = tuple[Any, Any]


class Adam:
    """Adam (Kingma, Ba: Adam: a method for stochastic optimization. ICLR 2015) with the defaults of Keras.

    ``w -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + 1e-7)``, where m and v are the running means of the gradient
    and of its square. Keras computes the same in ten operations, each a pass over memory, unless XLA fuses them.

    Args:
        learning_rate: The rate.
        variables: What is trained.
        shared: Moments that exist already, by the variable's ``id``; all trainings of a network use the same memory.
    """

    def __init__(self, learning_rate: float, variables: Sequence[Any], shared: Mapping[int, Moments]) -> None:
        tf = tensorflow()
        self.learning_rate = learning_rate
        self.steps = tf.Variable(0.0, trainable=False)
        self.moments = [shared.get(id(variable)) or zero_moments(variable) for variable in variables]
        self._variables = list(variables)

    def reset(self) -> None:
        """Start over: no step was made."""
        self.steps.assign(0.0)
        for moment in (each for pair in self.moments for each in pair):
            moment.assign(tensorflow().zeros_like(moment))

    def apply(self, gradients: Sequence[Any]) -> None:
        """Make a step; a variable whose gradient is ``None`` stays as it is.

        Args:
            gradients: One for each variable, in the same order.

        Raises:
            ValueError: Every gradient is ``None``.
        """
        tf = tensorflow()
        if all(gradient is None for gradient in gradients):
            raise ValueError("the loss depends on no weight that is trained")
        self.steps.assign_add(1.0)
        for variable, (mean, square), gradient in zip(self._variables, self.moments, gradients, strict=True):
            if gradient is None:
                continue
            tf.raw_ops.ResourceApplyAdam(
                var=_handle(variable),
                m=mean.handle,
                v=square.handle,
                beta1_power=BETA_1**self.steps,
                beta2_power=BETA_2**self.steps,
                lr=self.learning_rate,
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=EPSILON,
                # A gradient may come as the few rows that are not zero.
                grad=tf.convert_to_tensor(gradient),
            )
            if getattr(variable, "constraint", None) is not None:
                variable.assign(variable.constraint(variable))


def zero_moments(variable: Any) -> Moments:  # noqa: ANN401 - a variable of Keras or of TensorFlow
    """Return fresh moments of a variable."""
    tf = tensorflow()
    mean, square = (tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False) for _ in range(2))
    return mean, square


def _handle(variable: Any) -> Any:  # noqa: ANN401
    keras = tensorflow().keras
    return variable.value.handle if isinstance(variable, keras.Variable) else variable.handle
