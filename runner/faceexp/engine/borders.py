"""What plugins give to the engine is checked where it comes in, so that a mistake is named and changes no number.

A batch with other rows than a sampler has promised, a loss that is no scalar, or a weight that nobody trains would
otherwise give results that look like all others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from faceexp import layers
from faceexp.arrays import IntArray
from faceexp.contract import BatchSupply
from faceexp.engine.backend import Compiled, Tensor, Variable, tensorflow

# The beginnings of the names of operations that keep something from one call to the next: random numbers without a
# seed of their own, and code in Python.
STATEFUL_OPERATIONS = (*layers.UNSEEDED_OPERATIONS, "PyFunc", "EagerPyFunc")
SCALAR = "it has to return one float32 number, computed from the embeddings"


class PluginValueError(ValueError):
    """A plugin has given a value that its contract does not allow; the text says which."""


def check_trunk(trunk: Tensor) -> None:
    """Refuse what cannot be a trunk.

    Raises:
        PluginValueError: It is no Keras model, it has several inputs or outputs, or it does not return one flat feature
            vector per image.
    """
    if not isinstance(trunk, tensorflow().keras.Model):
        raise PluginValueError(f"the model plugin gives {_kind(trunk)}, not a keras.Model")
    if len(trunk.inputs) != 1 or len(trunk.outputs) != 1:
        raise PluginValueError(
            f"the trunk has {len(trunk.inputs)} inputs and {len(trunk.outputs)} outputs; it needs one of each"
        )
    shape = tuple(trunk.output_shape)
    if len(shape) != 2 or shape[1] is None:
        raise PluginValueError(f"the trunk gives {shape}, not one flat feature vector per image")


def check_can_be_kept(save: Callable[[Path], None]) -> None:
    """Refuse a network that Keras cannot save, or cannot open again: otherwise all training would be in vain.

    Args:
        save: Writes the network into a file.

    Raises:
        PluginValueError: It cannot be saved, or not be opened; a layer with code of its own is the usual cause.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.keras"
        try:
            save(file)
            tensorflow().keras.models.load_model(file, compile=False, safe_mode=True)
        except OSError:
            raise
        except Exception as error:
            raise PluginValueError(
                "the network cannot be saved and opened again, so nothing that is trained could be used; the trunk has "
                f"to consist of Keras' own layers, without Lambda: {error}"
            ) from error


def scalar(value: Tensor) -> Tensor:
    """Return the value of a loss as float32.

    Raises:
        PluginValueError: It is no floating-point number of shape ().
    """
    tf = tensorflow()
    if not tf.is_tensor(value):
        raise PluginValueError(f"the loss gives {_kind(value)}, not a tensor; {SCALAR}")
    if value.shape.rank not in (None, 0):
        raise PluginValueError(f"the loss gives values of shape {tuple(value.shape)}, not a scalar; {SCALAR}")
    if not value.dtype.is_floating:
        raise PluginValueError(f"the loss gives a number of type {value.dtype.name}; {SCALAR}")
    return tf.cast(value, tf.float32)


def take(batches: Iterator[IntArray], count: int, supply: BatchSupply, labels: IntArray, sampler: str) -> IntArray:
    """Return the next batches of a sampler, int (count, B), each as the sampler has promised.

    Args:
        batches: What the sampler has built.
        count: How many batches to take.
        supply: What the sampler promises of each.
        labels: int32 (N,), the labels of the training images.
        sampler: What to call it in messages.

    Raises:
        PluginValueError: A batch is missing, is no array of rows, or is not as promised.
    """
    rows = []
    for _ in range(count):
        try:
            batch = np.asanyarray(next(batches))
        except StopIteration:
            raise PluginValueError(f"{sampler} has no more batches; they must not end") from None
        if isinstance(batch, np.ma.MaskedArray) or batch.dtype.kind not in "iu":
            kind = "a masked array" if isinstance(batch, np.ma.MaskedArray) else f"an array of {batch.dtype}"
            raise PluginValueError(f"{sampler} gives {kind}; a batch is an array of integers, which count the images")
        if batch.shape != (supply.size,):
            raise PluginValueError(
                f"{sampler} promises batches of {supply.size} images, and gives one of shape {batch.shape}"
            )
        rows.append(batch)
    chosen = np.stack(rows)
    if chosen.min() < 0 or chosen.max() >= len(labels):
        raise PluginValueError(
            f"{sampler} asks for image {chosen.min() if chosen.min() < 0 else chosen.max()}; there are images 0 to "
            f"{len(labels) - 1}"
        )
    broken = _broken_promise(labels[chosen], supply)
    if broken:
        raise PluginValueError(f"{sampler} promises {broken}, and gives a batch without that")
    return chosen


def _broken_promise(labels: IntArray, supply: BatchSupply) -> str:
    """Return what some batch lacks of what was promised, or an empty text; labels are int (batches, B)."""
    ranked = np.sort(labels, axis=1)
    is_first = np.ones(ranked.shape, bool)  # of its identity
    is_first[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    images = supply.images_per_class
    usable = ranked.shape[1] - images + 1
    has_enough = ranked[:, :usable] == ranked[:, images - 1 :]
    if ((is_first[:, :usable] & has_enough).sum(axis=1) < supply.classes).any():
        return f"{supply.classes} identities with {images} images or more in every batch"
    half = labels.shape[1] // 2
    is_same = labels[:, :half] == labels[:, half : 2 * half]
    if supply.halves == "similar" and not is_same.all():
        return "rows i and i + B/2 of the same identity"
    if supply.halves == "mixed" and (is_same.all(axis=1) | ~is_same.any(axis=1)).any():
        return "rows i and i + B/2 of the same identity in some pairs and of different ones in others"
    return ""


def unseeded_draws(concrete: Compiled) -> tuple[str, ...]:
    """Return the names of a drawn graph's operations that draw random numbers without a seed of their own, sorted."""
    return layers.unseeded_draws(_operations(concrete))


def unseeded_sentence(loss: str, labels: Collection[str], operations: Collection[str]) -> str:
    """Return what has to be known of a loss for whose random numbers there is no seed, and how it is mended.

    Args:
        loss: The name of the plugin.
        labels: Its rows that draw them.
        operations: What :func:`unseeded_draws` has given.
    """
    rows = f" ({'row' if len(labels) == 1 else 'rows'} {', '.join(map(repr, labels))})"
    return (
        f"loss {loss!r}{'' if list(labels) == [loss] else rows} draws random numbers that no seed determines "
        f"({', '.join(sorted(operations))}), so its numbers may differ from run to run; draw them with the seed that "
        "`faceexp.layers.random_layer` gives"
    )


def outside_state(
    function: Compiled, arguments: Collection[Tensor], known: Collection[Variable]
) -> list[Tensor] | None:
    """Return what a compiled function reads or writes beside the variables that are set anew for each training.

    Args:
        function: A function that was called with these arguments, so it is not compiled again.
        arguments: See above.
        known: The variables that are set anew.

    Returns:
        The variables, tables and random generators beside these; ``None`` where there are none, and no operation that
        keeps something by itself either. A list may be empty: then there are such operations alone.
    """
    tf = tensorflow()
    concrete = function.get_concrete_function(*arguments)
    known_handles = {id(handle_of(variable)) for variable in known}
    others = [
        tensor for tensor in concrete.captured_inputs if tensor.dtype == tf.resource and id(tensor) not in known_handles
    ]
    keeps = any(name.startswith(STATEFUL_OPERATIONS) for name in _operations(concrete))
    return others if others or keeps else None


def _operations(concrete: Compiled) -> Iterator[str]:
    """Yield the name of every operation of a drawn graph, and of those of the functions that it calls."""
    graph = concrete.graph.as_graph_def()
    for nodes in (graph.node, *(body.node_def for body in graph.library.function)):
        yield from (node.op for node in nodes)


def handle_of(variable: Variable) -> Tensor:
    """Return what TensorFlow's own operations know a variable by; Keras wraps the variables of TensorFlow."""
    keras = tensorflow().keras
    return variable.value.handle if isinstance(variable, keras.Variable) else variable.handle


def _kind(value: object) -> str:
    """Return what a value is, in words."""
    return "None" if value is None else f"a {type(value).__name__}"
