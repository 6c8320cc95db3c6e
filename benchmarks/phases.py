"""Both phases of training, beside Keras' own ``fit`` and beside the bare arithmetic of a step.

    python benchmarks/phases.py [--steps 600] [--epochs 15] [--repeats 3]

Phase 1 (pretraining): images per second of ``faceexp``, and of a plain ``fit`` of the same network on the same batches
and images. ``fit`` has a process of its own with the default settings of TensorFlow. The first run of each compiles, so
it does not count.

Phase 2 (fine-tuning): seconds of a whole trial (sampling, steps, validation, checkpoints, writing) over the number of
steps times a floor; with compilation, which is the first seed, and without, which are the others. The floor is what no
step can do without: the matrix products of the embedding layer, forward and backward, and one pass of Adam over its
weights. Each is compiled alone, by XLA and without XLA, and the faster one counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

import faceexp
from faceexp.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.contract import ModelPlugin

EXPERIMENT = """\
name = "phases"
seeds = {seeds}
baselines = []
[dataset]
plugin = "orl"
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
embedding_dim = {dim}
[pretrain]
epochs = {epochs}
[finetune]
steps = {steps}
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 16
images_per_class = 4
[[losses]]
plugin = "contrastive"
[[losses]]
plugin = "npairs"
[[losses]]
plugin = "arcface"
"""
BATCH, FEATURES, DIM = 64, 2304, 1024


def study(home: Path, chosen: argparse.Namespace) -> faceexp.Study:
    """Return the experiment that is measured. It has one seed more than there are repeats, since the first compiles."""
    file = home / "x.toml"
    seeds = list(range(chosen.repeats + 1))
    text = EXPERIMENT.format(seeds=seeds, dim=DIM, epochs=chosen.epochs, steps=chosen.steps)
    file.write_text(text, encoding="utf-8")
    return faceexp.load(file)


def plain_fit(chosen: argparse.Namespace) -> None:
    """Print the seconds and the last loss of each ``fit`` as JSON. This runs in a process of its own."""
    import keras

    with tempfile.TemporaryDirectory() as home:
        experiment = study(Path(home), chosen)
        plan = experiment.plan(Store(Path(home, "store")))
    split = plan.splits[0]
    images, labels = plan.images[split.train], np.unique(plan.labels[split.train], return_inverse=True)[1]
    inputs = (images.astype(np.float32) - images.mean()) / images.std()
    runs = []
    trunk = cast("ModelPlugin", experiment.resolved.model.plugin).build(images.shape[1:])
    hidden = keras.layers.Dropout(0.2)(keras.layers.ReLU()(keras.layers.Dense(DIM)(trunk.outputs[0])))
    classifier = keras.Model(trunk.inputs, keras.layers.Dense(int(labels.max()) + 1)(hidden))
    start = classifier.get_weights()
    # The optimiser is reset by hand: compiling the model again would also trace it again.
    classifier.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fresh = None
    for _ in range(chosen.repeats + 1):
        classifier.set_weights(start)
        if fresh is not None:
            for variable, value in zip(classifier.optimizer.variables, fresh, strict=True):
                variable.assign(value)
        began = time.perf_counter()
        history = classifier.fit(inputs, labels, batch_size=BATCH, epochs=chosen.epochs, verbose=0)
        runs.append((time.perf_counter() - began, history.history["loss"][-1]))
        fresh = fresh or [np.zeros_like(variable.numpy()) for variable in classifier.optimizer.variables]
        fresh[1] = classifier.optimizer.variables[1].numpy()  # the learning rate
    print(json.dumps({"images": len(inputs) * chosen.epochs, "runs": runs}))


def milliseconds(call: Callable[[], Any], repeats: int = 40) -> float:
    """Return the median milliseconds of a call, after two calls that do not count."""
    call()
    call()
    durations = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return 1e3 * statistics.median(durations)


def floor() -> dict[str, float]:
    """Return the milliseconds of each part that no step on the embedding layer can do without."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    inputs, slope = (tf.constant(random.normal(size=(BATCH, n)), tf.float32) for n in (FEATURES, DIM))
    kernel, mean, square, gradient = (tf.Variable(random.random((FEATURES, DIM)), dtype=tf.float32) for _ in range(4))

    def adam() -> Any:  # noqa: ANN401
        m = 0.9 * mean + 0.1 * gradient
        v = 0.999 * square + 0.001 * tf.square(gradient)
        mean.assign(m)
        square.assign(v)
        kernel.assign_sub(1e-3 * m / (tf.sqrt(v) + 1e-7))

    def adam_of_tensorflow() -> Any:  # noqa: ANN401
        rates = {"beta1_power": 0.9, "beta2_power": 0.999, "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}
        handles = {"var": kernel.handle, "m": mean.handle, "v": square.handle}
        tf.raw_ops.ResourceApplyAdam(**handles, **rates, grad=gradient)

    parts = {
        "forward": [lambda: tf.matmul(inputs, kernel)],
        "backward": [lambda: tf.matmul(inputs, slope, transpose_a=True)],
        "Adam": [adam, adam_of_tensorflow],
    }
    return {
        name: min(
            milliseconds(tf.function(call, jit_compile=xla, autograph=False)) for call in calls for xla in (True, False)
        )
        for name, calls in parts.items()
    }


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--fit", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.fit:
        plain_fit(chosen)
        return
    command = [sys.executable, __file__, "--fit", f"--epochs={chosen.epochs}", f"--repeats={chosen.repeats}"]
    fit = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ourselves
    from faceexp.quiet import silence

    with silence():
        from faceexp.engine.backend import tensorflow

        tensorflow()
    bare = floor()
    with tempfile.TemporaryDirectory() as home:
        run = study(Path(home), chosen).run(Path(home, "runs"), store=Path(home, "store"))
        histories = [json.loads(f.read_text()) for f in sorted(Path(home, "store").glob("pretrain/*/history.json"))]
    again = floor()
    bare = {name: min(value, again[name]) for name, value in bare.items()}

    losses = [trial.label for trial in run.trials if trial.seed == 0]
    seconds = {seed: [t.seconds for t in run.trials if t.seed == seed] for seed in range(chosen.repeats + 1)}
    budget = run.trials[0].budget
    images = budget.pretrain_images if budget else 0
    ours = images / statistics.median(of_seed[0]["pretrain"] for seed, of_seed in seconds.items() if seed)
    theirs = fit["images"] / statistics.median(second for second, _ in fit["runs"][1:])
    epoch = -(-images // BATCH // chosen.epochs)
    print(f"phase 1: faceexp {ours:.0f} images/s, fit {theirs:.0f}: {ours / theirs:.2f} times")
    ends = sorted(statistics.mean(history["loss"][-epoch:]) for history in histories)
    print(f"  last epoch's loss: faceexp {ends[0]:.3g} to {ends[-1]:.3g}", end=", ")
    print(f"fit {min(loss for _, loss in fit['runs']):.3g} to {max(loss for _, loss in fit['runs']):.3g}")
    whole = sum(bare.values())
    named = " + ".join(f"{name} {value:.2f}" for name, value in bare.items())
    print(f"phase 2: floor {named} = {whole:.2f} ms per step")
    for position, label in enumerate(losses):
        spent = [seconds[seed][position]["finetune"] for seed in seconds]
        later = statistics.median(spent[1:])
        ratios = [1e3 * value / chosen.steps / whole for value in (spent[0], later)]
        print(
            f"  {label:<12} {chosen.steps} steps: with compilation {spent[0]:.2f} s, {ratios[0]:.2f} x floor; "
            f"without {later:.2f} s, {ratios[1]:.2f} x floor"
        )


if __name__ == "__main__":
    main()
