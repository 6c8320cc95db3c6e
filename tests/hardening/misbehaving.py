"""Plugins of the tests that do what no plugin should do; a folder of its own makes them installed.

They are in one file that is no test, because the processes of a run have to import them.
"""

from __future__ import annotations

import ctypes
import gc
import locale
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from faceexp.contract import BatchSupply, LossPlugin, SamplerPlugin, option


class UnspeakableError(Exception):
    """An error whose message cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


def fail(error: BaseException) -> Callable[..., Any]:
    def act() -> None:
        raise error

    return act


def recurse() -> None:
    recurse()


def talk() -> None:
    print("printed")
    os.write(1, b"written to the first file\n")
    subprocess.run(["echo", "said by a program"], check=False)
    ctypes.CDLL(None).puts(b"said by compiled code")
    threading.Thread(target=talk_later, daemon=True).start()


def talk_later() -> None:
    for _ in range(50):
        print("later")
        time.sleep(0.01)


def sleep_without_hearing() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(10_000)


def settings() -> dict[str, Callable[[], object]]:
    """Return what changes the process, by name; none of it may change a number."""
    import tensorflow as tf

    config = tf.keras.config
    return {
        "nothing": lambda: None,
        "policy": lambda: config.set_dtype_policy("mixed_float16"),
        "floatx": lambda: config.set_floatx("float64"),
        "epsilon": lambda: config.set_epsilon(0.5),
        "format": lambda: config.set_image_data_format("channels_first"),
        "eager": lambda: tf.config.run_functions_eagerly(True),
        "jit": lambda: tf.config.optimizer.set_jit("autoclustering"),
        "seeds": lambda: tf.keras.utils.set_random_seed(1),
        "session": tf.keras.backend.clear_session,
        "filters": lambda: warnings.simplefilter("error"),
        "errors of numpy": lambda: np.seterr(all="raise"),
        "folder": lambda: os.chdir("/"),
        "environment": lambda: [os.environ.pop(name) for name in list(os.environ) if name != "PATH"],
        "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
        "garbage": gc.disable,
        "mask": lambda: os.umask(0o777),
        "path": sys.path.clear,
        "recursion": lambda: sys.setrecursionlimit(200),
        "alarm": lambda: (signal.signal(signal.SIGALRM, signal.SIG_IGN), signal.alarm(100)),
        "alarm that kills": lambda: signal.alarm(3),
        "no stream": lambda: setattr(sys, "stdout", None),
        "closed stream": lambda: os.close(1),
        "talk": talk,
    }


def ends() -> dict[str, Callable[[], object]]:
    """Return what ends the process, or never comes back."""
    return {
        "killed by SIGSEGV": lambda: os.kill(os.getpid(), signal.SIGSEGV),
        "abort": os.abort,
        "null": lambda: ctypes.string_at(0),
        "_exit": lambda: os._exit(0),
        "_exit 3": lambda: os._exit(3),
        "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "every file closed": lambda: os.closerange(3, 4096),
        "sleep": lambda: time.sleep(10_000),
        "sleep that does not hear": sleep_without_hearing,
    }


def faults() -> dict[str, Callable[[], object]]:
    """Return what raises something."""
    return {
        "exit": lambda: sys.exit("no licence"),
        "interrupt": fail(KeyboardInterrupt()),
        "error": fail(ValueError("a mistake\nof \x1b[31mtwo lines")),
        "unspeakable": fail(UnspeakableError()),
        "generator": fail(GeneratorExit()),
        "stop": fail(StopIteration("early")),
        "recursion without end": recurse,
        "memory": lambda: np.ones(2**50),
        "half a letter": fail(ValueError("\ud800 and \x00")),
        "disk": fail(OSError(28, "No space left on device")),
        "base": fail(BaseException("the base of all")),
    }


class Misbehaves(LossPlugin):
    """Does something when it is built, and then is a loss as any other, or returns what is none."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Any] = "euclidean"
    xla: ClassVar[bool] = False
    what: str = option("nothing", "What it does.")

    def build(self, ctx: Any) -> Any:
        import tensorflow as tf

        ({**settings(), **ends(), **faults()}.get(self.what) or (lambda: None))()
        steps = tf.Variable(0.0, trainable=False)
        hidden = tf.Variable(np.ones((ctx.embedding_dim, 3), np.float32))

        def pulled(labels: Any, embeddings: Any) -> Any:
            similar = tf.cast(labels[:, None] == labels[None, :], tf.float32)
            squared = tf.reduce_sum(tf.square(embeddings[:, None] - embeddings[None, :]), axis=2)
            return tf.reduce_mean(similar * squared + (1 - similar) * tf.nn.relu(9.0 - squared))

        wrong: dict[str, Any] = {
            "no function": 3,
            "none": lambda labels, embeddings: None,
            "vector": lambda labels, embeddings: embeddings[:, 0],
            "integer": lambda labels, embeddings: labels[0],
            "text": lambda labels, embeddings: "0.5",
            "number": lambda labels, embeddings: 0.5,
            "no gradient": lambda labels, embeddings: tf.constant(0.5),
            "no number": lambda labels, embeddings: pulled(labels, embeddings) * np.nan,
            "infinite": lambda labels, embeddings: pulled(labels, embeddings) * 1e30 * 1e30,
            "one argument": lambda labels: 0.5,
            "weights that nobody sees": lambda labels, embeddings: tf.reduce_mean(embeddings @ hidden),
            "counts": lambda labels, embeddings: pulled(labels, embeddings) * steps.assign_add(1.0),
            "random": lambda labels, embeddings: pulled(labels, embeddings + tf.random.normal(tf.shape(embeddings))),
            "raises late": lambda labels, embeddings: fail(ValueError("late"))(),
        }
        return wrong.get(self.what, pulled)


class Draws(SamplerPlugin):
    """Draws batches that are not as promised, or changes what it was given."""

    what: str = option("nothing", "What it does.")

    def supply(self) -> BatchSupply:
        return BatchSupply(8, classes=2)

    def build(self, labels: Any, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        if self.what == "labels changed":
            labels[:] = 0
        while True:
            batch = rng.permutation(len(labels))[:8]
            batches: dict[str, Any] = {
                "short": batch[:7],
                "outside": batch + 10_000,
                "below zero": batch - 10_000,
                "one person": np.zeros(8, np.int64),
                "no numbers": batch / 3,
                "no array": "batch",
                "nothing at all": None,
                "matrix": batch.reshape(2, 4),
            }
            if self.what == "ends":
                return
            if self.what == "raises":
                raise ValueError("no more")
            yield batches.get(self.what, batch)
