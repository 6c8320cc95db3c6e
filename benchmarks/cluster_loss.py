"""Milliseconds of the cluster loss with its gradient, beside the implementation of TensorFlow 1.x.

    python benchmarks/cluster_loss.py [--repeats 20]

The seconds of TensorFlow 1.x are those of ``tf.contrib.losses.metric_learning.cluster_loss``. They were measured once,
on two cores of a machine of the same kind, and are written down here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import TYPE_CHECKING

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

# (images, embedding width, identities, PAM): seconds under TensorFlow 1.x
TENSORFLOW_1 = {
    (64, 128, 16, True): 1.7,
    (64, 128, 16, False): 1.3,
    (128, 1024, 64, True): 12.4,
    (128, 1024, 64, False): 9.8,
}


def build_step(size: int, width: int, identities: int, *, pam: bool) -> Callable[[], object]:
    """Return a call that computes value and gradient on a fixed batch of random embeddings."""
    import tensorflow as tf
    from faceexp_loss_cluster import Cluster

    from faceexp.contract import LossContext

    loss = Cluster(pam=pam).build(LossContext(num_classes=identities, embedding_dim=width))
    labels = tf.constant(np.repeat(np.arange(identities), size // identities), tf.int32)
    embeddings = tf.constant(np.random.default_rng(0).normal(size=(size, width)), tf.float32)

    def gradient() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return tf.convert_to_tensor(tape.gradient(value, embeddings))

    step = tf.function(gradient, jit_compile=True)

    def call() -> object:
        return step().numpy()

    return call


def first_and_median(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the seconds of the first call, which compiles, and the median milliseconds of calls after the second."""
    durations = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return durations[0], 1e3 * statistics.median(durations[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the cluster loss.")
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    header = f"{'images':>6} {'width':>6} {'identities':>10} {'PAM':>4} {'ms':>8} {'TF 1.x ms':>10} {'ratio':>6}"
    print(f"{header} {'first s':>8}")
    for (size, width, identities, pam), seconds in TENSORFLOW_1.items():
        first, here = first_and_median(build_step(size, width, identities, pam=pam), repeats)
        before = 1e3 * seconds
        row = f"{size:6} {width:6} {identities:10} {'yes' if pam else 'no':>4} {here:8.1f} {before:10.0f}"
        print(f"{row} {before / here:6.0f} {first:8.2f}", flush=True)


if __name__ == "__main__":
    main()
