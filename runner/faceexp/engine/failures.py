"""Why a trial failed, in words that a person understands."""

from __future__ import annotations

import dis
import functools
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np

from faceexp.arrays import ByteArray, FloatArray
from faceexp.engine.pretrain import DivergedError
from faceexp.errors import plain
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.registry.reasons import name_in, place_in
from faceexp.values import Plan, Status, TrainedTrial, Trial

# Letters of a reason: messages of TensorFlow may be as long as a book.
LONGEST = 500
# What TensorFlow says of mistakes that many make, and what it means: a step is compiled before it has any values.
_MEANINGS = {
    r"as a Python `bool`|truth value of a": "it asks for the truth of a tensor, as a Python `if`, `while`, `and` or "
    "`not` does, but a tensor has no value while the step is compiled; use tf.where or tf.cond",
    r"Iterating over a symbolic": "it loops over a tensor with a Python `for`, but a tensor has no value while the "
    "step is compiled; use operations on the whole tensor, or tf.map_fn",
    r"symbolic tf\.Tensor .* to a numpy array|has no attribute 'numpy'|numpy\(\) is only available": "it gives a "
    "tensor to NumPy, or asks it for numpy(), but a tensor has no value while the step is compiled; use the functions "
    "of TensorFlow",
}
# How TensorFlow names an operation: the node of a graph, with all that is known of it.
_NODE = re.compile(r" for '\{\{node ([\w./]+)\}\} = [^']*' with")


def explained(error: BaseException, plugins: Sequence[ConfiguredPlugin] = ()) -> tuple[Status, str]:
    """Return the status of a trial that an error has ended, and the reason in words.

    Args:
        error: What was raised.
        plugins: Whose code has run: the reason ends with the file and the line of it that has raised the error.
    """
    cause = cause_of(error)
    reason = plain(_text(cause))
    if isinstance(cause, DivergedError):
        return "diverged", reason
    hint = "; if XLA cannot compile the loss, the plugin has to declare xla = False" if "XLA" in reason else ""
    meant = next((meaning for said, meaning in _MEANINGS.items() if re.search(said, reason)), None)
    name, place = type(cause).__name__, place_of(error, plugins)
    if meant:
        return "failed", f"{meant}{place}"
    reason = _NODE.sub(r" in \1 with", reason)[:LONGEST]
    return "failed", f"{name}: {reason}{hint}{place}" if reason else f"{name} was raised without a message{place}"


def place_of(error: BaseException, plugins: Sequence[ConfiguredPlugin]) -> str:
    """Return ``; file:line`` of the innermost code of these plugins that an error came from, if it came from any."""
    cause = cause_of(error)
    places = (place_in(plugin.installed.module, plugin.installed.file, cause) for plugin in plugins)
    return next(filter(None, places), "")


def place_of_function(function: object, plugin: ConfiguredPlugin) -> str:
    """Return ``; file:line`` where a function of a plugin begins, or else where its ``build`` does."""
    for each in (function, getattr(type(function), "call", None), getattr(plugin.plugin, "build", None)):
        code = _code(each)
        installed = plugin.installed
        if code and (name := name_in(installed.module, installed.file, Path(code.co_filename))):
            return f"; {name}:{code.co_firstlineno}"
    return ""


def _code(function: object) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, FunctionType) and (called := _called_by(function)):
        function = called
    code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _called_by(function: FunctionType) -> FunctionType | None:
    """Return the function of the same file whose value a lambda returns as it is, if it calls nothing else."""
    operations = [each.opname for each in dis.get_instructions(function)]
    calls = [name for name in operations if name.startswith("CALL")]
    if function.__name__ != "<lambda>" or len(calls) != 1 or operations[-2] not in calls:
        return None
    variables = inspect.getclosurevars(function)
    known = [each for each in (*variables.nonlocals.values(), *variables.globals.values()) if inspect.isfunction(each)]
    near = [each for each in known if each.__code__.co_filename == function.__code__.co_filename]
    return near[0] if len(near) == 1 else None


def cause_of(error: BaseException) -> BaseException:
    """Return the exception that a plugin raised.

    Where AutoGraph is at work, TensorFlow wraps it in one whose message describes TensorFlow's own source code.
    """
    while _text(error).startswith("in user code:") and error.__context__:
        error = error.__context__
    return error


def _text(error: BaseException) -> str:
    """Return the message of an error, whose class may be a plugin's own."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - see above
        return "its message cannot be read"


def finite(done: TrainedTrial) -> TrainedTrial:
    """Return a trial whose embeddings can be measured.

    Raises:
        DivergedError: Some are not finite. Those of validation images may be while others are not.
    """
    for part, embeddings in done.embeddings.items():
        check_finite(part, embeddings)
    return done


def check_finite(part: str, embeddings: FloatArray | ByteArray) -> None:
    """Refuse embeddings that cannot be measured.

    Raises:
        DivergedError: Some are not finite.
    """
    # Bytes, as pixels are, are finite; to ask each of them would take as much memory again.
    if embeddings.dtype != np.uint8 and not np.isfinite(embeddings).all():
        raise DivergedError(f"the embeddings of the {part} images are not finite")


def failed(trial: Trial, plan: Plan, reason: str) -> TrainedTrial:
    """Return a trial that cannot be trained."""
    splits = {(split.seed, split.fold): split for split in plan.splits}
    return TrainedTrial(trial, splits[trial.seed, trial.fold], "failed", reason)
