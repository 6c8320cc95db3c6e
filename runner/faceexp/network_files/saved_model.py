"""Folders of SavedModel, the format of TensorFlow. Such a folder is a program: it may write any file of the user."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceexp.files import content_digest, explain_os_error
from faceexp.network_files.features import Pixels, chosen_output, taken_images
from faceexp.network_files.network import NetworkFileError, OpenNetwork, Port, check_network_file, reason_of

if TYPE_CHECKING:
    from faceexp.arrays import AnyArray, FloatArray

# What is said of one that nobody has said to trust; how to say so depends on where it is opened.
A_PROGRAM = (
    "is a program, which could do anything on this computer; export the model as onnx, or, if you trust whoever made "
    "it, say so with"
)
# The function of a SavedModel that a server calls.
SIGNATURE = "serving_default"
# Files of a SavedModel: a graph, and the weights in a few parts.
MOST_FILES = 1000


def check_saved_model(folder: Path) -> list[Path]:
    """Return the files of a folder, each of which may be read. Nothing of it is executed.

    Raises:
        NetworkFileError: It is no such folder, or one of its files must not be read.
    """
    files = []
    for path in folder.rglob("*") if folder.is_dir() else ():
        if not path.is_dir():
            files.append(path)
        if len(files) > MOST_FILES:
            raise NetworkFileError(f"holds more than {MOST_FILES:,} files, and is no SavedModel")
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise NetworkFileError("is no folder that TensorFlow has saved: it holds no saved_model.pb")
    for file in files:
        try:
            check_network_file(file)
        except NetworkFileError as error:
            raise NetworkFileError(f"holds {file.relative_to(folder)}, which {error}") from None
    return sorted(files)


def digest_of_folder(folder: Path) -> str:
    """Return the SHA-256 over the names of the files of a SavedModel and the SHA-256 of their content.

    Raises:
        NetworkFileError: See :func:`check_saved_model`.
    """
    digest = hashlib.sha256()
    for file in check_saved_model(folder):
        name = os.fsencode(file.relative_to(folder).as_posix())
        try:
            digest.update(name + b"\0" + content_digest(file).encode())
        except OSError as error:
            raise NetworkFileError(f"holds {file.relative_to(folder)}, which {explain_os_error(error)}") from None
    return digest.hexdigest()


def open_saved_model(folder: Path) -> OpenNetwork:
    """Open a network with TensorFlow. Whoever calls this has made sure that the user trusts it.

    Raises:
        NetworkFileError: It is damaged, or has no function that a server calls.
    """
    return _opened(folder)[0]


def function_of(
    folder: Path, shape: tuple[int, int, int], pixels: Pixels, output: str | None = None
) -> Callable[[Any], Any]:
    """Return the function of TensorFlow from pixels to features; see :func:`~.features.features_of`.

    Raises:
        NetworkFileError: As :func:`open_saved_model`; or it takes other images, or only so many at once.
    """
    import tensorflow as tf

    network, run = _opened(folder)
    takes, gives = taken_images(network, shape, pixels), chosen_output(network.outputs, output)
    if takes.batch:
        raise NetworkFileError(f"takes {takes.batch} images at once and no other number; export it for any number")

    def features(images: Any) -> Any:  # noqa: ANN401 - TensorFlow has no types
        # As with arrays in `features`.
        numbers = tf.repeat(images, takes.channels, axis=3) if takes.channels > shape[2] else images
        numbers = tf.reverse(numbers, [3]) if pixels.channels == "bgr" else numbers
        numbers = (numbers - tf.constant(pixels.mean, tf.float32)) / tf.constant(pixels.scale, tf.float32)
        values = tf.cast(run(tf.transpose(numbers, [0, 3, 1, 2]) if takes.first else numbers)[gives.name], tf.float32)
        return tf.reduce_mean(values, axis=[2, 3] if takes.first else [1, 2]) if values.shape.rank == 4 else values

    return features


def _opened(folder: Path) -> tuple[OpenNetwork, Callable[[Any], Any]]:
    """Return a network, and its function of TensorFlow, from numbers to outputs by name."""
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:
        raise NetworkFileError(f"cannot be loaded: {reason_of(error)}") from error
    # An object that has no functions at all is what `tf.saved_model.save` writes of a plain module.
    function = dict(getattr(loaded, "signatures", {})).get(SIGNATURE)
    if function is None:
        raise NetworkFileError(f"has no signature {SIGNATURE!r}; export it with one")
    takes = {name: spec for name, spec in function.structured_input_signature[1].items() if hasattr(spec, "shape")}
    first = next(iter(takes.items()), None)

    def run(numbers: Any) -> Any:  # noqa: ANN401 - TensorFlow has no types
        assert first is not None  # noqa: S101 - who calls it has looked at the inputs
        name, spec = first
        # The whole object is kept, because its functions alone do not keep its weights alive.
        return loaded.signatures[SIGNATURE](**{name: tf.cast(numbers, spec.dtype)})

    def on_arrays(numbers: AnyArray, output: str) -> FloatArray:
        return np.asarray(run(numbers)[output])

    def port(name: str, spec: Any) -> Port:  # noqa: ANN401 - TensorFlow has no types
        shape = () if spec.shape.rank is None else tuple(spec.shape.as_list())
        return Port(name, shape, bool(spec.dtype.is_integer))

    inputs = tuple(port(name, spec) for name, spec in takes.items())
    outputs = tuple(port(name, spec) for name, spec in function.structured_outputs.items())
    return OpenNetwork(inputs, outputs, on_arrays), run
