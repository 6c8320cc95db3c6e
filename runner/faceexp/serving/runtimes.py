"""The network of a model, opened from its file: ONNX, TensorFlow Lite, Keras or SavedModel.

The library that opens a file is imported only when that is needed. So a model in the format ONNX needs no TensorFlow,
whose import alone takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from faceexp.errors import InputError, Problem
from faceexp.files import check_file, explain_os_error
from faceexp.network_files import network as files
from faceexp.network_files.keras import check_layers, check_network
from faceexp.network_files.network import NetworkFileError, OpenNetwork, reason_of
from faceexp.network_files.onnx import open_onnx
from faceexp.network_files.saved_model import A_PROGRAM, open_saved_model
from faceexp.network_files.tflite import open_tflite
from faceexp.results.folder import NETWORK_FILES, ModelFolder

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray
    from faceexp.engine.backend import TensorFlowModule

# How a user of a model says that its program may run.
HOW_TO_TRUST = "--trust-saved-model (in Python: load_model(path, trust_saved_model=True))"
Network: TypeAlias = "Callable[[ByteArray], FloatArray]"


def network_of(folder: ModelFolder, *, trust_saved_model: bool = False) -> Network:
    """Return the network of a folder, from pixels uint8 (N, H, W, C) to embeddings float32 (N, D).

    The file is opened when the network is called for the first time. So photos that cannot be used are named at once,
    before a library is imported. A damaged file raises :class:`InputError` then.

    Args:
        folder: The folder.
        trust_saved_model: Whether a SavedModel may be opened, which is a program.

    Raises:
        InputError: The folder holds no network, or one that must not be opened.
    """
    form, file = _network_file(folder, trust_saved_model=trust_saved_model)
    opened: list[Network] = []

    def run(pixels: ByteArray) -> FloatArray:
        if not opened:
            opened.append(_open(form, file))
        return opened[0](pixels)

    return run


def _network_file(folder: ModelFolder, *, trust_saved_model: bool) -> tuple[str, Path]:
    """Return format and file of the network in a folder; of several, those of the one that opens most quickly."""
    # A link that leads nowhere is there as well: it is named, and not passed over.
    present = [(form, folder.network(form)) for form in NETWORK_FILES if os.path.lexists(folder.network(form))]
    if not present:
        names = ", ".join(NETWORK_FILES.values())
        raise InputError(Problem(f"holds none of {names}; export the model again", str(folder.root)))
    form, file = present[0]
    if form != "saved_model":
        try:
            check_file(file, files.MAX_BYTES)
        except OSError as error:
            raise InputError(Problem(f"{explain_os_error(error)}; export the model again", str(file))) from None
    elif not trust_saved_model:
        raise InputError(Problem(f"{A_PROGRAM} {HOW_TO_TRUST}", str(file)))
    return form, file


def _open(form: str, file: Path) -> Network:
    """Open the file of a network.

    Raises:
        InputError: The file is damaged, or the library that opens it is not installed.
    """
    try:
        if form == "keras":
            return _keras(file)
        if form == "saved_model":
            _tensorflow()
        openers = {"onnx": open_onnx, "tflite": open_tflite, "saved_model": open_saved_model}
        return _first_output(openers[form](file))
    except NetworkFileError as error:
        message = f"cannot be loaded: it {error}" if form == "keras" else str(error)
        raise InputError(Problem(message, str(file))) from None
    except Exception as error:  # a damaged file may make a library raise anything
        raise InputError(Problem(f"cannot be loaded: {reason_of(error)}", str(file))) from error


def _first_output(network: OpenNetwork) -> Network:
    """Return the function to the first output of a network; those that faceexp exports have one."""
    if not network.inputs or not network.outputs:
        raise NetworkFileError("cannot be loaded: it has no input or no output")
    return lambda pixels: network.run(pixels.astype(np.float32), network.outputs[0].name)


def _keras(file: Path) -> Network:
    """Open a network with Keras."""
    model = keras_model(file)
    return lambda pixels: np.asarray(model(pixels.astype(np.float32), training=False))


def keras_model(file: Path) -> Any:  # noqa: ANN401 - Keras has no types
    """Return the model of a Keras file after it was found to be safe; then Keras' safe mode looks at it once more.

    Raises:
        NetworkFileError: The file holds code, or arrays that would fill the memory.
        Exception: Keras cannot open the file.
    """
    check_network(file)
    models = _tensorflow().keras.models
    check_layers(file)
    return models.load_model(file, compile=False, safe_mode=True)


def _tensorflow() -> TensorFlowModule:
    """Import TensorFlow with the settings that training uses, whatever other work on this machine asks for."""
    from faceexp.engine.backend import tensorflow

    return tensorflow()
