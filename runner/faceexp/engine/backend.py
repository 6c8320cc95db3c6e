"""TensorFlow as the engine wants it: silent, deterministic, quick; and what of the software determines results."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
import os
import sys
from typing import Any

from faceexp.store import source_digest

# What of faceexp decides the weights that training ends with.
SOURCES = ("engine", "tensors", "layers")
THREADS = "TF_NUM_INTRAOP_THREADS"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# By itself TensorFlow takes oneDNN's convolutions, three times as fast, only on processors with AVX-512 VNNI. It reads
# this once, as it is imported, which a data set may do before the engine does.
os.environ.setdefault(ONEDNN, "1")


@functools.cache
def tensorflow() -> Any:  # noqa: ANN401 - a module without types
    """Import TensorFlow, which takes seconds, with deterministic operations."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    return tf


def compiled(function: Any, *, xla: bool = False) -> Any:  # noqa: ANN401 - TensorFlow has no types
    """Compile a function; without AutoGraph, which does not read the sources of every Python version."""
    return tensorflow().function(function, jit_compile=xla, autograph=False, reduce_retracing=True)


def many_steps(step: Any, chunk: int) -> Any:  # noqa: ANN401
    """Return ``steps(source, index, labels, mean, deviation, count)``: up to ``chunk`` steps in one compiled loop.

    Args:
        step: ``(rows, labels, mean, deviation) -> loss``, which updates the weights it trains.
        chunk: Length of the first axis of index and labels.

    Returns:
        A function of the inputs that batches are rows of (N, ...), the rows of each batch, int32 (chunk, B), and
        their labels, int32 (chunk, B). It gives the loss of each step, float32 (chunk,), zero from ``count`` on.
    """
    tf = tensorflow()

    def steps(source: Any, index: Any, labels: Any, mean: Any, deviation: Any, count: Any) -> Any:  # noqa: ANN401
        def body(number: Any, losses: Any) -> Any:  # noqa: ANN401
            rows = tf.gather(source, tf.gather(index, number))
            value = step(rows, tf.gather(labels, number), mean, deviation)
            return number + 1, tf.tensor_scatter_nd_update(losses, [[number]], [tf.cast(value, tf.float32)])

        return tf.while_loop(lambda number, _: number < count, body, (tf.constant(0), tf.zeros(chunk)))[1]

    return steps


def threads() -> int:
    """Return the threads that an operation runs on: those asked for in the environment, else one for each core."""
    asked = os.environ.get(THREADS, "")
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@functools.cache
def versions() -> dict[str, str]:
    """Return what of the software determines the numbers, without importing any of it."""
    found = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy", "scikit-learn")}
    # In which order sums are made, and by whose routines, decides their last bits.
    found |= {"threads": str(threads()), "onednn": os.environ[ONEDNN]}
    # The sources themselves, rather than a version number that someone has to remember to change.
    found["engine"] = source_digest(*SOURCES)
    return found


def restart(layer: Any, seed: int) -> None:  # noqa: ANN401 - a Keras layer, or any callable
    """Start the random numbers of a layer, and of the layers in it, over; weights do not hold where they are."""
    states = [variable for variable in getattr(layer, "variables", []) if variable.name == "seed_generator_state"]
    for position, state in enumerate(states):
        state.assign([derive_seed("random state", seed, position), 0])


def derive_seed(*parts: object) -> int:
    """Return a seed for one purpose: different purposes get unrelated numbers, the same purpose the same one."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % (2**31 - 1)
