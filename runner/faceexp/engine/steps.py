"""Many training steps in one compiled call, and what such a call keeps from one training to the next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from faceexp.engine.backend import Tensor, Variable, compiled, derive_seed, many_steps, standard
from faceexp.engine.borders import PluginValueError, outside_state, unseeded_draws


class Steps:
    """The compiled steps of a training, which are looked at when they are made for the first time.

    Args:
        step: ``(rows, labels, mean, deviation) -> loss``; it also updates the weights that are trained.
        chunk: The most steps of one call.
        known: Returns the variables that are set anew for each training.
        xla: Whether XLA compiles them.

    Attributes:
        outside: What a step keeps beside the known variables, after the first call: variables, tables and random
            generators that the loss holds, or none of these but random numbers without a seed. ``None`` where it keeps
            nothing. Steps that keep something must not be used for a second training.
        unseeded: What :func:`unseeded_draws` says of the step, after the first call.
    """

    def __init__(
        self, step: Callable[..., Tensor], chunk: int, known: Callable[[], Sequence[Variable]], *, xla: bool = False
    ) -> None:
        self._compiled = compiled(many_steps(step, chunk), xla=xla)
        self._known = known
        self._examined = False
        self.outside: list[Tensor] | None = None
        self.unseeded: tuple[str, ...] = ()

    def __call__(self, *arguments: Tensor) -> Tensor:
        """Make steps; the arguments are those of what :func:`many_steps` returns."""
        if self._examined:
            return self._compiled(*arguments)
        # The first call compiles the step, which runs the code of the loss.
        with standard(derive_seed("compile")):
            losses = self._compiled(*arguments)
        self.outside = outside_state(self._compiled, arguments, self._known())
        self.unseeded = unseeded_draws(self._compiled.get_concrete_function(*arguments))
        self._examined = True
        return losses


class Kept:
    """What losses of earlier trainings kept beside their weights; held here, so that nothing else gets its identity."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []

    def add(self, tensors: Collection[Tensor]) -> None:
        """Hold what a training has kept.

        Raises:
            PluginValueError: Two trainings share a variable, so the second one depends on the first.
        """
        if {id(tensor) for tensor in self._tensors} & {id(tensor) for tensor in tensors}:
            raise PluginValueError("the loss keeps a variable from one training to the next; make it anew in `build`")
        self._tensors += tensors
