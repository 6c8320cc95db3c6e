"""The search of all losses, in rounds: in each, every loss has one trial, so that all have the same number."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faceexp.engine.on_demand import training
from faceexp.engine.shared import training_labels
from faceexp.errors import InputError
from faceexp.experiment.search import Search
from faceexp.planning.adapt import Training, with_batches
from faceexp.planning.candidates import Candidates, LossSpace
from faceexp.search.outcome import Searched, State
from faceexp.search.study import Study
from faceexp.store import Inputs, Store, digest
from faceexp.values import Event, EventCallback, Plan, ResolvedLoss, Score, TrainedTrial, Trial

# Reasons of failed trials that are kept of each loss.
MOST_REASONS = 3


@dataclass
class _Running:
    """A loss in a round: its trial, and what is known of it so far."""

    study: Study
    number: int
    values: Mapping[str, Any]
    loss: ResolvedLoss | None = None
    scores: dict[tuple[int, int], float] = field(default_factory=dict)
    state: State = "ok"

    @property
    def is_alive(self) -> bool:
        return self.loss is not None and self.state == "ok"


@dataclass(frozen=True)
class Rounds:
    """The search of some losses on the splits of a plan.

    Attributes:
        candidates: Makes losses of values.
        plan: The plan, whose seeds are those of the search.
        store: Where finished work is looked up and kept, the journals among it.
        score: Judges a training on its validation images.
        on_event: Is called with every step of progress.
        jobs: How many processes share the work; without a number, this one does it.
    """

    candidates: Candidates
    plan: Plan
    store: Store
    score: Score
    on_event: EventCallback
    jobs: int | None

    @property
    def _search(self) -> Search:
        search = self.plan.resolved.experiment.search
        assert search is not None  # noqa: S101 - nobody searches otherwise
        return search

    def run(self, spaces: Sequence[LossSpace]) -> tuple[Searched, ...]:
        """Return what came of the search of each loss.

        Raises:
            StoreError: The store cannot be read or written.
        """
        cells = [(split.seed, split.fold) for split in self.plan.splits]
        fitting = Training.of(self.plan.labels, self.plan.splits)
        reasons: dict[str, list[str]] = {space.label: [] for space in spaces}
        with contextlib.ExitStack() as held, self._training() as train:
            studies = self._studies(held, spaces, len(cells))
            total = self._search.trials * len(spaces)
            while True:
                done = sum(len(study.tried()) for study in studies)
                self.on_event(Event("search", done, total))
                round_ = [
                    self._begun(study, proposed, fitting, reasons) for study in studies if (proposed := study.next())
                ]
                if not round_:
                    break
                # Phase 1 of a seed and fold is made once, so that the first round is divided by these.
                rungs = [[cell] for cell in cells] if self._search.pruner != "none" else [cells]
                for rung in rungs:
                    self._train(train, round_, rung, reasons, by_cell=done == 0)
                for running in round_:
                    running.study.tell(running.state, [running.scores[cell] for cell in cells if cell in running.scores])
            steps = {loss.entry.label: loss for loss in self.plan.resolved.losses}
            return tuple(
                Searched(
                    study.space,
                    study.tried(),
                    study.importances(),
                    tuple(dict.fromkeys(reasons[study.space.label]))[:MOST_REASONS],
                    steps=steps[study.space.label].entry.finetune.steps,
                    images=steps[study.space.label].entry.finetune.steps
                    * steps[study.space.label].sampler.supply().size,
                )
                for study in studies
            )

    @contextlib.contextmanager
    def _training(self) -> Iterator[Any]:
        with training(self.plan, self.store, self.score, self._forward, self.jobs) as train:
            yield train

    def _forward(self, event: Event) -> None:
        """Pass on what whoever watches wants to see of the trainings of a search."""
        if event.stage in ("backend", "pretrain", "features"):
            self.on_event(event)

    def _studies(self, held: contextlib.ExitStack, spaces: Sequence[LossSpace], cells: int) -> list[Study]:
        """Open the journal of each loss. They are locked in the order of their keys, so that nobody waits for ever."""
        inputs = {space.label: self._inputs(space) for space in spaces}
        folders = {
            label: held.enter_context(self.store.growing("search", inputs[label]))
            for label in sorted(inputs, key=lambda label: digest(inputs[label]))
        }
        return [Study(space, self._search, folders[space.label], cells) for space in spaces]

    def _inputs(self, space: LossSpace) -> Inputs:
        """Return everything that determines the search of a loss."""
        experiment = self.plan.resolved.experiment
        loss = next(loss for loss in self.plan.resolved.losses if loss.entry.index == space.index)
        return {
            "search": self._search.model_dump(mode="json", exclude={"defaults", "suggested"}),
            "space": [[each.name, each.space.model_dump(mode="json"), each.default] for each in space.dimensions],
            "loss": loss.loss.identity,
            "sampler": loss.sampler.identity,
            "entry": loss.entry.model_dump(mode="json", exclude={"label"}),
            "model": self.plan.resolved.trunk.identity,
            "embedding_dim": experiment.trunk.embedding_dim,
            "augment": experiment.augment.model_dump(),
            "images": self.plan.images_key,
            "splits": digest(
                [
                    [split.train.tolist(), training_labels(self.plan.labels, split.train)[split.train].tolist()]
                    + [split.validation.tolist(), self.plan.labels[split.validation].tolist()]
                    for split in self.plan.splits
                ]
            ),
            "score": self.score.key,
        }

    def _begun(
        self, study: Study, proposed: tuple[int, Mapping[str, Any]], fitting: Training, reasons: dict[str, list[str]]
    ) -> _Running:
        number, values = proposed
        running = _Running(study, number, values)
        try:
            loss = self.candidates.loss(study.space, values)
            alone = dataclasses.replace(self.plan.resolved, losses=(loss,))
            running.loss = with_batches(alone, fitting).losses[0]
        except InputError as error:
            running.state = "failed"
            reasons[study.space.label].append(str(error))
        return running

    def _train(
        self,
        train: Any,  # noqa: ANN401 - see `training`
        round_: Sequence[_Running],
        rung: Sequence[tuple[int, int]],
        reasons: dict[str, list[str]],
        *,
        by_cell: bool,
    ) -> None:
        """Train the trials of a round with some seeds and folds; those that are worse than others end."""
        alive = {running.study.space.label: running for running in round_ if running.is_alive}
        trials = [self._trial(running, cell) for running in alive.values() for cell in rung]
        # A loss is compiled once in each process, so that its trainings go to one; unless there would be too few groups.
        by_cell = by_cell or len(alive) < (self.jobs or 1)
        groups: dict[object, list[Trial]] = {}
        for trial in trials:
            groups.setdefault((trial.seed, trial.fold) if by_cell else trial.label, []).append(trial)
        whose = {trial.id: running for running in alive.values() for cell in rung for trial in [self._trial(running, cell)]}
        for trained in train(list(groups.values())):
            self._heard(whose[trained.trial.id], trained, reasons)
        for running in alive.values():
            scores = list(running.scores.values())
            if running.is_alive and running.study.report(scores):
                running.state = "pruned"

    def _heard(self, running: _Running, trained: TrainedTrial, reasons: dict[str, list[str]]) -> None:
        if trained.status == "ok":
            cell = trained.trial.seed, trained.trial.fold
            # The checkpoint that is kept has the highest score; where one has none, that is no number.
            running.scores[cell] = float(np.nanmax([point.validation for point in trained.curve]))
        elif running.state == "ok":
            running.state = trained.status
            reasons[running.study.space.label].append(trained.reason or trained.status)

    def _trial(self, running: _Running, cell: tuple[int, int]) -> Trial:
        label = f"{running.study.space.label}, trial {running.number + 1}"
        return Trial(f"{label}-s{cell[0]}-f{cell[1]}", label, "loss", *cell, loss=running.loss)


