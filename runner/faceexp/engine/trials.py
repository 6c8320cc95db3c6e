"""The two-phase engine: from a trial of a plan to a trained one.

For each seed and fold, the engine pretrains once and computes the features of the trunk once; then it fine-tunes with
each loss, from the very same weights. Everything is looked up in the store first, and TensorFlow is imported only if
something is missing there.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from faceexp.contract import SamplerPlugin
from faceexp.data.splits import Split
from faceexp.engine.backend import Tensor, begin, derive_seed
from faceexp.engine.baselines import BaselineTrials
from faceexp.engine.determinism import is_marked, mark, refusal
from faceexp.engine.failures import check_finite, explained, finite
from faceexp.engine.finetune import CHUNK, Finetuner, FinetuneRecord, needs_images, step_key
from faceexp.engine.inputs import PLAIN, TrainingInputs, Views, resident
from faceexp.engine.networks import TRAINED, keep_network, network_of
from faceexp.engine.pretrain import DivergedError
from faceexp.engine.rehearsal import Rehearsal, Rehearsed, perform
from faceexp.engine.shared import Pretrained, PretrainedStages, training_labels
from faceexp.engine.steps import Kept
from faceexp.engine.worker import AskedToEndError, Run, Work
from faceexp.experiment.baselines import Baseline
from faceexp.registry.guard import undisturbed
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Artefact, Store, StoreError, digest
from faceexp.values import (
    Budget,
    Event,
    EventCallback,
    Plan,
    ResolvedLoss,
    Score,
    TrainedTrial,
    Trial,
)


def alone(work: Work, on_event: EventCallback) -> Run:
    """Return what does the tasks of a worker."""
    experiment = work.plan.resolved.experiment
    begin(experiment.device, deterministic=work.deterministic, replicas=experiment.replicas)
    engine = Engine(work.whole(), work.store, work.score, on_event, interruption=AskedToEndError)
    return lambda task: engine.run(task) if isinstance(task, Trial) else engine.rehearse(task)


@dataclass
class Engine:
    """One run: the plan, the store, and what was compiled or loaded so far.

    Attributes:
        plan: The trials to do, and everything they need.
        store: Where finished work is looked up and kept.
        score: Judges checkpoints on validation images.
        on_event: Is called with every step of progress.
        interruption: What ends a run when it is raised: it comes from outside, not from a plugin.
    """

    plan: Plan
    store: Store
    score: Score
    on_event: EventCallback
    interruption: type[BaseException] = KeyboardInterrupt
    _kept: Kept = field(default_factory=Kept)
    _finetuners: dict[str, Finetuner] = field(default_factory=dict)
    # Only the latest inputs are kept: all losses of a seed and fold train on the same ones, one after the other.
    _resident: tuple[str, Tensor | None] = ("", None)

    @functools.cached_property
    def _shared(self) -> PretrainedStages:
        return PretrainedStages(self.plan, self.store, self.score, self.on_event, self._kept)

    @functools.cached_property
    def _baselines(self) -> BaselineTrials:
        return BaselineTrials(self.plan, self.store, self._shared, self._parts or ["validation"])

    def run(self, trial: Trial) -> TrainedTrial:
        """Return the trained trial, from the store or trained now."""
        try:
            with undisturbed():
                try:
                    return finite(self._run(trial))
                except FileNotFoundError as error:
                    if not self._is_cleared(error):
                        raise
                    # Somebody has cleared the store meanwhile; what was in it is made again.
                    return finite(self._run(trial))
        except (StoreError, self.interruption):
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; only its own trials fail
            status, reason = explained(error, self._plugins(trial))
            return TrainedTrial(trial, self._split(trial), status, reason, refusal=refusal(error))

    def _run(self, trial: Trial) -> TrainedTrial:
        if trial.loss:
            return self._run_loss(trial, trial.loss)
        if trial.pretrained:
            return self._shared.existing.measured(trial, trial.pretrained, self._split(trial), self._parts)
        return self._baselines.run(trial, cast("Baseline", trial.baseline), self._split(trial))

    def _is_cleared(self, error: FileNotFoundError) -> bool:
        """Return whether a file of the store is gone; then everything that was read from it is forgotten."""
        if not isinstance(error.filename, str) or not Path(error.filename).is_relative_to(self.store.root):
            return False
        self._finetuners.clear()
        self._resident = "", None
        for stage in ("_shared", "_baselines"):
            vars(self).pop(stage, None)
        return True

    def rehearse(self, rehearsal: Rehearsal) -> Rehearsed:
        """Call a plugin once, before anything trains; what has gone well is kept in the store."""
        network, opening = lambda: self._shared.network, self._shared.existing.open
        return perform(rehearsal, self.plan, self.store, network, opening, self.interruption)

    def _plugins(self, trial: Trial) -> list[ConfiguredPlugin]:
        row, resolved = trial.loss, self.plan.resolved
        own = [*row.loss.parts, row.sampler] if row else [trial.pretrained.network] if trial.pretrained else []
        return [*own, *resolved.classifiers.values(), *filter(None, [resolved.model])]

    def _split(self, trial: Trial) -> Split:
        return next(split for split in self.plan.splits if (split.seed, split.fold) == (trial.seed, trial.fold))

    def _run_loss(self, trial: Trial, resolved: ResolvedLoss) -> TrainedTrial:
        split = self._split(trial)
        pretrained = self._shared.pretrained(split, resolved.entry.pretrain)
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
            "flip": self.plan.resolved.experiment.evaluation.flip,
        }
        if not self.plan.is_search:
            inputs |= {"test": digest(split.test.tolist()), "parts": [self._parts, self.plan.sets_key]}
        key = digest(inputs)
        artefact = self.store.get(
            "searched" if self.plan.is_search else TRAINED,
            inputs,
            lambda folder: self._finetune(folder, key, trial, resolved, split, pretrained, features),
        )
        reused += ["finetune"] if artefact.reused else []
        record = FinetuneRecord.from_json((artefact.path / "outcome.json").read_text(encoding="utf-8"))
        if record.status != "ok":
            return TrainedTrial(trial, split, record.status, record.reason, seconds=seconds, reused=tuple(reused))
        supply = resolved.sampler.supply()
        steps = resolved.entry.finetune.steps
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings={part: np.load(artefact.path / f"{part}.npy", allow_pickle=False) for part in self._parts},
            distance=resolved.traits.distance,
            budget=Budget(pretrained.images, steps, steps * supply.size, record.trainable_parameters),
            best_step=record.best_step,
            curve=record.curve,
            folder=artefact.path,
            network=network_of(self.store, artefact.key),
            seconds={**seconds, "finetune": record.seconds},
            reused=tuple(reused),
            key=artefact.key,
            unseeded=tuple(sorted({*record.unseeded, *pretrained.unseeded})),
            nondeterministic=pretrained.nondeterministic or is_marked(artefact, features),
        )

    @property
    def _parts(self) -> list[str]:
        """The parts whose embeddings are evaluated, and the test sets; a search needs none but that of baselines."""
        if self.plan.is_search:
            return []
        # In a closed set, training images of the people who are tested are the gallery in which they are identified.
        closed = self.plan.resolved.experiment.protocol.kind == "closed_set"
        return ["validation", "test", *(["train"] if closed else []), *(each.name for each in self.plan.sets)]

    def _finetune(
        self,
        folder: Path,
        key_of_trial: str,
        trial: Trial,
        resolved: ResolvedLoss,
        split: Split,
        pretrained: Pretrained,
        features: Artefact | None,
    ) -> None:
        """Fine-tune, and write everything that is kept of it into a folder of the store."""
        began = time.perf_counter()
        try:
            record = self._finetuned(folder, key_of_trial, trial, resolved, split, pretrained, features)
        except DivergedError as error:
            # Training is deterministic, so what diverged once would diverge again: the store keeps that, too.
            record = FinetuneRecord("diverged", str(error))
        record = dataclasses.replace(record, seconds=time.perf_counter() - began)
        (folder / "outcome.json").write_text(record.to_json(), encoding="utf-8")
        mark(folder)

    def _finetuned(
        self,
        folder: Path,
        key_of_trial: str,
        trial: Trial,
        resolved: ResolvedLoss,
        split: Split,
        pretrained: Pretrained,
        features: Artefact | None,
    ) -> FinetuneRecord:
        settings, network = resolved.entry.finetune, self._shared.network
        labels = training_labels(self.plan.labels, split.train)
        seed = derive_seed("loss", trial.seed, trial.fold)
        key, finetuner = self._finetuner(resolved, int(labels[split.train].max()) + 1, seed)
        finetuner.reset(pretrained.load(), seed)
        normalization = self._shared.normalization(split)
        experiment, every = self.plan.resolved.experiment, self._shared.views(features)
        views = every if experiment.augment.flip else every[:1]
        plain, source = views[PLAIN], self._resident_views(views, split, features)
        held_out = self.plan.labels[split.validation]

        def validate() -> float:
            embeddings = network.embed(plain, split.validation, normalization)
            check_finite("validation", embeddings)
            return self.score(embeddings, held_out, resolved.traits.distance, split.validation_pairs)

        def on_progress(done: int, loss: float) -> None:
            self.on_event(Event("finetune", done, settings.steps, trial.label, trial.seed, trial.fold, loss))

        sampler = cast("SamplerPlugin", resolved.sampler.plugin)
        batches = sampler.build(labels[split.train], derive_seed("batches", trial.seed, trial.fold))
        inputs = TrainingInputs(views, split.train, derive_seed("flips", trial.seed, trial.fold), source)
        try:
            outcome = finetuner.run(
                inputs,
                labels[split.train],
                batches,
                normalization,
                validate,
                steps=settings.steps,
                validate_every=settings.validate_every,
                on_progress=on_progress,
                chunk=inputs.batches_per_read(resolved.sampler.supply().size, CHUNK),
            )
        except DivergedError:
            raise
        except BaseException:
            self._finetuners.pop(key)  # nobody knows what state it is in
            raise
        finally:
            self._forget_state(key, finetuner)
        if not outcome.weights:
            raise DivergedError("no checkpoint has a validation score that is a number")
        network.set_weights(outcome.weights)
        for part in self._parts:
            rows = self.plan.rows(split, part)
            embeddings = network.embed_views(every[: experiment.evaluation.views], rows, normalization)
            np.save(folder / f"{part}.npy", embeddings, allow_pickle=False)
        if not self.plan.is_search and experiment.keep.models != "none":
            keep_network(self.store, key_of_trial, lambda file: network.save(file, outcome.weights, normalization))
        return FinetuneRecord(
            "ok",
            best_step=outcome.best_step,
            curve=outcome.curve,
            trainable_parameters=finetuner.trainable_parameters,
            unseeded=finetuner.made.unseeded,
        )

    def _forget_state(self, key: str, finetuner: Finetuner) -> None:
        """Let the next training of a loss have a training step of its own, if this one keeps something.

        Raises:
            PluginValueError: Two trainings of losses share a variable, so the second one depends on the first.
        """
        if finetuner.made.outside is not None:
            self._finetuners.pop(key, None)
            self._kept.add(finetuner.made.outside)

    def _finetuner(self, resolved: ResolvedLoss, num_classes: int, seed: int) -> tuple[str, Finetuner]:
        """Return the compiled training step of a loss and its key; compiled once for all seeds and folds of a size."""
        key = digest([step_key(resolved), resolved.sampler.supply().size, num_classes])
        if key not in self._finetuners:
            arguments = self._shared.network, resolved, self.plan.resolved.experiment.augment, num_classes, seed
            if self.plan.is_search:  # every trial has settings of its own, which seldom return
                self._finetuners.clear()
            self._finetuners[key] = Finetuner(*arguments, reused=not self.plan.is_search)
        return key, self._finetuners[key]

    def _resident_views(self, views: Views, split: Split, features: Artefact | None) -> Tensor | None:
        """Return the training images' inputs in memory, if they fit; else ``None``."""
        key = digest([features.key if features else "images", split.seed, split.fold])
        if self._resident[0] != key:
            padded = max(len(other.train) for other in self.plan.splits)
            self._resident = key, resident(views, split.train, padded)
        return self._resident[1]
