"""What a training step does with gradients: it clips them, and changes each weight by the optimiser that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faceexp.engine.backend import Tensor, Variable, tensorflow
from faceexp.engine.loss_scale import LossScale
from faceexp.engine.optimizer import Adam, KerasOptimizer, Moments, Optimizer
from faceexp.engine.schedule import rate_of
from faceexp.experiment.optimization import Optimization, Proxies


class Descent:
    """Changes weights as ``[pretrain]`` or ``[finetune]`` says.

    Args:
        settings: Optimiser, learning rate and clipping.
        network: The weights of the network that are trained.
        shared: Adam's moments of them; see :class:`Adam`.
        proxies: The weights of the loss that are trained.
        differing: What differs for these.
        sampled: Which of these hold the rows of other identities at each step. They have an optimiser of their own, so
            that what it keeps can be exchanged with them.
        scaled: Whether gradients are those of a scaled loss, as float16 needs.
    """

    def __init__(
        self,
        settings: Optimization,
        network: Sequence[Variable],
        shared: Mapping[int, Moments],
        proxies: Sequence[Variable] = (),
        differing: Proxies | None = None,
        sampled: Sequence[Variable] = (),
        *,
        scaled: bool = False,
    ) -> None:
        self._scale = LossScale() if scaled else None
        rest = [each for each in proxies if not any(each is window for window in sampled)]
        self.trained = [*network, *rest, *sampled]
        self._steps = tensorflow().Variable(0.0, trainable=False)
        self._clip_norm, self._clip_value = settings.clip_norm, settings.clip_value
        of_loss = _of_proxies(settings, differing) if differing else settings
        groups = [(settings, network), (of_loss, rest)] if differing else [(settings, [*network, *rest])]
        self._optimizers = [
            (len(variables), self._optimizer(each, variables, shared))
            for each, variables in (*groups, (of_loss, sampled))
            if variables
        ]
        # What the optimiser of the sampled variables keeps.
        self.kept_of_sampled = self._optimizers[-1][1].variables if sampled else []

    def _optimizer(
        self, settings: Optimization, variables: Sequence[Variable], shared: Mapping[int, Moments]
    ) -> Optimizer:
        rate = rate_of(settings.learning_rate, settings.schedule, self._steps)
        if settings.optimizer is None or settings.optimizer.is_usual:
            return Adam(rate, variables, shared)
        return KerasOptimizer(settings.optimizer, rate, variables)

    @property
    def variables(self) -> list[Variable]:
        """Everything that is kept from step to step, beside the weights."""
        of_scale = self._scale.variables if self._scale else []
        return [self._steps, *of_scale, *(kept for _, optimizer in self._optimizers for kept in optimizer.variables)]

    @property
    def scale(self) -> Variable | None:
        """What the gradients that :meth:`apply` gets are multiplied by; ``None``: nothing."""
        return self._scale.value if self._scale else None

    def reset(self, steps: int) -> None:
        """Start over from the weights as they are now.

        Args:
            steps: How many steps there are in all, on which schedules depend.
        """
        self._steps.assign(float(steps))
        if self._scale:
            self._scale.reset()
        for _, optimizer in self._optimizers:
            optimizer.reset()

    def apply(self, gradients: Sequence[Tensor | None]) -> None:
        """Make a step. A weight whose gradient is ``None`` stays as it is.

        Args:
            gradients: One per weight of ``trained``, in the same order, multiplied by ``scale``.

        Raises:
            ValueError: Every gradient is ``None``.
        """
        if all(gradient is None for gradient in gradients):
            raise ValueError("the loss depends on no weight that is trained")
        if self._scale:
            self._scale.step(gradients, self._apply)
        else:
            self._apply(gradients)

    def _apply(self, gradients: Sequence[Tensor | None]) -> None:
        rest = self._clipped(gradients)
        for count, optimizer in self._optimizers:
            own, rest = rest[:count], rest[count:]
            if any(gradient is not None for gradient in own):
                optimizer.apply(own)

    def _clipped(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        tf = tensorflow()
        if self._clip_norm is not None:
            return list(tf.clip_by_global_norm(gradients, self._clip_norm)[0])
        if self._clip_value is not None:
            size = self._clip_value
            return [each if each is None else tf.clip_by_value(each, -size, size) for each in gradients]
        return list(gradients)


def _of_proxies(settings: Optimization, differing: Proxies) -> Optimization:
    """Return the settings of the weights of a loss."""
    given = {key: value for key, value in differing if value is not None}
    return settings.model_copy(update=given)
