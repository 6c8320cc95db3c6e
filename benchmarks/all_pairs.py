"""Seconds and memory of the verification and retrieval metrics over every pair of as many images as LFW has.

    python benchmarks/all_pairs.py [--images 13233] [--width 512]

Embeddings are random: each identity is a cluster, and the sizes of clusters are as uneven as those of LFW. The memory
is what the process takes at its peak beyond what it held before, which included the embeddings. Ratios are to the time
of the matrix products of all rows in float64, which is measured in the same run.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from faceexp.evaluation import retrieval, verification
from faceexp.evaluation.embeddings import blocks
from faceexp.evaluation.metrics import examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import auc, roc

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.arrays import FloatArray, IntArray

IMAGES, PEOPLE = 13_233, 5749  # of LFW


def embedded(images: int, width: int) -> tuple[FloatArray, IntArray]:
    """Return embeddings float32 and labels; most people have one image, a few have very many."""
    random = np.random.default_rng(0)
    people = max(1, images * PEOPLE // IMAGES)
    share = 1 / np.arange(1, people + 1) ** 0.9
    extra = random.choice(people, images - people, p=share / share.sum())
    labels = np.concatenate([np.arange(people), extra])
    centres = random.normal(size=(people, width)).astype(np.float32)
    noise = random.normal(size=(images, width)).astype(np.float32)
    return centres[labels] + np.float32(2.5) * noise, labels


def measured(name: str, call: Callable[[], Any]) -> tuple[float, Any]:
    """Call it once; print how long it took and by how much the peak of memory grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(f"{name:<44} {seconds:6.1f} s   peak +{grown:.2f} GiB")
    return seconds, result


def products(values: FloatArray) -> None:
    """Compute the inner products of all rows with all rows, block by block, and throw them away."""
    wide = values.astype(np.float64)
    for start, stop in blocks(len(wide), len(wide)):
        wide[start:stop] @ wide[start:].T


def curve_metrics(values: FloatArray, labels: IntArray) -> dict[str, float]:
    """Return the metrics that follow from the ROC curve of all pairs."""
    curve = roc(pair_distances(values, labels, "euclidean"))
    metrics = {"auc": auc(curve), "eer": verification.eer(curve)}
    return metrics | {f"tar@far={far}": verification.tar_at_far(curve, far) for far in (0.01, 0.001)}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=IMAGES)
    arguments.add_argument("--width", type=int, default=512)
    chosen = arguments.parse_args()
    values, labels = embedded(chosen.images, chosen.width)
    pairs = len(labels) * (len(labels) - 1) // 2
    print(f"{len(labels):,} images of {labels.max() + 1:,} people, {chosen.width} numbers each: {pairs:,} pairs")
    floor, _ = measured("matrix products alone", lambda: products(values))
    verified, metrics = measured("exact AUC, EER, TAR@FAR of all pairs", lambda: curve_metrics(values, labels))
    print("   " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    ranked, ranks = measured("retrieval ranks of all queries", lambda: retrieval.ranks(values, labels, "euclidean"))
    print(f"   P@1 {retrieval.precision_at_1(ranks):.4f}, MAP@R {retrieval.map_at_r(ranks):.4f}")
    whole, _ = measured("all metrics and diagnostics of a trial", lambda: examine(values, labels, 80.0, "euclidean"))
    by_people, _ = measured(
        "the same, every person counting alike", lambda: examine(values, labels, 80.0, "euclidean", weights="people")
    )
    ratios = {"verification": verified, "retrieval": ranked, "all": whole, "person-averaged": by_people}
    print("in matrix products: " + ", ".join(f"{name} {seconds / floor:.1f}" for name, seconds in ratios.items()))


if __name__ == "__main__":
    main()
