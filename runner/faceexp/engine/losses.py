"""What a loss plugin builds, a function or a layer with weights, as the engine handles it."""

from __future__ import annotations

from collections.abc import Sequence

from faceexp.contract import LossContext, LossPlugin
from faceexp.engine.backend import LossCallable, Tensor, Variable, derive_seed, standard, tensorflow
from faceexp.engine.borders import PluginValueError, handle_of


def build_loss(plugin: LossPlugin, num_classes: int, dim: int, seed: int) -> LossCallable:
    """Return what a plugin builds, with its weights made.

    Raises:
        PluginValueError: It cannot be called. Whatever else the plugin raises passes through.
    """
    tf = tensorflow()
    with standard(derive_seed("build loss", seed)):
        loss = plugin.build(LossContext(num_classes, dim, seed))
        if not callable(loss):
            raise PluginValueError(f"build gives {type(loss).__name__}, which cannot be called")
        # A layer may create its weights only when it is called; the optimiser has to know them before a step.
        if isinstance(loss, tf.keras.layers.Layer) and not loss.built:
            loss(tf.zeros(2, tf.int32), tf.zeros((2, dim)))
    return loss


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
