"""Seconds of the same comparison by the source study's procedure and by faceexp, in one run, and their ratio.

    python benchmarks/procedure.py [--losses 4] [--steps 600] [--epochs 15]

The source study's procedure in today's Keras, compiled and without needless work of our own: every loss trains its own
phase 1 with ``fit``; phase 2 runs the whole network at every step though only the embedding layer learns; and three
threshold sweeps push both images of every pair of the part through the network. Same data (ORL), network, batches and
numbers of steps. Importing TensorFlow is in neither of the two; compiling is in both.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

import faceexp
from faceexp.store import Store

if TYPE_CHECKING:
    from faceexp.values import ByteArray, Plan

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
# None of them has options that change the work a step.
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
    trunk = resolved.model.plugin.build(plan.images.shape[1:])  # type: ignore[attr-defined]
    embedding = keras.layers.Dense(1024)
    outputs = keras.layers.Dense(int(labels.max()) + 1)(
        keras.layers.Dropout(0.2)(keras.layers.ReLU()(embedding(trunk.outputs[0])))
    )
    classifier = keras.Model(trunk.inputs, outputs)
    classifier.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inputs = ready(images)
    classifier.fit(inputs, labels, batch_size=BATCH, epochs=epochs, verbose=0)

    network = keras.Model(trunk.inputs, embedding.output)
    plugin = faceexp.plugin("loss", name)
    loss = plugin.build(faceexp.LossContext(num_classes=int(labels.max()) + 1, embedding_dim=1024, seed=0))
    optimizer = keras.optimizers.Adam(1e-3)

    @tf.function
    def step(rows: Any, wanted: Any) -> Any:  # noqa: ANN401
        with tf.GradientTape() as tape:
            value = loss(wanted, network(rows, training=True))
        trained = [*embedding.trainable_variables, *getattr(loss, "trainable_variables", [])]
        optimizer.apply_gradients(zip(tape.gradient(value, trained), trained, strict=True))
        return value

    sampler = resolved.losses[0].sampler.plugin.build(labels.astype(np.int32), 0)  # type: ignore[attr-defined]
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


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--losses", type=int, default=4, choices=range(1, len(LOSSES) + 1), metavar="1..16")
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--epochs", type=int, default=15)
    chosen = arguments.parse_args()
    from faceexp.quiet import silence

    with silence():
        import tensorflow as tf
    tf.zeros(1)
    names = LOSSES[: chosen.losses]
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "x.toml")
        text = EXPERIMENT.format(epochs=chosen.epochs, steps=chosen.steps, classes=BATCH // 4, images=4)
        file.write_text(text + "".join(f'[[losses]]\nplugin = "{name}"\n' for name in names), encoding="utf-8")
        study = faceexp.load(file)
        plan = study.plan(Store(Path(home, "plan")))
        began = time.perf_counter()
        run = study.run(Path(home, "runs"), store=Path(home, "store"))
        ours = time.perf_counter() - began
        for trial in run.trials:
            spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in trial["seconds"].items())
            print(f"  faceexp       {trial['label']:<18} {trial['status']}: {spent}")
        theirs = 0.0
        for name in names:
            seconds = source_study(plan, name, chosen.epochs, chosen.steps)
            theirs += seconds
            print(f"  source study  {name:<18} {seconds:6.1f} s")
    print(f"{len(names)} losses: source study {theirs:.1f} s, faceexp {ours:.1f} s, 1 / {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
