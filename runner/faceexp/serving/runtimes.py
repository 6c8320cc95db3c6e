"""The network of a model, opened from its file: ONNX, TensorFlow Lite, Keras or SavedModel.

The library that opens a file is imported only when that is needed. So a model in the format ONNX needs no TensorFlow,
whose import alone takes seconds.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from faceexp.errors import InputError, Problem
from faceexp.quiet import silence
from faceexp.results.folder import NETWORK_FILES, ModelFolder

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray

Network: TypeAlias = "Callable[[ByteArray], FloatArray]"

# A network for faces has at most some hundred megabytes. A file of this size is something else, and opening it could
# fill the memory.
MAX_MODEL_BYTES = 4 * 2**30


def network_of(folder: ModelFolder) -> Network:
    """Return the network of a folder, from pixels uint8 (N, H, W, C) to embeddings float32 (N, D).

    The file is opened when the network is called for the first time. So photos that cannot be used are named at once,
    before a library is imported. A damaged file raises :class:`InputError` then.

    Raises:
        InputError: The folder holds no network, or it is too large.
    """
    form, file = _network_file(folder)
    opened: list[Network] = []

    def run(pixels: ByteArray) -> FloatArray:
        if not opened:
            opened.append(_open(form, file))
        return opened[0](pixels)

    return run


def _network_file(folder: ModelFolder) -> tuple[str, Path]:
    """Return format and file of the network in a folder; of several, those of the one that opens most quickly."""
    present = [(form, folder.network(form)) for form in NETWORK_FILES if folder.network(form).exists()]
    if not present:
        names = ", ".join(NETWORK_FILES.values())
        raise InputError(Problem(f"holds none of {names}; export the model again", str(folder.root)))
    form, file = present[0]
    if file.is_file() and file.stat().st_size > MAX_MODEL_BYTES:
        raise InputError(Problem(f"is larger than {MAX_MODEL_BYTES:,} bytes", str(file)))
    return form, file


def _open(form: str, file: Path) -> Network:
    """Open the file of a network.

    Raises:
        InputError: The file is damaged, or the library that opens it is not installed.
    """
    openers = {"onnx": _onnx, "tflite": _tflite, "keras": _keras, "saved_model": _saved_model}
    try:
        return openers[form](file)
    except InputError:
        raise
    except Exception as error:  # a damaged file may make a library raise anything
        reason = " ".join(str(error).split())[:300]
        raise InputError(Problem(f"cannot be loaded: {reason or type(error).__name__}", str(file))) from error


def _onnx(file: Path) -> Network:
    """Open a network with ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError(Problem("needs onnxruntime; run: pip install 'faceexp[export]'", str(file))) from None
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: cast("FloatArray", session.run(None, {name: pixels.astype(np.float32)})[0])


def _tflite(file: Path) -> Network:
    """Open a network with LiteRT, which needs no TensorFlow, or else with the interpreter inside TensorFlow."""
    try:
        make: Any = importlib.import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError:
        make = _tensorflow().lite.Interpreter
    # The interpreter prints from C++ which hardware it uses. The one inside TensorFlow warns that it will be removed.
    with silence(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        interpreter = make(str(file))
        interpreter.allocate_tensors()

    def run(pixels: ByteArray) -> FloatArray:
        given = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(given["index"], pixels.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], pixels.astype(np.float32))
        interpreter.invoke()
        return cast("FloatArray", interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


def _keras(file: Path) -> Network:
    """Open a network with Keras. The safe mode keeps a file from running code of its own."""
    model = _tensorflow().keras.models.load_model(file, compile=False, safe_mode=True)
    return lambda pixels: np.asarray(model(pixels.astype(np.float32), training=False))


def _saved_model(folder: Path) -> Network:
    """Open a network with TensorFlow."""
    tf = _tensorflow()
    loaded = tf.saved_model.load(str(folder))
    # The whole object is kept, because its functions alone do not keep its weights alive.
    return lambda pixels: np.asarray(loaded.serve(tf.constant(pixels, tf.float32)))


def _tensorflow() -> Any:  # noqa: ANN401 - it has no types
    import tensorflow as tf

    return tf
