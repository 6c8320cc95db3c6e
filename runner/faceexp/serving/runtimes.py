"""The network of a model, opened from its file: ONNX, TensorFlow Lite, Keras or SavedModel.

The library that opens a file is imported only when that is needed. So a model in the format ONNX needs no TensorFlow,
whose import alone takes seconds.
"""

from __future__ import annotations

import importlib
import mmap
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from faceexp.errors import InputError, Problem
from faceexp.files import check_file, explain_os_error
from faceexp.keras_files import MAX_BYTES, UnsafeKerasFileError, check_layers, check_network
from faceexp.quiet import silence
from faceexp.results.folder import NETWORK_FILES, ModelFolder

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray
    from faceexp.engine.backend import TensorFlowModule

Network: TypeAlias = "Callable[[ByteArray], FloatArray]"

# Where an ONNX file names another file that holds weights: the entry "location" of a tensor. Its field and its length
# may be written in more than one way. A file that faceexp exports is whole; the other could be any file of the user.
ELSEWHERE = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
# Where a TensorFlow Lite file names an operation of TensorFlow, which may write files. No exported file needs one.
OF_TENSORFLOW = re.compile(rb"Flex[A-Z][A-Za-z0-9]{2}")


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
            check_file(file, MAX_BYTES)
        except OSError as error:
            raise InputError(Problem(f"{explain_os_error(error)}; export the model again", str(file))) from None
    elif not trust_saved_model:
        message = (
            "is a program, which could do anything on this computer; export the model as onnx, or, if you trust "
            "whoever made it, say so with --trust-saved-model (in Python: load_model(path, trust_saved_model=True))"
        )
        raise InputError(Problem(message, str(file)))
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
    except UnsafeKerasFileError as error:
        raise InputError(Problem(f"cannot be loaded: it {error}", str(file))) from None
    except Exception as error:  # a damaged file may make a library raise anything
        reason = " ".join(str(error).split())[:300]
        raise InputError(Problem(f"cannot be loaded: {reason or type(error).__name__}", str(file))) from error


def _onnx(file: Path) -> Network:
    """Open a network with ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError(Problem("needs onnxruntime; run: pip install 'faceexp[export]'", str(file))) from None
    if _holds(file, ELSEWHERE):
        raise InputError(Problem("takes weights from another file; export the model again", str(file)))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: cast("FloatArray", session.run(None, {name: pixels.astype(np.float32)})[0])


def _tflite(file: Path) -> Network:
    """Open a network with LiteRT, which needs no TensorFlow, or else with the interpreter inside TensorFlow."""
    if _holds(file, OF_TENSORFLOW):
        message = "holds operations of TensorFlow, which could write files; export the model again"
        raise InputError(Problem(message, str(file)))
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


def _holds(file: Path, pattern: re.Pattern[bytes]) -> bool:
    """Return whether the bytes of a file hold a pattern. The file is not read into the memory as a whole."""
    with file.open("rb") as opened:
        if not opened.seek(0, os.SEEK_END):
            return False
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return pattern.search(content) is not None


def _keras(file: Path) -> Network:
    """Open a network with Keras."""
    model = keras_model(file)
    return lambda pixels: np.asarray(model(pixels.astype(np.float32), training=False))


def keras_model(file: Path) -> Any:  # noqa: ANN401 - Keras has no types
    """Return the model of a Keras file after it was found to be safe; then Keras' safe mode looks at it once more.

    Raises:
        UnsafeKerasFileError: The file holds code, or arrays that would fill the memory.
        Exception: Keras cannot open the file.
    """
    check_network(file)
    models = _tensorflow().keras.models
    check_layers(file)
    return models.load_model(file, compile=False, safe_mode=True)


def _saved_model(folder: Path) -> Network:
    """Open a network with TensorFlow."""
    tf = _tensorflow()
    loaded = tf.saved_model.load(str(folder))
    # The whole object is kept, because its functions alone do not keep its weights alive.
    return lambda pixels: np.asarray(loaded.serve(tf.constant(pixels, tf.float32)))


def _tensorflow() -> TensorFlowModule:
    """Import TensorFlow with the settings that training uses, whatever other work on this machine asks for."""
    from faceexp.engine.backend import tensorflow

    return tensorflow()
