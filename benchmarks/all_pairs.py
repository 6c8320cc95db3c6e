"""Seconds and memory of verification and retrieval metrics over every pair of as many images as LFW has.

    python benchmarks/all_pairs.py [--images 13233] [--width 512]

Embeddings are random: identities are clusters, sizes drawn as uneven as LFW's. Memory is what the process takes at its
peak beyond what it held before, the embeddings included. As a ratio, the time of the bare distances (one matrix product
in float64) is measured in the same run.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from faceexp.evaluation import retrieval, verification
from faceexp.evaluation.metrics import examine
from faceexp.evaluation.pairs import blocks, pair_distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.arrays import FloatArray, IntArray

PEOPLE = 5749  # of LFW


def embedded(images: int, width: int) -> tuple[FloatArray, IntArray]:
    """Return embeddings float32 and labels; most people have one image, a few have very many."""
    random = np.random.default_rng(0)
    people = min(PEOPLE, images)
    share = 1 / np.arange(1, people + 1) ** 0.9
    extra = random.choice(people, images - people, p=share / share.sum())
    labels = np.concatenate([np.arange(people), extra])
    centres = random.normal(size=(people, width)).astype(np.float32)
    noise = random.normal(size=(images, width)).astype(np.float32)
    return centres[labels] + np.float32(2.5) * noise, labels


def measured(name: str, call: Callable[[], Any]) -> tuple[float, Any]:
    """Run it once, print how long it took and how much the peak grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(f"{name:<44} {seconds:6.1f} s   peak +{grown:.2f} GiB")
    return seconds, result


def products(values: FloatArray) -> None:
    """Compute the products of all rows with all rows, block by block, and throw them away."""
    wide = values.astype(np.float64)
    for start, stop in blocks(len(wide), len(wide)):
        wide[start:stop] @ wide[start:].T


def curve_metrics(values: FloatArray, labels: IntArray) -> dict[str, float]:
    """Return what the ROC of all pairs gives."""
    curve = verification.roc(pair_distances(values, labels, "euclidean"))
    names = {"auc": verification.auc(curve), "eer": verification.eer(curve)}
    return names | {f"tar@far={far}": verification.tar_at_far(curve, far) for far in (0.01, 0.001)}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=13233)
    arguments.add_argument("--width", type=int, default=512)
    chosen = arguments.parse_args()
    values, labels = embedded(chosen.images, chosen.width)
    pairs = len(labels) * (len(labels) - 1) // 2
    print(f"{len(labels):,} images of {labels.max() + 1:,} people, {chosen.width} numbers each: {pairs:,} pairs")
    floor, _ = measured("matrix products alone", lambda: products(values))
    verified, found = measured("exact AUC, EER, TAR@FAR of all pairs", lambda: curve_metrics(values, labels))
    print("   " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
    ranked, ranks = measured("retrieval ranks of all queries", lambda: retrieval.ranks(values, labels, "euclidean"))
    print(f"   P@1 {retrieval.precision_at_1(ranks):.4f}, MAP@R {retrieval.map_at_r(ranks):.4f}")
    whole, _ = measured("everything a trial is given", lambda: examine(values, labels, 80.0, "euclidean"))
    ratios = {"verification": verified, "retrieval": ranked, "all": whole}
    print("in matrix products: " + ", ".join(f"{name} {seconds / floor:.1f}" for name, seconds in ratios.items()))


if __name__ == "__main__":
    main()
