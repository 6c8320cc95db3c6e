"""The Adam optimiser in one pass over the weights, by an operation of TensorFlow itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faceexp.engine.backend import Tensor, Variable, tensorflow
from faceexp.engine.borders import handle_of

# The defaults of Keras.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

# The running means of a variable's gradient and of its square.
Moments = tuple[Variable, Variable]


class Adam:
    """Adam (Kingma, Ba: Adam: a method for stochastic optimization. ICLR 2015) with the defaults of Keras.

    ``w -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + 1e-7)``, where t counts the steps from 1, and m and v are the
    running means of the gradient and of its square. Keras computes the same in ten operations, each of which is a pass
    over memory unless XLA fuses them.

    Args:
        learning_rate: The rate.
        variables: The variables that are trained.
        shared: Moments that exist already, by ``id`` of their variable. All trainings of a network use the same memory
            for them, since each starts from zero.
    """

    def __init__(self, learning_rate: float, variables: Sequence[Variable], shared: Mapping[int, Moments]) -> None:
        tf = tensorflow()
        self.learning_rate = learning_rate
        self.steps = tf.Variable(0.0, trainable=False)
        self.moments = [shared.get(id(variable)) or zero_moments(variable) for variable in variables]
        self._variables = list(variables)

    @property
    def variables(self) -> list[Variable]:
        """Everything that the optimiser keeps from step to step."""
        return [self.steps, *(moment for pair in self.moments for moment in pair)]

    def reset(self) -> None:
        """Start over, as if no step had been made."""
        self.steps.assign(0.0)
        for moment in (moment for pair in self.moments for moment in pair):
            moment.assign(tensorflow().zeros_like(moment))

    def apply(self, gradients: Sequence[Tensor | None]) -> None:
        """Make a step. A variable whose gradient is ``None`` stays as it is.

        Args:
            gradients: One per variable, in the same order.

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
                var=handle_of(variable),
                m=mean.handle,
                v=square.handle,
                beta1_power=BETA_1**self.steps,
                beta2_power=BETA_2**self.steps,
                lr=self.learning_rate,
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=EPSILON,
                # TensorFlow may give a gradient as the few rows that are not zero; the operation wants all of them.
                grad=tf.convert_to_tensor(gradient),
            )
            if getattr(variable, "constraint", None) is not None:
                variable.assign(variable.constraint(variable))


def zero_moments(variable: Variable) -> Moments:
    """Return the moments of a variable before the first step."""
    tf = tensorflow()
    mean, square = (tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False) for _ in range(2))
    return mean, square
