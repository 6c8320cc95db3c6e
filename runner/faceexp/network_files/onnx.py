"""Files of ONNX, which ONNX Runtime runs; TensorFlow is not needed."""

from __future__ import annotations

import re
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

if TYPE_CHECKING:
    from faceexp.arrays import AnyArray, FloatArray

# Where an ONNX file names another file that holds weights: the entry "location" of a tensor. Its field and its length
# may be written in more than one way. The other file could be any file of the user.
ELSEWHERE = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
# What ONNX Runtime says of an operator that it does not have.
UNKNOWN = re.compile(r"([^\s()]+)\(-?\d+\) is not a registered function/op")
TYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "uint8": np.uint8, "int8": np.int8}
# What stands between the features of a classifier and its probabilities.
ENDS = frozenset({"Softmax", "LogSoftmax", "Sigmoid"})
AFTER_FEATURES = frozenset({"Gemm", "MatMul"})
HANDS_ON = frozenset({"Add", "Cast", "Div", "Flatten", "Identity", "Mul", "Reshape", "Squeeze"})


def check_onnx(path: Path) -> None:
    """Refuse a file that must not be opened. No library is imported.

    Raises:
        NetworkFileError: It is no ordinary file, too large, or it takes weights from another file.
    """
    check_network_file(path)
    if holds(path, ELSEWHERE):
        raise NetworkFileError("takes weights from another file; save it as one file, with its weights inside")


def open_onnx(path: Path, inner: str | None = None) -> OpenNetwork:
    """Open a network with ONNX Runtime.

    Args:
        path: The file.
        inner: The name of anything that is computed inside; it becomes an output.

    Raises:
        NetworkFileError: The file is damaged, ONNX Runtime is not installed or does not have an operator.
    """
    try:
        import onnxruntime
    except ImportError:
        raise NetworkFileError("needs onnxruntime; run: pip install 'faceexp[export]'") from None
    check_onnx(path)

    def session_of(content: str | bytes) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads()
        settings.log_severity_level = 4  # what goes wrong is raised as well
        return onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])

    try:
        session = session_of(str(path))
        if inner and inner not in [output.name for output in session.get_outputs()]:
            session = session_of(path.read_bytes() + _also_gives(inner))
    except Exception as error:
        if inner and repr(inner)[1:-1] in str(error):
            raise NetworkFileError(f"computes nothing that is called {inner!r}") from error
        if unknown := UNKNOWN.search(str(error)):
            message = f"uses the operator {unknown[1]}, which ONNX Runtime does not have"
            raise NetworkFileError(f"{message}; export it with operators of ONNX alone") from error
        raise NetworkFileError(f"cannot be loaded: {reason_of(error)}") from error
    inputs = session.get_inputs()
    takes = _type_of(inputs[0]) if inputs else np.dtype(np.float32)

    def run(numbers: AnyArray, output: str) -> FloatArray:
        return cast("FloatArray", session.run([output], {inputs[0].name: numbers.astype(takes, copy=False)})[0])

    return OpenNetwork(tuple(map(_port, inputs)), tuple(map(_port, session.get_outputs())), run)


def _type_of(declared: Any) -> np.dtype[Any]:  # noqa: ANN401 - ONNX Runtime has no types
    """Return NumPy's name of the type of an input, which ONNX Runtime writes as ``tensor(float)``."""
    name = str(declared.type).removeprefix("tensor(").removesuffix(")")
    if name not in TYPES:
        raise NetworkFileError(f"takes {declared.type}, which no image is; images are {', '.join(TYPES)}")
    return np.dtype(TYPES[name])


def _port(declared: Any) -> Port:  # noqa: ANN401 - ONNX Runtime has no types
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in declared.shape)
    return Port(str(declared.name), shape, is_whole="int" in str(declared.type))


def _also_gives(name: str) -> bytes:
    """Return what makes something inside a network an output, if it is written behind the file.

    The format, Protocol Buffers, takes what is written twice as one message; outputs are field 12 of the graph, which
    is field 7 of the file.
    """
    message = _field(1, name.encode())
    for number in (12, 7):
        message = _field(number, message)
    return message


def _field(number: int, content: bytes) -> bytes:
    """Return a field of Protocol Buffers: its number and kind, the length of its content, and the content."""
    length, written = len(content), bytearray([number << 3 | 2])
    while length > 127:
        written.append(length & 127 | 128)
        length >>= 7
    return bytes([*written, length]) + content


def classifier_end(path: Path) -> tuple[str, str] | None:
    """Return which output of a network is that of a classifier, and what its last layer takes; nothing if none is.

    Args:
        path: A file that :func:`check_onnx` has found to be safe.

    Raises:
        NetworkFileError: It is no file of ONNX.
    """
    try:
        import onnx
    except ImportError:  # what ends in a classifier works as well
        return None
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:
        raise NetworkFileError(f"cannot be loaded: {reason_of(error)}") from error
    makers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        node, is_end = makers.get(output.name), False
        for _ in range(len(makers)):  # a damaged graph may go round in a circle
            if node is None or not node.input:
                break
            if is_end and node.op_type in AFTER_FEATURES:
                return output.name, str(node.input[0])
            is_end = is_end or node.op_type in ENDS
            if node.op_type not in HANDS_ON | ENDS:
                break
            node = next((makers[name] for name in node.input if name in makers), None)
    return None
