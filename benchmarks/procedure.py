"""Seconds of the same comparison of losses by the source study's procedure and by faceexp, and their ratio.

    python benchmarks/procedure.py [--losses 4] [--steps 600] [--epochs 15] [--without-avx512]

The source study's procedure is written in today's Keras, compiled, and without work that it does not need: every loss
pretrains for itself, with ``fit``; fine-tuning runs the whole network at every step, although only the embedding layer
learns; and three sweeps over thresholds push both images of every pair through the network. Both procedures have the
same data (ORL), network, batches and numbers of steps. The source study's procedure runs in a process of its own, with
the default settings of TensorFlow. Importing TensorFlow counts in neither of them; compiling counts in both.

On processors without AVX-512 VNNI, TensorFlow uses oneDNN only if it is told to, which faceexp does. With
``--without-avx512``, TensorFlow, oneDNN and XLA behave as on such a processor.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
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
    from faceexp.arrays import ByteArray
    from faceexp.contract import ModelPlugin, SamplerPlugin
    from faceexp.values import Plan

EXPERIMENT = """\
name = "procedure"
seeds = [0]
baselines = []
[dataset]
plugin = "orl"
[augment]
flip = false
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
embedding_dim = 1024
[pretrain]
epochs = {epochs}
[finetune]
steps = {steps}
learning_rate = 1e-3
[finetune.sampler]
plugin = "balanced"
classes_per_batch = {classes}
images_per_class = {images}
"""
# Losses whose work per step does not depend on their options.
LOSSES = (
    *("contrastive", "balanced_l2", "npairs", "cluster", "multi_similarity", "circle", "supcon", "ntxent", "arcface"),
    *("cosface", "triplet_margin", "lifted_struct", "fastap", "nca", "proxy_anchor", "snr_contrastive"),
)
BATCH = 64
SWEEPS = 3


def source_study(plan: Plan, name: str, epochs: int, steps: int) -> float:
    """Train and judge one loss as the source study did; return the seconds."""
    import keras
    import tensorflow as tf

    began = time.perf_counter()
    split = plan.splits[0]
    images, labels = plan.images[split.train], np.unique(plan.labels[split.train], return_inverse=True)[1]
    mean, deviation = float(images.mean()), float(images.std())

    def ready(pixels: ByteArray) -> Any:  # noqa: ANN401
        return (np.asarray(pixels, np.float32) - mean) / deviation

    resolved = plan.resolved
    trunk = cast("ModelPlugin", resolved.model.plugin).build(plan.images.shape[1:])
    embedding = keras.layers.Dense(1024)
    outputs = keras.layers.Dense(int(labels.max()) + 1)(
        keras.layers.Dropout(0.2)(keras.layers.ReLU()(embedding(trunk.outputs[0])))
    )
    classifier = keras.Model(trunk.inputs, outputs)
    classifier.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inputs = ready(images)
    classifier.fit(inputs, labels, batch_size=BATCH, epochs=epochs, verbose=0)

    network = keras.Model(trunk.inputs, embedding.output)
    plugin: Any = faceexp.plugin("loss", name)
    loss = plugin.build(faceexp.LossContext(num_classes=int(labels.max()) + 1, embedding_dim=1024, seed=0))
    optimizer = keras.optimizers.Adam(1e-3)

    @tf.function
    def step(rows: Any, wanted: Any) -> Any:  # noqa: ANN401
        with tf.GradientTape() as tape:
            value = loss(wanted, network(rows, training=True))
        trained = [*embedding.trainable_variables, *getattr(loss, "trainable_variables", [])]
        optimizer.apply_gradients(zip(tape.gradient(value, trained), trained, strict=True))
        return value

    sampler = cast("SamplerPlugin", resolved.losses[0].sampler.plugin).build(labels.astype(np.int32), 0)
    for index in itertools.islice(sampler, steps):
        step(inputs[index], labels[index].astype(np.int32))

    judged = ready(plan.images[split.test])
    pairs = list(itertools.combinations(range(len(judged)), 2))
    similar = np.array([plan.labels[split.test[i]] == plan.labels[split.test[j]] for i, j in pairs])
    for _ in range(SWEEPS):
        distances: list[float] = []
        for start in range(0, len(pairs), BATCH):
            first, second = np.array(pairs[start : start + BATCH]).T
            difference = network.predict_on_batch(judged[first]) - network.predict_on_batch(judged[second])
            distances += np.linalg.norm(difference, axis=1).tolist()
        far = np.array(distances)
        max(np.mean((far <= threshold) == similar) for threshold in np.linspace(0, far.max(), 100))
    return time.perf_counter() - began


def prepared(home: Path, chosen: argparse.Namespace) -> tuple[faceexp.Study, Plan]:
    """Return the experiment and its plan. Decoding images counts in neither of the two procedures."""
    file = home / "x.toml"
    text = EXPERIMENT.format(epochs=chosen.epochs, steps=chosen.steps, classes=BATCH // 4, images=4)
    names = LOSSES[: chosen.losses]
    file.write_text(text + "".join(f'[[losses]]\nplugin = "{name}"\n' for name in names), encoding="utf-8")
    study = faceexp.load(file)
    return study, study.plan(Store(home / "store"))


def ours(chosen: argparse.Namespace) -> float:
    """Run the experiment; return the seconds."""
    from faceexp.engine.backend import tensorflow
    from faceexp.quiet import silence

    with silence():
        tensorflow().zeros(1)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        study, _ = prepared(home, chosen)
        began = time.perf_counter()
        run = study.run(home / "runs", store=home / "store")
        seconds = time.perf_counter() - began
    for trial in run.trials:
        spent = ", ".join(f"{stage} {value:.1f}" for stage, value in trial.seconds.items())
        print(f"  faceexp       {trial.label:<18} {trial.status}: {spent}", flush=True)
    return seconds


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--losses", type=int, default=4, choices=range(1, len(LOSSES) + 1), metavar="1..16")
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--without-avx512", action="store_true")
    arguments.add_argument("--source-study", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.source_study:
        with tempfile.TemporaryDirectory() as folder:
            _, plan = prepared(Path(folder), chosen)
            print(json.dumps([source_study(plan, n, chosen.epochs, chosen.steps) for n in LOSSES[: chosen.losses]]))
        return
    environment = dict(os.environ)
    if chosen.without_avx512:
        older = {"ONEDNN_MAX_CPU_ISA": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}
        environment |= {**older, "TF_ENABLE_ONEDNN_OPTS": "0"}
        os.environ.update(older)
    seconds_of_faceexp = ours(chosen)
    command = [sys.executable, __file__, "--source-study"]
    command += [f"--{name}={getattr(chosen, name)}" for name in ("losses", "steps", "epochs")]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout  # noqa: S603
    seconds_of_losses: list[float] = json.loads(printed.splitlines()[-1])
    for name, seconds in zip(LOSSES, seconds_of_losses, strict=False):
        print(f"  source study  {name:<18} {seconds:6.1f} s")
    theirs = sum(seconds_of_losses)
    print(
        f"{len(seconds_of_losses)} losses: source study {theirs:.1f} s, faceexp {seconds_of_faceexp:.1f} s, "
        f"1 / {theirs / seconds_of_faceexp:.1f}"
    )


if __name__ == "__main__":
    main()
