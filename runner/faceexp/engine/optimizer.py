"""Optimisers: Adam in one pass over the weights, by an operation of TensorFlow itself, and those of Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from faceexp.engine.backend import KerasLayer, Tensor, Variable, tensorflow
from faceexp.engine.borders import handle_of
from faceexp.engine.schedule import Rate
from faceexp.experiment.optimization import Optimizer as Named

# The defaults of Keras.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

# The running means of a variable's gradient and of its square.
Moments = tuple[Variable, Variable]


class Optimizer(Protocol):
    """What changes variables by their gradients, and can start over."""

    @property
    def variables(self) -> list[Variable]:
        """Everything that the optimiser keeps from step to step."""

    def reset(self) -> None:
        """Start over from the variables as they are now, as if no step had been made."""

    def apply(self, gradients: Sequence[Tensor | None]) -> None:
        """Make a step. A variable whose gradient is ``None`` stays as it is.

        Args:
            gradients: One per variable, in the same order.
        """


class Adam:
    """Adam (Kingma, Ba: Adam: a method for stochastic optimization. ICLR 2015) with the defaults of Keras.

    ``w -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + 1e-7)``, where t counts the steps from 1, and m and v are the
    running means of the gradient and of its square. Keras computes the same in ten operations, each of which is a pass
    over memory unless XLA fuses them.

    Args:
        rate: The learning rate.
        variables: The variables that are trained.
        shared: Moments that exist already, by ``id`` of their variable. All trainings of a network use the same memory
            for them, since each starts from zero.
    """

    def __init__(self, rate: Rate, variables: Sequence[Variable], shared: Mapping[int, Moments]) -> None:
        tf = tensorflow()
        self._rate = rate
        self.steps = tf.Variable(0.0, trainable=False)
        self.moments = [shared.get(id(variable)) or zero_moments(variable) for variable in variables]
        self._variables = list(variables)

    @property
    def variables(self) -> list[Variable]:
        """Everything that the optimiser keeps from step to step."""
        return [self.steps, *(moment for pair in self.moments for moment in pair)]

    def reset(self) -> None:
        """Start over; see :class:`Optimizer`."""
        self.steps.assign(0.0)
        for moment in (moment for pair in self.moments for moment in pair):
            moment.assign(tensorflow().zeros_like(moment))

    def apply(self, gradients: Sequence[Tensor | None]) -> None:
        """Make a step; see :class:`Optimizer`."""
        tf = tensorflow()
        rate = self._rate(self.steps)
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
                lr=rate,
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=EPSILON,
                # TensorFlow may give a gradient as the few rows that are not zero; the operation wants all of them.
                grad=tf.convert_to_tensor(gradient),
            )
            if getattr(variable, "constraint", None) is not None:
                variable.assign(variable.constraint(variable))


class KerasOptimizer:
    """An optimiser of ``keras.optimizers``.

    Args:
        named: Its name and options.
        rate: The learning rate.
        variables: The variables that are trained.

    Raises:
        ValueError: Keras has no such optimiser. Whatever it raises at wrong options passes through.
    """

    def __init__(self, named: Named, rate: Rate, variables: Sequence[Variable]) -> None:
        self.steps = tensorflow().Variable(0.0, trainable=False)
        self._named, self._rate, self._variables = named, rate, list(variables)
        self._keras = self._made()

    def _made(self) -> KerasLayer:
        keras = tensorflow().keras
        classes = {name.lower(): value for name, value in vars(keras.optimizers).items() if isinstance(value, type)}
        if self._named.name not in classes:
            raise ValueError(f"Keras has no optimiser {self._named.name!r}")
        # The rate of every step is set before it.
        made = classes[self._named.name](learning_rate=1.0, **self._named.options)
        made.build(self._variables)
        return made

    @property
    def variables(self) -> list[Variable]:
        """Everything that the optimiser keeps from step to step."""
        return [self.steps, *self._keras.variables]

    def reset(self) -> None:
        """Start over; see :class:`Optimizer`. Some begin with ones, or with the values of the variables themselves."""
        self.steps.assign(0.0)
        for variable, fresh in zip(self._keras.variables, self._made().variables, strict=True):
            variable.assign(fresh)

    def apply(self, gradients: Sequence[Tensor | None]) -> None:
        """Make a step; see :class:`Optimizer`."""
        tf = tensorflow()
        self._keras.learning_rate.assign(self._rate(self.steps))
        self.steps.assign_add(1.0)
        pairs = [pair for pair in zip(gradients, self._variables, strict=True) if pair[0] is not None]
        self._keras.apply([tf.convert_to_tensor(gradient) for gradient, _ in pairs], [each for _, each in pairs])


def zero_moments(variable: Variable) -> Moments:
    """Return the moments of a variable before the first step."""
    tf = tensorflow()
    mean, square = (tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False) for _ in range(2))
    return mean, square
