"""A network in other formats. Each file that is written is opened again and compared with what it was made from."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceexp.engine.backend import standard, tensorflow
from faceexp.engine.borders import check_trunk
from faceexp.errors import InputError, Problem
from faceexp.quiet import silence
from faceexp.results.folder import NETWORK_FILES, ModelFolder
from faceexp.serving.runtimes import keras_model, network_of

if TYPE_CHECKING:
    from faceexp.arrays import AnyArray, FloatArray
    from faceexp.contract import FixedModelPlugin, ModelPlugin

# The largest difference that an embedding may have from that of the network which was converted, as a share of the
# largest value in any embedding. Another order of additions in float32 changes embeddings by about 1e-6; an operation
# that a converter got wrong changes them far more. Thresholds are not so exact that a thousandth could matter.
TOLERANCE = 1e-3
# The formats in which a function of TensorFlow can be written; Keras' own needs layers.
OF_FUNCTIONS = ("onnx", "tflite", "saved_model")
# How many sides an image has, with its channels.
IMAGE = 3


@dataclass(frozen=True)
class Convertible:
    """A network that can be written in other formats.

    Attributes:
        run: From numbers float32 (N, ...) to embeddings float32 (N, D).
        write: Writes it in a format of :data:`~faceexp.results.folder.NETWORK_FILES` to a path.
        shape: Of what it takes, without the batch.
    """

    run: Callable[[FloatArray], FloatArray]
    write: Callable[[str, Path], None]
    shape: tuple[int, ...]

    def noise(self) -> AnyArray:
        """Return what networks are compared on: noise is enough, and an image that works could hide a mistake."""
        random = np.random.default_rng(0)
        # Behind a trunk come features, and no pixels.
        if len(self.shape) != IMAGE:
            return random.standard_normal((3, *self.shape)).astype(np.float32)
        return random.integers(0, 256, (3, *self.shape), dtype=np.uint8)


def convert(opened: Callable[[], Convertible], where: Path, formats: Sequence[str], made: Path) -> dict[str, float]:
    """Write a network in every format, and return the deviation of each from what it was made from.

    Args:
        opened: Opens the network.
        where: Its file or folder, for messages.
        formats: Of :data:`~faceexp.results.folder.NETWORK_FILES`.
        made: The folder to write to.

    Raises:
        InputError: It cannot be opened, or a converter does not do it, or not rightly.
    """
    deviations = {}
    tensorflow()
    with silence(), warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=made.parent) as work:
        # Keras and the converters warn about their own internals; nothing of ours runs in here.
        warnings.simplefilter("ignore")
        try:
            network = opened()
        except InputError:
            raise
        except Exception as error:  # a damaged file may make it raise anything
            raise InputError(Problem(f"cannot be loaded: {_reason(error)}", str(where))) from error
        noise = network.noise()
        expected = network.run(noise.astype(np.float32))
        for name in formats:
            # Each format gets a folder of its own, because `network_of` opens the first format that it finds.
            alone = Path(work) / name
            alone.mkdir()
            try:
                network.write(name, alone / NETWORK_FILES[name])
            except Exception as error:  # converters raise anything
                message = f"cannot be converted to {name}: {_reason(error)}; export it to keras or saved_model"
                raise InputError(Problem(message, str(where))) from error
            converted = network_of(ModelFolder(alone), trust_saved_model=True)  # it was made above
            # Two sizes of batches are tried, because a converter may have fixed the size by mistake.
            embeddings = np.concatenate([converted(noise[:1]), converted(noise[1:])])
            deviations[name] = float(np.abs(embeddings - expected).max() / (np.abs(expected).max() or 1.0))
            if not deviations[name] <= TOLERANCE:  # which is also so if it is no number
                message = f"{name} gives embeddings that deviate by {deviations[name]:.2g}; export it to keras"
                raise InputError(Problem(message, str(where)))
            (alone / NETWORK_FILES[name]).rename(made / NETWORK_FILES[name])
    return deviations


def of_keras_file(file: Path, shape: tuple[int, ...] | None = None) -> Convertible:
    """Return the network of a file that Keras has saved; without a shape, the file says what it takes."""
    network = keras_model(file)

    def write(name: str, target: Path) -> None:
        if name == "keras":
            shutil.copyfile(file, target)
        else:
            _write_keras(network, name, target)

    takes = shape or tuple(network.input_shape[1:])
    return Convertible(lambda numbers: np.asarray(network(numbers, training=False)), write, takes)


def of_trunk(plugin: ModelPlugin, shape: tuple[int, int, int]) -> Convertible:
    """Return the network that a plugin builds with Keras, from pixels to embeddings."""
    with standard(0):
        network: Any = plugin.build(shape)
        check_trunk(network)
    return Convertible(
        lambda numbers: np.asarray(network(numbers, training=False)),
        lambda name, target: _write_keras(network, name, target),
        shape,
    )


def of_function(plugin: FixedModelPlugin, shape: tuple[int, int, int]) -> Convertible:
    """Return the network that a plugin opens as a function of TensorFlow, from pixels to embeddings."""
    tf = tensorflow()
    function = plugin.as_function(shape)
    if function is None:
        raise TypeError(f"{type(plugin).__name__} gives no function")
    module = tf.Module()
    module.run = tf.function(function, input_signature=[tf.TensorSpec((None, *shape), tf.float32, name="pixels")])
    concrete = module.run.get_concrete_function()

    def write(name: str, target: Path) -> None:
        if name == "onnx":
            import tf2onnx

            signature = module.run.input_signature
            tf2onnx.convert.from_function(module.run, input_signature=signature, output_path=str(target))
        elif name == "tflite":
            target.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert())
        else:
            tf.saved_model.save(module, str(target), signatures=concrete)

    return Convertible(lambda numbers: concrete(tf.constant(numbers)).numpy(), write, shape)


def _write_keras(network: Any, name: str, file: Path) -> None:  # noqa: ANN401 - Keras has no types
    """Write a network of Keras in one format."""
    if name == "keras":
        network.save(file)
    elif name == "onnx":
        network.export(file, format="onnx", verbose=False)
    elif name == "saved_model":
        network.export(file, format="tf_saved_model", verbose=False)
    else:
        with tempfile.TemporaryDirectory() as between:
            network.export(between, format="tf_saved_model", verbose=False)
            file.write_bytes(tensorflow().lite.TFLiteConverter.from_saved_model(between).convert())


def _reason(error: Exception) -> str:
    """Return the message of an error on one line, without the pages that some converters add."""
    return " ".join(str(error).split())[:300] or type(error).__name__
