"""The two-phase engine: from a plan to trained trials.

For each seed and fold: phase 1 once; trunk features once; then phase 2 for each loss, from the very same weights.
Everything is looked up in the store first, and TensorFlow is imported only when something is missing there.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from faceexp.contract import IntArray, ModelPlugin, SamplerPlugin
from faceexp.engine import baselines, phase1
from faceexp.engine.backend import compiled, derive_seed, tensorflow, versions
from faceexp.engine.network import (
    Network,
    Normalization,
    Weights,
    initial_weights,
    load_weights,
    normalized,
    save_weights,
)
from faceexp.engine.phase1 import DivergedError
from faceexp.engine.phase2 import Finetuner, needs_images
from faceexp.engine.rows import FLIPPED, PLAIN, Rows, Views, resident
from faceexp.experiment import Pretrain
from faceexp.images import shape
from faceexp.store import Artefact, Store, digest
from faceexp.values import (
    Budget,
    ByteArray,
    Checkpoint,
    Event,
    FloatArray,
    Listener,
    Plan,
    ResolvedLoss,
    Score,
    Split,
    TrainedTrial,
    Trial,
)


def train(plan: Plan, store: Store, score: Score, listen: Listener) -> Iterator[TrainedTrial]:
    """Yield each trial of a plan as it ends; a trial that fails says why and costs only itself.

    Args:
        plan: What to do.
        store: Where finished work is looked up and kept.
        score: Rates validation embeddings, labels and distance; the checkpoint with the highest value is kept.
        listen: Hears of progress.
    """
    engine = Engine(plan, store, score, listen)
    for trial in plan.trials:
        yield engine.run(trial)


@dataclass(frozen=True)
class Start:
    """Where phase 2 starts: weights, and the time and reuse of the stages that made them."""

    key: str
    load: Callable[[], Weights]
    seconds: float
    reused: bool


@dataclass
class Engine:
    """One run: the plan, the store, and what was compiled or loaded so far."""

    plan: Plan
    store: Store
    score: Score
    listen: Listener
    _compiled: dict[str, Any] = field(default_factory=dict)
    # A start is shared by the trials of a seed and fold: whether it was reused is news only once.
    _starts: dict[str, Start] = field(default_factory=dict)
    _features: dict[str, tuple[Artefact, float]] = field(default_factory=dict)
    _last_resident: tuple[str, Any] = ("", None)
    # A phase 1 that failed is not tried again for every loss that would have started from it.
    _failed_starts: dict[str, Exception] = field(default_factory=dict)

    def run(self, trial: Trial) -> TrainedTrial:
        """Return the trained trial, from the store or trained now."""
        try:
            return self._loss(trial, trial.loss) if trial.loss else self._baseline(trial)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and costs only its own trials
            cause = _cause(error)
            diverged = isinstance(cause, DivergedError)
            reason = " ".join(str(cause).split())[:500]
            return TrainedTrial(
                trial,
                self._split(trial),
                "diverged" if diverged else "failed",
                reason if diverged else f"{type(cause).__name__}: {reason}",
            )

    # What determines a result --------------------------------------------------------------------------------------

    @functools.cached_property
    def _shape(self) -> tuple[int, int, int]:
        return shape(self.plan.resolved.experiment.preprocess)

    def _split(self, trial: Trial) -> Split:
        return next(split for split in self.plan.splits if (split.seed, split.fold) == (trial.seed, trial.fold))

    def _initial_inputs(self, split: Split) -> dict[str, Any]:
        """What determines the initial weights, and what they are trained on."""
        return {
            "images": self.plan.images_key,
            "train": digest([split.train.tolist(), self.plan.labels[split.train].tolist()]),
            "model": self.plan.resolved.model.identity,
            "embedding_dim": self.plan.resolved.experiment.model.embedding_dim,
            "seed": [split.seed, split.fold],
            "versions": versions(),
        }

    # Stages shared by all losses of a seed and fold ----------------------------------------------------------------

    def _start(self, split: Split, settings: Pretrain) -> Start:
        inputs = {**self._initial_inputs(split), "phase": "initial"}
        if settings.enabled:
            experiment = self.plan.resolved.experiment
            inputs |= {
                "phase": "pretrain",
                "pretrain": settings.model_dump(),
                "augment": experiment.augment.model_dump(exclude={"phase2"}),
            }
        key = digest(inputs)
        if key in self._starts:
            return dataclasses.replace(self._starts[key], reused=True)
        if key in self._failed_starts:
            raise self._failed_starts[key]
        if settings.enabled:
            try:
                artefact = self.store.get("pretrain", inputs, lambda folder: self._pretrain(folder, split, settings))
            except Exception as error:
                self._failed_starts[key] = error
                raise
            history = json.loads((artefact.path / "history.json").read_text(encoding="utf-8"))
            start = Start(key, lambda: load_weights(artefact.path / "weights.npz"), history["seconds"], artefact.reused)
        else:
            start = Start(key, lambda: self._initial(split), 0.0, reused=False)
        self._starts[key] = start
        return start

    def _initial(self, split: Split) -> Weights:
        self._wake()
        seed = derive_seed("weights", split.seed, split.fold)
        dim = self.plan.resolved.experiment.model.embedding_dim
        return initial_weights(self._model, self._shape, dim, seed)

    @property
    def _model(self) -> ModelPlugin:
        return cast("ModelPlugin", self.plan.resolved.model.plugin)

    @functools.cached_property
    def _network(self) -> Network:
        self._wake()
        return Network(self._model, self._shape, self.plan.resolved.experiment.model.embedding_dim)

    def _wake(self) -> None:
        """Import TensorFlow, which takes seconds: worth a word to whoever watches."""
        if "backend" not in self._compiled:
            self.listen(Event("backend", 0, 1))
            self._compiled["backend"] = tensorflow()
            self.listen(Event("backend", 1, 1))

    def _normalization(self, split: Split) -> Normalization:
        key = f"normalization {split.seed} {split.fold}"
        if key not in self._compiled:
            self._compiled[key] = Normalization.of(self.plan.images, split.train)
        return cast("Normalization", self._compiled[key])

    def _pretrain(self, folder: Path, split: Split, settings: Pretrain) -> None:
        began = time.perf_counter()
        labels = _counted(self.plan.labels, split.train)
        num_classes = int(labels[split.train].max()) + 1
        augment = self.plan.resolved.experiment.augment
        key = digest(["phase 1", settings.model_dump(), num_classes])
        if key not in self._compiled:
            self._compiled[key] = phase1.Classifier(self._network, settings, augment, num_classes)
        classifier = cast("phase1.Classifier", self._compiled[key])
        seed = derive_seed("pretrain", split.seed, split.fold)
        classifier.reset(self._initial(split), seed)
        steps = phase1.step_count(len(split.train), settings)

        def tell(done: int, loss: float) -> None:
            self.listen(Event("pretrain", done, steps, "", split.seed, split.fold, loss))

        history = classifier.run(
            self.plan.images,
            labels,
            phase1.batches(split.train, settings, augment, seed),
            self._normalization(split),
            steps,
            tell,
        )
        save_weights(folder / "weights.npz", self._network.take())
        seconds = time.perf_counter() - began
        (folder / "history.json").write_text(json.dumps({"loss": history, "seconds": seconds}), encoding="utf-8")

    def _feature_rows(self, split: Split, start: Start) -> tuple[Artefact, float]:
        """Return trunk features of all images, float32 (views, N, F); the second view is flipped."""
        views = 2 if self.plan.resolved.experiment.augment.flip else 1
        inputs = {"start": start.key, "views": views, "images": self.plan.images_key}
        key = digest(inputs)
        if key in self._features:
            artefact, seconds = self._features[key]
            return dataclasses.replace(artefact, reused=True), seconds

        def make(folder: Path) -> None:
            began = time.perf_counter()
            self._extract(folder, split, start, views)
            (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - began), encoding="utf-8")

        artefact = self.store.get("features", inputs, make)
        seconds = json.loads((artefact.path / "seconds.json").read_text(encoding="utf-8"))
        self._features[key] = artefact, seconds
        return artefact, seconds

    def _extract(self, folder: Path, split: Split, start: Start, views: int) -> None:
        network, images = self._network, self.plan.images
        network.put(start.load())
        normalization = self._normalization(split)
        if "trunk" not in self._compiled:
            self._compiled["trunk"] = compiled(
                lambda rows, mean, deviation: network.features(normalized(rows, mean, deviation), training=False)
            )
        out = np.lib.format.open_memmap(
            folder / "features.npy", mode="w+", dtype=np.float32, shape=(views, len(images), network.width)
        )
        for view in range(views):
            for begin in range(0, len(images), 256):
                block = np.asarray(images[begin : begin + 256])
                block = block[:, :, ::-1] if view == FLIPPED else block
                rows = self._compiled["trunk"](block, normalization.mean, normalization.deviation)
                out[view, begin : begin + len(block)] = rows.numpy()
                self.listen(Event("features", begin + len(block), len(images), "", split.seed, split.fold))
        out.flush()

    # One trial -----------------------------------------------------------------------------------------------------

    def _loss(self, trial: Trial, resolved: ResolvedLoss) -> TrainedTrial:
        split = self._split(trial)
        start = self._start(split, resolved.entry.pretrain)
        seconds = {"pretrain": start.seconds, "features": 0.0}
        reused = ["pretrain"] if start.reused else []
        features: Artefact | None = None
        if not needs_images(resolved.entry.finetune, self.plan.resolved.experiment.augment):
            features, seconds["features"] = self._feature_rows(split, start)
            reused += ["features"] if features.reused else []
        inputs = {
            "start": start.key,
            "loss": resolved.loss.identity,
            "sampler": resolved.sampler.identity,
            "finetune": resolved.entry.finetune.model_dump(exclude={"sampler"}),
            "augment": self.plan.resolved.experiment.augment.model_dump(),
            "split": digest([split.validation.tolist(), split.test.tolist(), self.plan.labels.tolist()]),
            "pairs": digest(None if split.validation_pairs is None else split.validation_pairs.tolist()),
            "parts": self._parts,
        }
        artefact = self.store.get(
            "finetune", inputs, lambda folder: self._finetune(folder, trial, resolved, split, start, features)
        )
        reused += ["finetune"] if artefact.reused else []
        outcome = json.loads((artefact.path / "outcome.json").read_text(encoding="utf-8"))
        if outcome["status"] != "ok":
            return TrainedTrial(
                trial, split, outcome["status"], outcome["reason"], seconds=seconds, reused=tuple(reused)
            )
        supply = cast("SamplerPlugin", resolved.sampler.plugin).supply()
        pretrain, steps = resolved.entry.pretrain, resolved.entry.finetune.steps
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings={part: np.load(artefact.path / f"{part}.npy", allow_pickle=False) for part in self._parts},
            distance=resolved.traits.distance,
            budget=Budget(
                self._pretrain_images(split, pretrain), steps, steps * supply.size, outcome["trainable_parameters"]
            ),
            best_step=outcome["best_step"],
            curve=tuple(Checkpoint(*point) for point in outcome["curve"]),
            folder=artefact.path,
            seconds={**seconds, "finetune": outcome["seconds"]},
            reused=tuple(reused),
        )

    @property
    def _parts(self) -> list[str]:
        """The parts whose embeddings are evaluated; training images are a gallery where their people are tested."""
        closed = self.plan.resolved.experiment.protocol.kind == "closed_set"
        return ["validation", "test", "train"] if closed else ["validation", "test"]

    @staticmethod
    def _pretrain_images(split: Split, settings: Pretrain) -> int:
        return phase1.step_count(len(split.train), settings) * settings.batch_size if settings.enabled else 0

    def _finetune(
        self,
        folder: Path,
        trial: Trial,
        resolved: ResolvedLoss,
        split: Split,
        start: Start,
        features: Artefact | None,
    ) -> None:
        began = time.perf_counter()
        outcome: dict[str, Any]
        try:
            outcome = self._finetuned(folder, trial, resolved, split, start, features)
        except DivergedError as error:
            # Training is deterministic: what diverged once need not be tried again.
            outcome = {"status": "diverged", "reason": str(error)}
        outcome["seconds"] = time.perf_counter() - began
        (folder / "outcome.json").write_text(json.dumps(outcome, indent=1), encoding="utf-8")

    def _finetuned(
        self,
        folder: Path,
        trial: Trial,
        resolved: ResolvedLoss,
        split: Split,
        start: Start,
        features: Artefact | None,
    ) -> dict[str, Any]:
        settings = resolved.entry.finetune
        labels = _counted(self.plan.labels, split.train)
        tuner = self._finetuner(resolved, int(labels[split.train].max()) + 1)
        tuner.reset(start.load(), derive_seed("loss", trial.seed, trial.fold))
        normalization = self._normalization(split)
        inputs = self._inputs(features)
        plain, source = inputs[PLAIN], self._resident(inputs, split, features)
        held_out = self.plan.labels[split.validation]

        def validate(now: Finetuner) -> float:
            embeddings = now.embed(plain, split.validation, normalization)
            if not np.isfinite(embeddings).all():
                raise DivergedError("the embeddings of the validation images are not finite")
            return self.score(embeddings, held_out, resolved.traits.distance, split.validation_pairs)

        def tell(done: int, loss: float) -> None:
            self.listen(Event("finetune", done, settings.steps, trial.label, trial.seed, trial.fold, loss))

        sampler = cast("SamplerPlugin", resolved.sampler.plugin)
        drawn = sampler.build(labels[split.train], derive_seed("batches", trial.seed, trial.fold))
        result = tuner.run(
            Rows(inputs, split.train, derive_seed("flips", trial.seed, trial.fold), source),
            labels[split.train],
            drawn,
            normalization,
            validate,
            steps=settings.steps,
            validate_every=settings.validate_every,
            tell=tell,
        )
        if not result.weights:
            raise DivergedError("no checkpoint has a validation score that is a number")
        self._network.put(result.weights)
        for part in self._parts:
            rows = tuner.embed(plain, getattr(split, part), normalization)
            np.save(folder / f"{part}.npy", rows, allow_pickle=False)
        self._network.save(folder / "model.keras", result.weights, normalization)
        curve = [dataclasses.astuple(point) for point in result.curve]
        return {
            "status": "ok",
            "best_step": result.best_step,
            "curve": curve,
            "trainable_parameters": tuner.trainable_parameters,
        }

    def _finetuner(self, resolved: ResolvedLoss, num_classes: int) -> Finetuner:
        sampler = cast("SamplerPlugin", resolved.sampler.plugin)
        key = digest(
            [
                resolved.loss.identity,
                resolved.entry.finetune.model_dump(include={"trainable", "learning_rate"}),
                sampler.supply().size,
                num_classes,
            ]
        )
        if key not in self._compiled:
            augment = self.plan.resolved.experiment.augment
            self._compiled[key] = Finetuner(self._network, resolved, augment, num_classes)
        return cast("Finetuner", self._compiled[key])

    def _inputs(self, features: Artefact | None) -> list[FloatArray | ByteArray]:
        """Return the views that phase 2 reads rows of: cached features, or the images themselves."""
        if features:
            return list(np.load(features.path / "features.npy", mmap_mode="r", allow_pickle=False))
        flip = self.plan.resolved.experiment.augment.flip
        return [self.plan.images, self.plan.images[:, :, ::-1]] if flip else [self.plan.images]

    def _resident(self, views: Views, split: Split, features: Artefact | None) -> Any | None:  # noqa: ANN401 - a tensor
        """Return the inputs in memory where they fit; kept for the next loss, which trains on the same ones."""
        key = digest([features.key if features else "images", split.seed, split.fold])
        if self._last_resident[0] != key:
            padded = max(len(each.train) for each in self.plan.splits)
            self._last_resident = key, resident(views, split.train, padded)
        return self._last_resident[1]

    # Baselines -----------------------------------------------------------------------------------------------------

    def _baseline(self, trial: Trial) -> TrainedTrial:
        split = self._split(trial)
        distance = baselines.DISTANCES[trial.label]
        if trial.label == "raw pixels":
            pixels = {part: baselines.raw_pixels(self.plan.images[getattr(split, part)]) for part in self._parts}
            return TrainedTrial(trial, split, "ok", embeddings=pixels, distance=distance)
        if trial.label == "PCA (eigenfaces)":
            return TrainedTrial(trial, split, "ok", embeddings=self._eigenfaces(split), distance=distance)
        settings = self.plan.resolved.experiment.pretrain
        if trial.label == "untrained trunk":
            settings = settings.model_copy(update={"enabled": False})
        start = self._start(split, settings)
        features, seconds = self._feature_rows(split, start)
        rows = np.load(features.path / "features.npy", mmap_mode="r", allow_pickle=False)[PLAIN]
        parts = {part: np.asarray(rows[getattr(split, part)]) for part in self._parts}
        if trial.label == "phase-1 embedding":
            kernel, bias = start.load()[-2:]
            parts = {part: values @ kernel + bias for part, values in parts.items()}
        reused = ["pretrain"] if start.reused and settings.enabled else []
        reused += ["features"] if features.reused else []
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings=parts,
            distance=distance,
            budget=Budget(self._pretrain_images(split, settings)),
            seconds={"pretrain": start.seconds, "features": seconds},
            reused=tuple(reused),
        )

    def _eigenfaces(self, split: Split) -> dict[str, FloatArray]:
        """Return each part's images as principal components, kept since even importing the library is slow."""
        images = self.plan.images
        rows = [split.train.tolist(), split.validation.tolist(), split.test.tolist()]
        inputs = {
            "baseline": "pca",
            "images": self.plan.images_key,
            "split": digest(rows),
            "parts": self._parts,
            "versions": versions(),
        }

        def make(folder: Path) -> None:
            wanted = [images[getattr(split, part)] for part in self._parts]
            found = baselines.eigenfaces(images[split.train], *wanted)
            for part, values in zip(self._parts, found, strict=True):
                np.save(folder / f"{part}.npy", values, allow_pickle=False)

        artefact = self.store.get("baseline", inputs, make)
        return {part: np.load(artefact.path / f"{part}.npy", allow_pickle=False) for part in self._parts}


def _cause(error: BaseException) -> BaseException:
    """Return what a plugin raised, without the account of TensorFlow's own sources that AutoGraph wraps it in."""
    while str(error).startswith("in user code:") and error.__context__:
        error = error.__context__
    return error


def _counted(labels: IntArray, train: IntArray) -> IntArray:
    """Return labels that count the people of the training part from 0; -1 for all others."""
    counted = np.full(len(labels), -1, dtype=np.int32)
    counted[train] = np.unique(labels[train], return_inverse=True)[1]
    return counted
