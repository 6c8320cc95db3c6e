"""Embeddings that need no metric loss. Every loss has to beat them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceexp.arrays import ByteArray, FloatArray, IntArray, on_one_core
from faceexp.data.images import release
from faceexp.data.splits import Split
from faceexp.engine.backend import tensorflow, versions
from faceexp.engine.determinism import is_marked
from faceexp.engine.features import open_features
from faceexp.engine.inputs import with_mirrored
from faceexp.engine.network import dense
from faceexp.engine.shared import PretrainedStages
from faceexp.experiment.baselines import PCA, PHASE1, PIXELS, UNTRAINED, Baseline
from faceexp.store import Store, digest
from faceexp.values import Budget, Plan, TrainedTrial, Trial

# Studies of eigenfaces keep on the order of a hundred components; those of small variance are mostly noise.
PCA_COMPONENTS = 128
# With more training images than this, PCA is fitted on a random choice of so many. PCA needs all of them as floats in
# memory at once, while its axes hardly change any more.
PCA_IMAGES = 10_000
# Up to so many images the exact solver is cheap; its work grows with the cube of their number.
EXACT_IMAGES = 2000
# Images that are projected at once: enough for a fast matrix product, few enough that their floats need little memory.
BLOCK = 4096


def raw_pixels(images: ByteArray, rows: IntArray) -> ByteArray:
    """Return some of the images as vectors of grey or colour values, uint8 (n, D).

    They stay bytes, since floats would take four times the memory; evaluation reads a byte as so many 255ths.

    Args:
        images: uint8 (N, H, W, C).
        rows: int (n,), which images.
    """
    return images[rows].reshape(len(rows), -1)


def eigenfaces(images: ByteArray, train: IntArray, *others: IntArray) -> list[FloatArray]:
    """Return the principal components of some images, fitted on training images (Turk and Pentland, 1991).

    Args:
        images: uint8 (N, H, W, C).
        train: The rows to fit on. If there are more than :data:`PCA_IMAGES`, a random choice is used, which is the
            same every time.
        others: The rows to transform; any number of index arrays.

    Returns:
        For each of the others, float32 (n, components).
    """
    from sklearn.decomposition import PCA

    if len(train) > PCA_IMAGES:
        train = np.sort(np.random.default_rng(0).choice(train, PCA_IMAGES, replace=False))
    flat = _floats(images, train)
    components = min(PCA_COMPONENTS, len(flat) - 1, flat.shape[1])
    # Beyond the exact solver's reach, the randomised one is used; its seed is fixed.
    solver = "full" if len(flat) <= EXACT_IMAGES else "randomized"
    pca = PCA(n_components=components, svd_solver=solver, random_state=0, copy=False).fit(flat)

    def transformed(rows: IntArray) -> FloatArray:
        blocks = [_floats(images, rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]
        return np.concatenate([np.asarray(pca.transform(block), dtype=np.float32) for block in blocks])

    return [transformed(rows) for rows in others]


def _floats(images: ByteArray, rows: IntArray) -> FloatArray:
    return raw_pixels(images, rows).astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class BaselineTrials:
    """The trials of baselines.

    Attributes:
        plan: The plan of the run.
        store: Where finished work is looked up and kept.
        shared: The network, pretrained weights and features, which losses use as well.
        parts: The parts whose embeddings are evaluated.
    """

    plan: Plan
    store: Store
    shared: PretrainedStages
    parts: Sequence[str]

    def run(self, trial: Trial, baseline: Baseline, split: Split) -> TrainedTrial:
        """Return the embeddings of one baseline on one split as a trained trial."""
        distance = baseline.distance
        if baseline == PIXELS:
            pixels = {part: raw_pixels(self.plan.images, self.plan.rows(split, part)) for part in self.parts}
            release(self.plan.images)
            key = digest([baseline.key, self.plan.images_key, self.plan.sets_key])
            return TrainedTrial(trial, split, "ok", embeddings=pixels, distance=distance, key=key)
        if baseline == PCA:
            key, components = self._eigenfaces(split)
            return TrainedTrial(trial, split, "ok", embeddings=components, distance=distance, key=key)
        settings = self.plan.resolved.experiment.pretrain
        if baseline.key == UNTRAINED.key:
            settings = settings.model_copy(update={"enabled": False})
        pretrained = self.shared.pretrained(split, settings)
        features, seconds = self.shared.features(split, pretrained)
        views = open_features(features.path)[: self.plan.resolved.experiment.evaluation.views]

        def embedded(view: FloatArray, part: str) -> FloatArray:
            values = np.asarray(view[self.plan.rows(split, part)])
            if baseline != PHASE1:
                return values
            # The embedding layer is dense and has no activation, so its output is one matrix product away.
            kernel, bias = pretrained.load()[-2:]
            return dense(values, kernel, bias, self.plan.resolved.experiment.trunk.precision)

        embeddings = {part: with_mirrored(*(embedded(view, part) for view in views)) for part in self.parts}
        reused = ["pretrain"] if pretrained.reused and settings.enabled else []
        reused += ["features"] if features.reused else []
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings=embeddings,
            distance=distance,
            budget=Budget(pretrained.images),
            seconds={"pretrain": pretrained.seconds, "features": seconds},
            reused=tuple(reused),
            # Of a trunk that phase 1 leaves as it is, all phases 1 have the same features.
            key=digest([baseline.key, features.key, pretrained.key, len(views)]),
            nondeterministic=pretrained.nondeterministic or is_marked(features),
        )

    def _eigenfaces(self, split: Split) -> tuple[str, dict[str, FloatArray]]:
        """Return the key of the principal components in the store, and those of each part's images.

        They are kept in the store because even importing the library that computes them is slow.
        """
        rows = [split.train.tolist(), split.validation.tolist(), split.test.tolist()]
        inputs = {
            "baseline": PCA.key,
            "images": [self.plan.images_key, self.plan.sets_key],
            "split": digest(rows),
            "parts": self.parts,
            "versions": versions(),
        }

        def make(folder: Path) -> None:
            others = [self.plan.rows(split, part) for part in self.parts]
            # Once it is loaded, the last bits of such products are others, so it is loaded before the first of them.
            tensorflow()
            with on_one_core(len(split.train) * math.prod(self.plan.images.shape[1:])):
                components = eigenfaces(self.plan.images, split.train, *others)
            release(self.plan.images)
            for part, values in zip(self.parts, components, strict=True):
                np.save(folder / f"{part}.npy", values, allow_pickle=False)

        artefact = self.store.get("baseline", inputs, make)
        embeddings = {part: np.load(artefact.path / f"{part}.npy", allow_pickle=False) for part in self.parts}
        return artefact.key, embeddings
