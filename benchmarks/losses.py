"""Milliseconds of every installed loss with its gradient, beside the loss of that name in pytorch-metric-learning.

    python benchmarks/losses.py [--only NAME ...] [--repeats 20] [--json FILE]

Both libraries run here on two threads, one after the other, on the same rows of 1024 numbers: 128 rows of 64 identities
with 2 images each, and 1000 rows of 250 identities with 4 images each. Our losses are compiled as the engine compiles
them. The other library needs ``pip install --group bench``; without it only our losses are measured.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import inspect
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

from faceexp.contract import LossContext, LossPlugin
from faceexp.registry.installed import discover, plugin

THREADS = 2
WIDTH = 1024
MEMORY = 4.0  # GiB that a loss may take
SIZES = {128: 64, 1000: 250}  # rows: identities

# Losses that go by another name, or whose options do, in pytorch-metric-learning. All others are found by their name,
# and take those of our options that theirs knows.
ELSEWHERE: dict[str, tuple[str, dict[str, Any]]] = {
    "contrastive": ("ContrastiveLoss", {"pos_margin": 0.0, "neg_margin": 1.0}),
    "generalized_lifted_struct": ("GeneralizedLiftedStructureLoss", {}),
    "lifted_struct": ("LiftedStructureLoss", {"pos_margin": 0.0, "neg_margin": 1.0}),
    "snr_contrastive": ("SignalToNoiseRatioContrastiveLoss", {}),
}

# A call that computes value and gradients.
Step = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a step. On a busy machine, the fastest step tells more than the median."""

    median: float
    fastest: float


@dataclass(frozen=True)
class Row:
    """One line of the table; ``None`` if there is nothing to measure."""

    loss: str
    rows: int
    ours: Timing | None
    theirs: Timing | None

    def __str__(self) -> str:
        cells: list[float | None] = []
        for what in ("median", "fastest"):
            ours, theirs = (getattr(side, what) if side else None for side in (self.ours, self.theirs))
            cells += [ours, theirs, ours / theirs if ours and theirs else None]
        return f"{self.loss:28} {self.rows:5}" + "".join(
            f"{'-' if cell is None else f'{cell:.2f}':>10}" for cell in cells
        )


def batch(size: int, identities: int, *, mixed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and embeddings; rows i and i + B/2 show the same identity, except for a quarter if mixed."""
    labels = np.tile(np.arange(identities), size // identities)
    if mixed:
        labels[3 * size // 4 :] = np.roll(labels[3 * size // 4 :], 1)
    return labels, np.random.default_rng(0).normal(size=(size, WIDTH)).astype(np.float32)


def step_of_ours(loss: LossPlugin, size: int, identities: int) -> Step:
    import tensorflow as tf

    traits = loss.traits()
    drawn = batch(size, identities, mixed=traits.needs.halves == "mixed")
    labels, embeddings = tf.constant(drawn[0], tf.int32), tf.constant(drawn[1])
    function = loss.build(LossContext(num_classes=identities, embedding_dim=WIDTH))
    weights = list(getattr(function, "trainable_variables", []))

    def gradients(labels: tf.Tensor, embeddings: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = function(labels, embeddings)
        return [value, *tape.gradient(value, [embeddings, *weights])]

    compiled = tf.function(gradients, autograph=False, jit_compile=traits.xla)
    return lambda: [part.numpy() for part in compiled(labels, embeddings)]


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class, including those that it only hands on to its base classes."""
    known: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in base.__dict__:
            of_base = inspect.signature(base.__dict__["__init__"]).parameters
            known = {**of_base, **known}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in of_base.values()):
                break
    return known


def step_of_theirs(name: str, loss: LossPlugin, size: int, identities: int) -> Step | None:
    """Return a step of their loss with our options, or ``None`` if they have no loss of that name."""
    import torch
    from pytorch_metric_learning import losses

    names = {class_name.lower(): class_name for class_name in dir(losses) if class_name.endswith("Loss")}
    theirs, options = ELSEWHERE.get(name, (names.get(f"{name.replace('_', '')}loss"), {}))
    if theirs is None:
        return None
    known = parameters(getattr(losses, theirs))
    # Only numbers: other options, such as a choice of pairs, are said in another way there.
    ours = {option: value for option, value in loss.model_dump().items() if isinstance(value, (bool, int, float))}
    sizes = {"num_classes": identities, "embedding_size": WIDTH}
    needed = {
        size: value for size, value in sizes.items() if size in known and known[size].default is known[size].empty
    }
    shared = {option: value for option, value in ours.items() if option in known}
    function = getattr(losses, theirs)(**(shared | needed | options))
    drawn = batch(size, identities, mixed=loss.traits().needs.halves == "mixed")
    labels, embeddings = torch.tensor(drawn[0]), torch.tensor(drawn[1], requires_grad=True)

    def step() -> object:
        embeddings.grad = None
        function.zero_grad()
        function(embeddings, labels).backward()
        return embeddings.grad

    return step


def milliseconds(step: Step, repeats: int, seconds: float) -> Timing:
    """Time a step, after one that compiles. Repeat it at most ``repeats`` times and no longer than ``seconds``."""
    step()
    durations: list[float] = []
    while not durations or (len(durations) < repeats and sum(durations) < seconds):
        start = time.perf_counter()
        step()
        durations.append(time.perf_counter() - start)
    return Timing(1e3 * statistics.median(durations), 1e3 * min(durations))


@contextmanager
def memory_of(gibibytes: float) -> Iterator[None]:
    """Let the system refuse more memory than this much on top of the present use.

    Some losses would otherwise take all of the machine's memory.
    """
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(gibibytes * 2**30), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def attempt(build: Callable[[], Step | None], repeats: int, seconds: float) -> Timing | None:
    """Build a step and time it. Return ``None`` if there is no step, or if it fails; then the error is printed."""
    gc.collect()
    try:
        with memory_of(MEMORY):
            step = build()
            return None if step is None else milliseconds(step, repeats, seconds)
    except Exception as error:  # noqa: BLE001 - a loss may raise anything; the others are still measured
        print(f"  {type(error).__name__}: {str(error).splitlines()[0][:110]}")
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Time every installed loss.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="losses to measure; all by default")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="stop repeating a loss after so long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there as well")
    arguments = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    installed = discover().names("loss")
    absent = sorted({*ELSEWHERE, *(arguments.only or [])} - set(installed))
    assert not absent, f"not installed: {', '.join(absent)}"  # noqa: S101 - a name that nothing has measures nothing
    both = importlib.util.find_spec("pytorch_metric_learning") is not None
    if both:
        import torch

        torch.set_num_threads(THREADS)

    rows = []
    print(
        f"{'loss':28} {'rows':>5}{'ours ms':>10}{'pml ms':>10}{'ratio':>10}{'fastest':>10}{'fastest':>10}{'ratio':>10}"
    )
    for name in arguments.only or installed:
        loss = plugin("loss", name)
        assert isinstance(loss, LossPlugin)  # noqa: S101 - the registry checks it
        for size, identities in SIZES.items():
            limits = arguments.repeats, arguments.seconds
            ours = attempt(partial(step_of_ours, loss, size, identities), *limits)
            theirs = attempt(partial(step_of_theirs, name, loss, size, identities), *limits) if both else None
            rows.append(Row(name, size, ours, theirs))
            print(rows[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
