"""Files of TensorFlow Lite, which LiteRT runs; without it, the interpreter inside TensorFlow does."""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from faceexp.network_files.network import (
    NetworkFileError,
    OpenNetwork,
    Port,
    check_network_file,
    holds,
    reason_of,
    threads,
)
from faceexp.quiet import silence

if TYPE_CHECKING:
    from faceexp.arrays import AnyArray, FloatArray

# Where a TensorFlow Lite file names an operation of TensorFlow, which may write files. No network needs one.
OF_TENSORFLOW = re.compile(rb"Flex[A-Z][A-Za-z0-9]{2}")
# The package of LiteRT.
LITERT = "ai_edge_litert"
# What stands in such a file from byte 4 on.
MARK = b"TFL3"


def check_tflite(path: Path) -> None:
    """Refuse a file that must not be opened. No library is imported.

    Raises:
        NetworkFileError: It is no ordinary file, too large, of another format, or it holds operations of TensorFlow.
    """
    check_network_file(path)
    with path.open("rb") as file:
        if file.read(8)[4:] != MARK:
            raise NetworkFileError("is no file of TensorFlow Lite")
    if holds(path, OF_TENSORFLOW):
        raise NetworkFileError("holds operations of TensorFlow, which could write files; convert it without them")


def open_tflite(path: Path) -> OpenNetwork:
    """Open a network. Where its numbers are quantised, they are so here: it takes and gives what these stand for.

    Raises:
        NetworkFileError: The file is damaged or must not be opened.
    """
    check_tflite(path)
    # The interpreter prints from C++ which hardware it uses. The one inside TensorFlow warns that it will be removed.
    try:
        with silence(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
            interpreter = _interpreter_class()(str(path), num_threads=threads() or None)
            interpreter.allocate_tensors()
    except Exception as error:
        raise NetworkFileError(f"cannot be loaded: {reason_of(error)}") from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    place = {str(output["name"]): output for output in outputs}

    def run(numbers: AnyArray, output: str) -> FloatArray:
        given = inputs[0]
        if tuple(interpreter.get_input_details()[0]["shape"]) != numbers.shape:
            interpreter.resize_tensor_input(given["index"], numbers.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], _quantised(numbers, given))
        interpreter.invoke()
        values = interpreter.get_tensor(place[output]["index"])
        factor, zero = place[output]["quantization"]
        if factor:
            values = (values.astype(np.float32) - zero) * factor
        return cast("FloatArray", values)

    return OpenNetwork(tuple(map(_port, inputs)), tuple(map(_port, outputs)), run)


def has_litert() -> bool:
    """Return whether LiteRT is installed, so that files are opened without TensorFlow."""
    return importlib.util.find_spec(LITERT) is not None


def _interpreter_class() -> Any:  # noqa: ANN401 - neither library has types
    try:
        return importlib.import_module(f"{LITERT}.interpreter").Interpreter
    except ImportError:
        return importlib.import_module("tensorflow").lite.Interpreter


def _quantised(numbers: AnyArray, port: Any) -> AnyArray:  # noqa: ANN401 - what the interpreter says of a tensor
    factor, zero = port["quantization"]
    if factor:
        limits = np.iinfo(port["dtype"])
        numbers = np.clip(np.rint(numbers.astype(np.float32) / factor + zero), limits.min, limits.max)
    return numbers.astype(port["dtype"], copy=False)


def _port(tensor: Any) -> Port:  # noqa: ANN401 - what the interpreter says of a tensor
    shape = tuple(int(side) if side > 0 else None for side in tensor["shape_signature"])
    is_whole = np.issubdtype(tensor["dtype"], np.integer) and not tensor["quantization"][0]
    return Port(str(tensor["name"]), shape, bool(is_whole))
