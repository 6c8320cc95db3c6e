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

from faceexp.arrays import ByteArray, FloatArray
from faceexp.contract import SamplerPlugin
from faceexp.data.images import release
from faceexp.data.splits import Split
from faceexp.engine import baselines
from faceexp.engine.backend import derive_seed, versions
from faceexp.engine.finetune import CHUNK, Finetuner, needs_images
from faceexp.engine.inputs import PLAIN, Rows, Views, resident
from faceexp.engine.pretrain import DivergedError
from faceexp.engine.shared import Pretrained, PretrainedStages, counted
from faceexp.engine.workers import Work, train_in_processes
from faceexp.experiment.baselines import PCA, PHASE1, PIXELS, UNTRAINED, Baseline
from faceexp.store import Artefact, Store, digest
from faceexp.values import (
    NETWORK_FILE,
    Budget,
    Checkpoint,
    Event,
    EventCallback,
    Plan,
    ResolvedLoss,
    Score,
    TrainedTrial,
    Trial,
)


def train(plan: Plan, store: Store, score: Score, on_event: EventCallback, jobs: int = 1) -> Iterator[TrainedTrial]:
    """Yield each trial of a plan as it ends; a trial that fails says why and costs only itself.

    Args:
        plan: What to do.
        store: Where finished work is looked up and kept.
        score: Rates validation embeddings, labels and distance; the checkpoint with the highest value is kept.
        on_event: Is called with every step of progress.
        jobs: Processes; each takes a seed and fold at a time, and its share of the cores. Yet more would be idle.
    """
    groups: dict[tuple[int, int], list[Trial]] = {}
    for trial in plan.trials:
        groups.setdefault((trial.seed, trial.fold), []).append(trial)
    jobs = min(jobs, len(groups))
    if jobs > 1:
        yield from train_in_processes(Work.of(plan, store, score), list(groups.values()), on_event, jobs, _alone)
        return
    engine = Engine(plan, store, score, on_event)
    for trial in plan.trials:
        yield engine.run(trial)


def _alone(work: Work, on_event: EventCallback) -> Callable[[Trial], TrainedTrial]:
    return Engine(work.whole(), work.store, work.score, on_event).run


@dataclass
class Engine:
    """One run: the plan, the store, and what was compiled or loaded so far."""

    plan: Plan
    store: Store
    score: Score
    on_event: EventCallback
    _tuners: dict[str, Finetuner] = field(default_factory=dict)
    _last_resident: tuple[str, Any] = ("", None)

    @functools.cached_property
    def _shared(self) -> PretrainedStages:
        return PretrainedStages(self.plan, self.store, self.score, self.on_event)

    def run(self, trial: Trial) -> TrainedTrial:
        """Return the trained trial, from the store or trained now."""
        try:
            return (
                self._loss(trial, trial.loss) if trial.loss else self._baseline(trial, cast("Baseline", trial.baseline))
            )
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

    def _split(self, trial: Trial) -> Split:
        return next(split for split in self.plan.splits if (split.seed, split.fold) == (trial.seed, trial.fold))

    # One trial -----------------------------------------------------------------------------------------------------

    def _loss(self, trial: Trial, resolved: ResolvedLoss) -> TrainedTrial:
        split = self._split(trial)
        pretrained = self._shared.of(split, resolved.entry.pretrain)
        seconds = {"pretrain": pretrained.seconds, "features": 0.0}
        reused = ["pretrain"] if pretrained.reused else []
        features: Artefact | None = None
        if not needs_images(resolved.entry.finetune, self.plan.resolved.experiment.augment):
            features, seconds["features"] = self._shared.features(split, pretrained)
            reused += ["features"] if features.reused else []
        inputs = {
            "start": pretrained.key,
            "loss": resolved.loss.identity,
            "sampler": resolved.sampler.identity,
            "finetune": resolved.entry.finetune.model_dump(exclude={"sampler"}),
            "augment": self.plan.resolved.experiment.augment.model_dump(),
            "validation": self._shared.judged_on(split),
            "test": digest(split.test.tolist()),
            "parts": self._parts,
        }
        artefact = self.store.get(
            "finetune", inputs, lambda folder: self._finetune(folder, trial, resolved, split, pretrained, features)
        )
        reused += ["finetune"] if artefact.reused else []
        outcome = json.loads((artefact.path / "outcome.json").read_text(encoding="utf-8"))
        if outcome["status"] != "ok":
            return TrainedTrial(
                trial, split, outcome["status"], outcome["reason"], seconds=seconds, reused=tuple(reused)
            )
        supply = cast("SamplerPlugin", resolved.sampler.plugin).supply()
        steps = resolved.entry.finetune.steps
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings={part: np.load(artefact.path / f"{part}.npy", allow_pickle=False) for part in self._parts},
            distance=resolved.traits.distance,
            budget=Budget(pretrained.images, steps, steps * supply.size, outcome["trainable_parameters"]),
            best_step=outcome["best_step"],
            curve=tuple(Checkpoint(*point) for point in outcome["curve"]),
            folder=artefact.path,
            seconds={**seconds, "finetune": outcome["seconds"]},
            reused=tuple(reused),
            key=artefact.key,
        )

    @property
    def _parts(self) -> list[str]:
        """The parts whose embeddings are evaluated; training images are a gallery where their people are tested."""
        closed = self.plan.resolved.experiment.protocol.kind == "closed_set"
        return ["validation", "test", "train"] if closed else ["validation", "test"]

    def _finetune(
        self,
        folder: Path,
        trial: Trial,
        resolved: ResolvedLoss,
        split: Split,
        pretrained: Pretrained,
        features: Artefact | None,
    ) -> None:
        began = time.perf_counter()
        outcome: dict[str, Any]
        try:
            outcome = self._finetuned(folder, trial, resolved, split, pretrained, features)
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
        pretrained: Pretrained,
        features: Artefact | None,
    ) -> dict[str, Any]:
        settings, network = resolved.entry.finetune, self._shared.network
        labels = counted(self.plan.labels, split.train)
        tuner = self._finetuner(resolved, int(labels[split.train].max()) + 1)
        tuner.reset(pretrained.load(), derive_seed("loss", trial.seed, trial.fold))
        normalization = self._shared.normalization(split)
        inputs = self._inputs(features)
        plain, source = inputs[PLAIN], self._resident(inputs, split, features)
        held_out = self.plan.labels[split.validation]

        def validate() -> float:
            embeddings = network.embed(plain, split.validation, normalization)
            if not np.isfinite(embeddings).all():
                raise DivergedError("the embeddings of the validation images are not finite")
            return self.score(embeddings, held_out, resolved.traits.distance, split.validation_pairs)

        def on_progress(done: int, loss: float) -> None:
            self.on_event(Event("finetune", done, settings.steps, trial.label, trial.seed, trial.fold, loss))

        sampler = cast("SamplerPlugin", resolved.sampler.plugin)
        drawn = sampler.build(labels[split.train], derive_seed("batches", trial.seed, trial.fold))
        rows = Rows(inputs, split.train, derive_seed("flips", trial.seed, trial.fold), source)
        result = tuner.run(
            rows,
            labels[split.train],
            drawn,
            normalization,
            validate,
            steps=settings.steps,
            validate_every=settings.validate_every,
            on_progress=on_progress,
            chunk=rows.most(sampler.supply().size, CHUNK),
        )
        if not result.weights:
            raise DivergedError("no checkpoint has a validation score that is a number")
        network.put(result.weights)
        for part in self._parts:
            embeddings = network.embed(plain, getattr(split, part), normalization)
            np.save(folder / f"{part}.npy", embeddings, allow_pickle=False)
        network.save(folder / NETWORK_FILE, result.weights, normalization)
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
        if key not in self._tuners:
            augment = self.plan.resolved.experiment.augment
            self._tuners[key] = Finetuner(self._shared.network, resolved, augment, num_classes)
        return self._tuners[key]

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

    def _baseline(self, trial: Trial, baseline: Baseline) -> TrainedTrial:
        split, distance = self._split(trial), baseline.distance
        if baseline == PIXELS:
            pixels = {part: baselines.raw_pixels(self.plan.images, getattr(split, part)) for part in self._parts}
            release(self.plan.images)
            key = digest([baseline.key, self.plan.images_key])
            return TrainedTrial(trial, split, "ok", embeddings=pixels, distance=distance, key=key)
        if baseline == PCA:
            key, components = self._eigenfaces(split)
            return TrainedTrial(trial, split, "ok", embeddings=components, distance=distance, key=key)
        settings = self.plan.resolved.experiment.pretrain
        if baseline == UNTRAINED:
            settings = settings.model_copy(update={"enabled": False})
        pretrained = self._shared.of(split, settings)
        features, seconds = self._shared.features(split, pretrained)
        rows = np.load(features.path / "features.npy", mmap_mode="r", allow_pickle=False)[PLAIN]
        parts = {part: np.asarray(rows[getattr(split, part)]) for part in self._parts}
        if baseline == PHASE1:
            kernel, bias = pretrained.load()[-2:]
            parts = {part: values @ kernel + bias for part, values in parts.items()}
        reused = ["pretrain"] if pretrained.reused and settings.enabled else []
        reused += ["features"] if features.reused else []
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings=parts,
            distance=distance,
            budget=Budget(pretrained.images),
            seconds={"pretrain": pretrained.seconds, "features": seconds},
            reused=tuple(reused),
            key=digest([baseline.key, features.key]),
        )

    def _eigenfaces(self, split: Split) -> tuple[str, dict[str, FloatArray]]:
        """Return each part's images as principal components, kept since even importing the library is slow."""
        rows = [split.train.tolist(), split.validation.tolist(), split.test.tolist()]
        inputs = {
            "baseline": PCA.key,
            "images": self.plan.images_key,
            "split": digest(rows),
            "parts": self._parts,
            "versions": versions(),
        }

        def make(folder: Path) -> None:
            wanted = [getattr(split, part) for part in self._parts]
            found = baselines.eigenfaces(self.plan.images, split.train, *wanted)
            release(self.plan.images)
            for part, values in zip(self._parts, found, strict=True):
                np.save(folder / f"{part}.npy", values, allow_pickle=False)

        artefact = self.store.get("baseline", inputs, make)
        found = {part: np.load(artefact.path / f"{part}.npy", allow_pickle=False) for part in self._parts}
        return artefact.key, found


def _cause(error: BaseException) -> BaseException:
    """Return what a plugin raised, without the account of TensorFlow's own sources that AutoGraph wraps it in."""
    while str(error).startswith("in user code:") and error.__context__:
        error = error.__context__
    return error
