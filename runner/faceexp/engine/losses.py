"""What a loss plugin builds, a function or a layer with weights, as the engine handles it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import cast

from faceexp.contract import LossContext, LossPlugin
from faceexp.engine.backend import LossCallable, Tensor, Variable, derive_seed, reseed, standard, tensorflow
from faceexp.engine.borders import PluginValueError, handle_of, scalar
from faceexp.registry.combined import CombinedLoss
from faceexp.registry.installed import ConfiguredPlugin


def build_loss(plugin: LossPlugin | CombinedLoss, num_classes: int, dim: int, seed: int) -> LossCallable:
    """Return what a plugin builds, with its weights made; or the sum of what several build.

    Raises:
        PluginValueError: It cannot be called. Whatever else the plugin raises passes through.
    """
    if isinstance(plugin, CombinedLoss):
        # The first part begins as it does alone; each other one draws numbers of its own, even of the same plugin.
        seeds = [derive_seed("part", seed, place) if place else seed for place in range(len(plugin.parts))]
        parts = [cast("LossPlugin", part.plugin) for part in plugin.parts]
        built = [build_loss(part, num_classes, dim, each) for part, each in zip(parts, seeds, strict=True)]
        return WeightedSum(built, plugin.weights)
    tf = tensorflow()
    with standard(derive_seed("build loss", seed)):
        loss = plugin.build(LossContext(num_classes, dim, seed))
        if not callable(loss):
            raise PluginValueError(f"build gives {type(loss).__name__}, which cannot be called")
        # A layer may create its weights only when it is called; the optimiser has to know them before a step.
        if isinstance(loss, tf.keras.layers.Layer) and not loss.built:
            loss(tf.zeros(2, tf.int32), tf.zeros((2, dim)))
    return loss


def trained_by(loss: ConfiguredPlugin | CombinedLoss) -> LossPlugin | CombinedLoss:
    """Return what builds the loss of a row: its plugin, or the sum of several."""
    return loss if isinstance(loss, CombinedLoss) else cast("LossPlugin", loss.plugin)


class WeightedSum:
    """Losses as one: the sum of their values, each times its weight. It has the weights of all that are trained.

    Args:
        parts: What plugins have built.
        factors: What the value of each is multiplied by.
    """

    def __init__(self, parts: Sequence[LossCallable], factors: Sequence[float]) -> None:
        self.parts, self.factors = tuple(parts), tuple(factors)

    def __call__(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """Return the value for a batch, float32 ().

        Raises:
            PluginValueError: That of a part is no number.
        """
        values = [scalar(part(labels, embeddings)) for part in self.parts]
        return tensorflow().add_n([factor * value for factor, value in zip(self.factors, values, strict=True)])

    @property
    def trainable_variables(self) -> list[Variable]:
        """The weights of all parts that are trained."""
        return [variable for part in self.parts for variable in trainable_variables(part)]

    @property
    def weights(self) -> list[Variable]:
        """The weights of all parts that each training begins with anew."""
        return [variable for part in self.parts for variable in weights_of(part)]

    @property
    def variables(self) -> list[Variable]:
        """Everything of all parts that is set anew for each training."""
        return [variable for part in self.parts for variable in getattr(part, "variables", [])]


class PluginLoss:
    """The loss of a plugin in training: built once, and drawn anew for each training.

    Args:
        plugin: What builds it; or what holds several, whose weighted sum is trained.
        num_classes: Number of training people.
        dim: Numbers per embedding.
        seed: Of what it draws when it is built.
    """

    def __init__(self, plugin: LossPlugin | CombinedLoss, num_classes: int, dim: int, seed: int) -> None:
        self._built = functools.partial(build_loss, plugin, num_classes, dim)
        self.function = self._built(seed)

    def __call__(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """Return the value for a batch, float32 ().

        Raises:
            PluginValueError: It is no number.
        """
        return scalar(self.function(labels, embeddings))

    @property
    def trainable_variables(self) -> list[Variable]:
        """The weights that are trained."""
        return trainable_variables(self.function)

    @property
    def weights(self) -> list[Variable]:
        """The weights that each training begins with anew."""
        return weights_of(self.function)

    @property
    def variables(self) -> list[Variable]:
        """Everything that is set anew for each training: weights, and of a layer the states of its random numbers."""
        return list(getattr(self.function, "variables", []))

    def reset(self, seed: int) -> None:
        """Start over: with weights and random numbers that are drawn anew."""
        reseed(self.function, derive_seed("loss", seed))
        # All weights of the loss, not only those that are trained: a loss may also count or average in some of them.
        if self.weights:
            for variable, drawn in zip(self.weights, weights_of(self._built(seed)), strict=True):
                variable.assign(drawn)


def gradients_of(
    tape: Tensor,
    value: Tensor,
    trained: Sequence[Variable],
    known: Sequence[Variable],
    scale: Tensor | None = None,
) -> list[Tensor | None]:
    """Return the gradients of a loss, one for each weight that is trained.

    Args:
        tape: The gradient tape that has watched how the value came about.
        value: The value of the loss.
        trained: The weights that are trained.
        known: Every variable of the network and of the loss.
        scale: What the value counts as, float32 (): gradients are this many times as large; see :class:`LossScale`.

    Raises:
        PluginValueError: See :func:`refuse_hidden`.
    """
    unseen = others(tape.watched_variables(), known)
    gradients = tape.gradient(value, [*trained, *unseen], output_gradients=scale)
    refuse_hidden(unseen, gradients[len(trained) :])
    return list(gradients[: len(trained)])


def weights_of(loss: LossCallable) -> list[Variable]:
    """Return the weights of a loss that each training begins with anew: those of a layer, or all of a ``tf.Module``."""
    return list(getattr(loss, "weights", None) or getattr(loss, "variables", []))


def trainable_variables(loss: LossCallable) -> list[Variable]:
    """Return the trainable weights of a loss; a plain function has none."""
    return list(getattr(loss, "trainable_variables", []))


def others(watched: Sequence[Variable], known: Sequence[Variable]) -> list[Variable]:
    """Return the variables that a step uses and that are none of those which are known."""
    handles = {id(handle_of(variable)) for variable in known}
    return [variable for variable in watched if id(variable.handle) not in handles]


def refuse_hidden(hidden: Sequence[Variable], gradients: Sequence[Tensor | None]) -> None:
    """Refuse a loss that depends on variables which are no weights of it.

    Raises:
        PluginValueError: A gradient reaches one of them, so it would have to be trained.
    """
    for variable, gradient in zip(hidden, gradients, strict=True):
        if gradient is not None:
            raise PluginValueError(
                f"the loss depends on a variable of shape {tuple(variable.shape)} that nobody would train: "
                "return a keras.layers.Layer that holds it as a weight, or make it with trainable=False"
            )
