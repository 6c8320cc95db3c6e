"""TensorFlow as the engine needs it: silent, deterministic and fast; and what software and device decide numbers."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from faceexp.errors import InputError
from faceexp.experiment.device import AUTO, CPU, number_of
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.registry.guard import undisturbed
from faceexp.store import source_digest

# TensorFlow and Keras have no types that a checker can use. These names at least tell a reader what a value is.
TensorFlowModule: TypeAlias = Any  # the module ``tensorflow``
Tensor: TypeAlias = Any  # a tensor, or whatever TensorFlow takes for one, such as a NumPy array
Variable: TypeAlias = Any  # a variable of TensorFlow or of Keras
KerasLayer: TypeAlias = Any  # a layer of Keras, or a whole stack of them
Compiled: TypeAlias = Any  # a function after ``tf.function``: called like the plain one
LossCallable: TypeAlias = Any  # what a loss plugin builds: a function, or a layer of Keras with weights of its own

# The parts of faceexp whose source code decides which weights training ends with.
SOURCES = ("engine", "tensors", "layers")
THREADS = "TF_NUM_INTRAOP_THREADS"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# By default TensorFlow uses the convolutions of oneDNN, which are three times as fast, only on processors with AVX-512
# VNNI. TensorFlow reads this setting once, when it is imported. A data set may import it before the engine does, so
# the setting is made here, when this module is imported.
os.environ.setdefault(ONEDNN, "1")
# Without it, the first process takes all memory of a GPU, and those beside it get none.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# Other work on this machine may ask for another backend of Keras, or for the old Keras 2, by the environment or by a
# file in the user's home. With these, there would be other numbers, or none.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.pop("TF_USE_LEGACY_KERAS", None)
# Where the driver of a GPU shows itself: that of NVIDIA, on a Jetson and in Windows' Linux as well, and that of AMD.
DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/nvmap", "/dev/dxg", "/dev/kfd")


@dataclass
class _Wanted:
    """What TensorFlow is to do in this process, which it is told as soon as it is imported.

    It keeps both for the whole process, so they cannot be arguments of what uses it.
    """

    device: str = AUTO
    deterministic: bool = True
    replicas: int = 1


_wanted = _Wanted()


def begin(device: str, *, deterministic: bool = True, replicas: int = 1) -> None:
    """Say what TensorFlow is to do in this process from now on. It is not imported here.

    Args:
        device: As ``device`` of an experiment file says.
        deterministic: Whether its operations are deterministic, and those that have no such form raise an error.
        replicas: On how many devices phase 1 computes at once, at most.

    Raises:
        InputError: TensorFlow already computes on another device, or with fewer of them.
    """
    _wanted.device, _wanted.deterministic, _wanted.replicas = device, deterministic, replicas
    if tensorflow.cache_info().currsize:
        _set_up(tensorflow())


def asked_device() -> str:
    """Return the device that this process is to compute on, as ``device`` of an experiment file says."""
    return _wanted.device


def is_deterministic() -> bool:
    """Return whether operations are deterministic in this process."""
    return _wanted.deterministic


@functools.cache
def tensorflow() -> TensorFlowModule:
    """Import TensorFlow, which takes seconds, and make it do what :func:`begin` has said.

    Raises:
        InputError: Keras was imported before, with another backend; or see :func:`begin`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    _set_up(tf)
    backend = tf.keras.config.backend()
    if backend != "tensorflow":
        raise InputError(f"Keras was imported with the backend {backend!r} before faceexp; import faceexp first")
    set_standard()
    return tf


def _set_up(tf: TensorFlowModule) -> None:
    """Let TensorFlow see only the device that is wanted, and make its operations deterministic, or not."""
    every = tf.config.list_physical_devices("GPU")
    number = number_of(_wanted.device)
    visible = every if _wanted.device == AUTO else [] if number is None else every[number : number + 1]
    # Asked first: it cannot be changed any more once TensorFlow has begun to compute.
    if tf.config.get_visible_devices("GPU") != visible:
        try:
            tf.config.set_visible_devices(visible, "GPU")
        except RuntimeError as error:
            raise InputError(
                f"device = {_wanted.device!r}: TensorFlow already computes on another device in this process; begin a "
                "new one, or give run() a number of jobs"
            ) from error
    if _wanted.replicas > 1 and not visible:
        _divide_processor(tf)
    if _wanted.deterministic:
        tf.config.experimental.enable_op_determinism()
    else:
        _allow_nondeterminism()


def _divide_processor(tf: TensorFlowModule) -> None:
    """Let TensorFlow see the processor as at least so many devices as there are replicas."""
    (processor,) = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(processor) or ()) >= _wanted.replicas:
        return
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(_wanted.replicas)]
    try:
        tf.config.set_logical_device_configuration(processor, parts)
    except RuntimeError as error:
        raise InputError(
            f"replicas = {_wanted.replicas}: TensorFlow already computes on fewer devices in this process; begin a new "
            "one, or give run() a number of jobs"
        ) from error


def _allow_nondeterminism() -> None:
    """Let operations run that have no deterministic form, in a process where they were not to run before.

    TensorFlow offers no public way back from ``enable_op_determinism``. A new worker needs none: there it was never
    called. Only a run without workers, which has this one process, asks for what TensorFlow's own tests use.
    """
    from tensorflow.python.framework import config

    if config.is_op_determinism_enabled():
        config.disable_op_determinism()


@functools.cache
def gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that TensorFlow can use; where there is no driver of any, it is not imported."""
    plugins = importlib.metadata.distribution("tensorflow").locate_file("tensorflow-plugins")
    if not any(Path(str(place)).exists() for place in (*DRIVERS, plugins)):
        return ()
    config = tensorflow().config
    details = [(gpu, config.experimental.get_device_details(gpu)) for gpu in config.list_physical_devices("GPU")]
    return tuple(str(known.get("device_name", gpu.name)) for gpu, known in details)


def gpu_of(device: str) -> str:
    """Return the name of the GPU that trains; empty where the processor does.

    Args:
        device: As ``device`` of an experiment file says. Of several GPUs, TensorFlow takes the first one by itself.
    """
    if device == CPU:
        return ""
    number = number_of(device) or 0
    return gpus()[number] if number < len(gpus()) else ""


def refuse_absent(device: str, replicas: int = 1) -> None:
    """Refuse GPUs that this machine does not have.

    Args:
        device: As ``device`` of an experiment file says.
        replicas: On how many devices phase 1 computes.

    Raises:
        UnplannableError: It has no such GPU, or none that TensorFlow can use; or fewer than there are replicas.
    """
    number = number_of(device)
    names = gpus() if number is not None or (replicas > 1 and device == AUTO) else ()
    there = "there is " + ", ".join(f"gpu:{place} ({name})" for place, name in enumerate(names))
    key, message = "pretrain.replicas", ""
    if number is not None and number >= len(names):
        none = 'TensorFlow finds no GPU on this machine; "auto" trains on its processor'
        key, message = "device", f"there is no {device}: {there if names else none}"
    elif number is not None and replicas > 1:
        message = f'device = "{device}" is one GPU, for one replica; "auto" takes as many as there are replicas'
    elif names and replicas > len(names):
        message = f'there are no {replicas} GPUs: {there}; use {len(names)} at most, or device = "cpu"'
    if message:
        raise UnplannableError([Issue(tuple(key.split(".")), message)])


def set_standard() -> None:
    """Set what TensorFlow and Keras keep for the whole process to what the engine needs.

    A file in the user's home may have changed it before, or a plugin since: the numbers of all others would change, and
    those in the store with them.
    """
    import tensorflow as tf

    config = tf.keras.config
    if config.dtype_policy().name != "float32":
        config.set_dtype_policy("float32")
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    if tf.config.functions_run_eagerly():
        tf.config.run_functions_eagerly(False)
    if tf.config.optimizer.get_jit():
        tf.config.optimizer.set_jit(False)


@contextlib.contextmanager
def standard(seed: int) -> Iterator[None]:
    """Run code of a plugin with the settings that the engine needs, and undo what it changes for the whole process.

    Args:
        seed: What everything begins with that the code draws without a seed of its own. So it does not depend on what
            was drawn before.
    """
    tf = tensorflow()
    with undisturbed():
        set_standard()
        tf.keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            set_standard()


def compiled(function: Callable[..., Tensor], *, xla: bool = False) -> Compiled:
    """Compile a function.

    AutoGraph is off: it reads the source code of functions, which fails for some versions of Python.
    """
    return tensorflow().function(function, jit_compile=xla, autograph=False, reduce_retracing=True)


def many_steps(step: Callable[..., Tensor], chunk: int) -> Callable[..., Tensor]:
    """Return a function that makes up to ``chunk`` training steps in one loop, which can be compiled as a whole.

    The function is ``steps(source, index, labels, mean, deviation, count)``. Its arguments are:

    - ``source``: the inputs (N, ...) that batches are rows of;
    - ``index``: which rows each batch consists of, int32 (chunk, B);
    - ``labels``: the labels of each batch, int32 (chunk, B), or a tuple of what a step needs in their place;
    - ``mean`` and ``deviation``: what images are normalised with;
    - ``count``: how many of the ``chunk`` batches to use.

    It returns the loss of each step, float32 (chunk,); the values from ``count`` on are 0.

    Args:
        step: ``(rows, labels, mean, deviation) -> loss``; it also updates the weights that are trained.
        chunk: Length of the first axis of ``index`` and ``labels``.
    """
    tf = tensorflow()

    def steps(source: Tensor, index: Tensor, labels: Tensor, mean: Tensor, deviation: Tensor, count: Tensor) -> Tensor:
        def body(number: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
            rows = tf.gather(source, tf.gather(index, number))
            value = step(rows, tf.nest.map_structure(lambda each: tf.gather(each, number), labels), mean, deviation)
            return number + 1, tf.tensor_scatter_nd_update(losses, [[number]], [tf.cast(value, tf.float32)])

        return tf.while_loop(lambda number, _: number < count, body, (tf.constant(0), tf.zeros(chunk)))[1]

    return steps


def threads() -> int:
    """Return how many threads an operation runs on: as many as the environment asks for, else one per core."""
    asked = os.environ.get(THREADS, "")
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def versions(device: str = AUTO) -> dict[str, str]:
    """Return which software determines the numbers, and on what it runs: threads, and the kind of GPU, if on any.

    None of it is imported, but for TensorFlow where there may be a GPU.

    Args:
        device: As ``device`` of an experiment file says.
    """
    # Each kind of GPU adds in an order of its own; all processors share what they have made, as they always did.
    gpu = gpu_of(device)
    # The order in which numbers are added decides the last bits of a sum.
    return {**software(), "threads": str(threads()), **({"device": gpu} if gpu else {})}


@functools.cache
def software() -> dict[str, str]:
    """Return which software determines the numbers, without importing it."""
    packages = ("tensorflow", "keras", "numpy", "scikit-learn")
    versions = {name: importlib.metadata.version(name) for name in packages}
    # The source code itself: a version number would have to be changed by hand, and somebody would forget it.
    return {**versions, "onednn": os.environ[ONEDNN], "engine": source_digest(*SOURCES)}


def reseed(layer: KerasLayer, seed: int) -> None:
    """Start over the random numbers of a layer and of all layers inside it.

    The weights of a layer do not include the state of its random numbers, so setting weights does not reset it.

    Args:
        layer: A Keras layer; any other callable has no such state, and nothing happens.
        seed: What the new states are derived from.
    """
    for position, state in enumerate(random_states(getattr(layer, "variables", []))):
        state.assign([derive_seed("random state", seed, position), 0])


def random_states(variables: Iterable[Variable]) -> list[Variable]:
    """Return those of the variables that are states of random numbers of Keras: a seed, and how often it has drawn."""
    return [variable for variable in variables if variable.name == "seed_generator_state"]


def derive_seed(*parts: object) -> int:
    """Return a seed for one purpose.

    The same purpose always gets the same seed, and different purposes get unrelated ones, so that drawing more numbers
    for one of them changes nothing for the others.

    Args:
        parts: What names the purpose, such as ``"batches", seed, fold``.
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % (2**31 - 1)
