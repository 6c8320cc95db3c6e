"""The search of all losses, in rounds: in each, every loss has one trial, so that all have the same number."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faceexp.data.splits import Split
from faceexp.engine.on_demand import training
from faceexp.engine.shared import training_labels
from faceexp.errors import InputError
from faceexp.experiment.search import Search
from faceexp.planning.adapt import Training, with_batches
from faceexp.planning.candidates import Candidates, LossSpace
from faceexp.search.chances import chance_of
from faceexp.search.events import ROUND, so_far
from faceexp.search.outcome import Searched, State
from faceexp.search.study import Study, ended_trials
from faceexp.store import Inputs, Store, digest
from faceexp.values import Event, EventCallback, Note, Noted, Plan, ResolvedLoss, Score, TrainedTrial, Trial

Cell = tuple[int, int]
Train = Callable[[Sequence[Sequence[Trial]]], Iterator[TrainedTrial]]


@dataclass
class _Running:
    """A loss in a round: its trial, and what is known of it so far."""

    study: Study
    number: int
    loss: ResolvedLoss | None = None
    scores: dict[Cell, float] = field(default_factory=dict)
    state: State = "ok"
    reason: str = ""

    def scores_of(self, cells: Iterable[Cell]) -> list[float]:
        """Return the scores of some seeds and folds, of those that have one."""
        return [self.scores[cell] for cell in cells if cell in self.scores]

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
        with contextlib.ExitStack() as held, self._training() as train:
            studies = self._studies(held, spaces, len(cells))
            while True:
                goes_on = so_far(studies, self._search.trials)
                self.on_event(goes_on)
                proposals = [(study, study.next()) for study in studies]
                begun = [self._begun(study, *proposed, fitting) for study, proposed in proposals if proposed]
                if not begun:
                    return tuple(self._outcome(study) for study in studies)
                rungs = [[cell] for cell in cells] if self._search.pruner != "none" else [cells]
                for place, rung in enumerate(rungs):
                    # Phase 1 of a seed and fold is made once, so that the first round is divided by these.
                    self._train(train, begun, rung, by_cell=goes_on.done == 0, share=(place, len(rungs)))
                for running in begun:
                    running.study.tell(running.state, running.scores_of(cells), running.reason)

    def ended(self, spaces: Sequence[LossSpace]) -> int:
        """Return how many trials of these losses have ended before; nothing is trained and nobody waited for."""
        folders = (self.store.grown("search", self._inputs(space)) for space in spaces)
        return sum(ended_trials(folder) for folder in folders if folder)

    def _outcome(self, study: Study) -> Searched:
        """Return what came of the search of a loss."""
        chance = chance_of(self.plan, study.space)
        return Searched(study.space, study.tried(), study.importances(), chance.steps, chance.images)

    @contextlib.contextmanager
    def _training(self) -> Iterator[Train]:
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
            label: held.enter_context(self.store.growing("search", inputs[label], lambda: self._wait(spaces)))
            for label in sorted(inputs, key=lambda label: digest(inputs[label]))
        }
        return [Study(space, self._search, folders[space.label], cells) for space in spaces]

    def _wait(self, spaces: Sequence[LossSpace]) -> None:
        """Say that another process has the search."""
        labels = ", ".join(space.label for space in spaces)
        text = (
            f"another process searches the same settings ({labels}); this run waits for it and then goes on from there"
        )
        self.on_event(Noted("note", 1, 1, note=Note("search", text)))

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
            "splits": digest([self._people(split) for split in self.plan.splits]),
            "score": self.score.key,
        }

    def _people(self, split: Split) -> list[list[int]]:
        """Return what a split trains and validates on: images and people."""
        people = training_labels(self.plan.labels, split.train)[split.train]
        judged = split.validation, self.plan.labels[split.validation]
        return [split.train.tolist(), people.tolist(), *(each.tolist() for each in judged)]

    def _begun(self, study: Study, number: int, values: Mapping[str, Any], fitting: Training) -> _Running:
        running = _Running(study, number)
        try:
            loss = self.candidates.loss(study.space, values)
            alone = dataclasses.replace(self.plan.resolved, losses=(loss,))
            running.loss = with_batches(alone, fitting).losses[0]
        except InputError as error:
            running.state, running.reason = "failed", str(error)
        return running

    def _train(
        self, train: Train, begun: Sequence[_Running], rung: Sequence[Cell], *, by_cell: bool, share: tuple[int, int]
    ) -> None:
        """Train the trials of a round with some seeds and folds; those that do worse than others end.

        Args:
            train: Trains groups of trials.
            begun: The trials.
            rung: The seeds and folds.
            by_cell: Whether the trials of a seed and fold are a group, and not those of a loss.
            share: Which share of the round this is, counted from 0, and of how many.
        """
        alive = [running for running in begun if running.is_alive]
        # A loss is compiled once in each process, so that its trainings go to one, unless that makes too few groups.
        by_cell = by_cell or len(alive) < (self.jobs or 1)
        groups: dict[object, list[Trial]] = {}
        whose: dict[str, _Running] = {}
        for running in alive:
            for cell in rung:
                trial = self._trial(running, cell)
                whose[trial.id] = running
                groups.setdefault(cell if by_cell else trial.label, []).append(trial)
        for number, trained in enumerate(train(list(groups.values())), 1):
            _hear(whose[trained.trial.id], trained)
            self.on_event(Event(ROUND, share[0] * len(whose) + number, share[1] * len(whose), trained.trial.label))
        for running in alive:
            if running.is_alive and running.study.report(running.scores_of(running.scores)):
                running.state = "pruned"

    def _trial(self, running: _Running, cell: tuple[int, int]) -> Trial:
        label = f"{running.study.space.label}, trial {running.number + 1}"
        return Trial(f"{label}-s{cell[0]}-f{cell[1]}", label, "loss", *cell, loss=running.loss)


def _hear(running: _Running, trained: TrainedTrial) -> None:
    """Take what came of one training of a trial."""
    if trained.status == "ok":
        # The checkpoint that is kept has the highest score; where one has none, that is no number.
        scores = [point.validation for point in trained.curve]
        running.scores[trained.trial.seed, trained.trial.fold] = float(np.nanmax(scores))
    elif running.state == "ok":
        running.state, running.reason = trained.status, trained.reason or trained.status
