"""The search of all losses, in rounds: in each, every loss has one trial, so that all have the same number."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faceexp.engine.training import training
from faceexp.errors import InputError
from faceexp.experiment.search import Search
from faceexp.planning.adapt import Training, with_batches
from faceexp.planning.candidates import Candidates
from faceexp.planning.dimensions import LossSpace
from faceexp.search.chances import Chance, Chances
from faceexp.search.events import ROUND, so_far, waits_for
from faceexp.search.inputs import inputs_of, search_of
from faceexp.search.outcome import Searched
from faceexp.search.running import Cell, Running
from faceexp.search.study import Study, ended_trials
from faceexp.store import Inputs, Store, digest
from faceexp.values import Event, EventCallback, Plan, ResolvedLoss, Score, TrainedTrial, Trial

Train = Callable[[Sequence[Sequence[Trial]]], Iterator[TrainedTrial]]
# Stages of trainings that whoever watches a search wants to see.
STAGES = ("backend", "rehearsal", "refused", "pretrain", "features")


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
        return search_of(self.plan.resolved)

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
                begun = [
                    self._begun(space, study, *proposed, fitting)
                    for space, study in zip(spaces, studies, strict=True)
                    if (proposed := study.next())
                ]
                if not begun:
                    return tuple(self._outcome(space, study) for space, study in zip(spaces, studies, strict=True))
                rungs = [[cell] for cell in cells] if self._search.pruner != "none" else [cells]
                for place, rung in enumerate(rungs):
                    # Phase 1 of a seed and fold is made once, so that the first round is divided by these.
                    self._train(train, begun, rung, by_cell=goes_on.done == 0, share=(place, len(rungs)))
                    for running in begun:
                        running.judge(cells)
                for running in begun:
                    running.tell(cells)

    def ended(self, spaces: Sequence[LossSpace]) -> int:
        """Return how many trials of these losses have ended before; nothing is trained and nobody waited for."""
        folders = (self.store.grown("search", self._inputs(space)) for space in spaces)
        return sum(ended_trials(folder) for folder in folders if folder)

    def chances(self, spaces: Sequence[LossSpace]) -> Chances:
        """Return what every loss gets."""
        losses = [Chance.of(space, *self._budget(self._usual(space))) for space in spaces]
        return Chances.of(self._search, self.plan, losses)

    def _outcome(self, space: LossSpace, study: Study) -> Searched:
        """Return what came of the search of a loss."""
        steps, images = self._budget(self._usual(space))
        return Searched(space, study.tried(), study.importances(), steps, images)

    def _usual(self, space: LossSpace) -> ResolvedLoss:
        """Return the loss as the plan has it, with any values in the place of ranges."""
        return next(loss for loss in self.plan.resolved.losses if loss.entry.index == space.index)

    def _budget(self, loss: ResolvedLoss) -> tuple[int, int]:
        """Return steps and images of one training."""
        steps = loss.entry.finetune.steps
        return steps, steps * loss.sampler.supply().size

    @contextlib.contextmanager
    def _training(self) -> Iterator[Train]:
        with training(self.plan, self.store, self.score, self._forward, self.jobs) as train:
            yield train

    def _forward(self, event: Event) -> None:
        """Pass on what whoever watches wants to see of the trainings of a search."""
        if event.stage in STAGES:
            self.on_event(event)

    def _studies(self, held: contextlib.ExitStack, spaces: Sequence[LossSpace], cells: int) -> list[Study]:
        """Open the journal of each loss. They are locked in the order of their keys, so that nobody waits for ever."""
        keys = {space.label: self._inputs(space) for space in spaces}
        folders = {
            label: held.enter_context(self.store.growing("search", keys[label], lambda: self._wait(spaces)))
            for label in sorted(keys, key=lambda label: digest(keys[label]))
        }
        return [Study(space, self._search, folders[space.label], cells) for space in spaces]

    def _wait(self, spaces: Sequence[LossSpace]) -> None:
        """Say that another process has the search."""
        self.on_event(waits_for([space.label for space in spaces]))

    def _inputs(self, space: LossSpace) -> Inputs:
        """Return everything that determines the search of a loss."""
        here = self._usual(space)
        alike = [other for other in self.plan.resolved.losses if _is_alike(other, here)]
        try:
            # With usual values, so that it does not matter whether the file has a range or leaves it to the plugin.
            loss = self.candidates.loss(space, space.usual)
        except InputError:  # these exclude each other
            loss = here
        return {
            **inputs_of(self.plan, self._search, self.score, space),
            "loss": loss.loss.identity,
            "sampler": loss.sampler.identity,
            "entry": loss.entry.model_dump(mode="json", exclude={"label"}),
            # Of rows that differ by nothing but their names, each has a journal of its own.
            "number": [other.entry.index for other in alike].index(space.index),
        }

    def _begun(
        self, space: LossSpace, study: Study, number: int, values: Mapping[str, Any], fitting: Training
    ) -> Running:
        running = Running(study, number)
        try:
            loss = self.candidates.loss(space, values)
        except InputError as error:
            running.refuse(str(error))
            return running
        alone = dataclasses.replace(self.plan.resolved, losses=(loss,))
        (loss,) = with_batches(alone, fitting).losses
        # Most of this is refused before anything trains; here nothing gets through that was not thought of there.
        usual = self._budget(self._usual(space))
        if self._budget(loss) != usual:
            steps, images = self._budget(loss)
            running.refuse(f"{steps} steps with {images} images are not the {usual[0]} with {usual[1]} of the others")
        elif not fitting.serves(loss.sampler.supply()):
            running.refuse("the smallest training part cannot fill its batches")
        else:
            running.loss = loss
        return running

    def _train(
        self, train: Train, begun: Sequence[Running], rung: Sequence[Cell], *, by_cell: bool, share: tuple[int, int]
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
        whose: dict[str, Running] = {}
        for running in alive:
            for cell in rung:
                name = f"{running.label}-s{cell[0]}-f{cell[1]}"
                whose[name] = running
                trial = Trial(name, running.label, "loss", *cell, loss=running.loss)
                groups.setdefault(cell if by_cell else running.label, []).append(trial)
        for number, trained in enumerate(train(list(groups.values())), 1):
            # The checkpoint that is kept has the highest score; where one has none, that is no number.
            scores = [point.validation for point in trained.curve]
            score = float(np.nanmax(scores)) if trained.status == "ok" else np.nan
            whose[trained.trial.id].hear(trained.trial, trained.status, score, trained.reason)
            self.on_event(Event(ROUND, share[0] * len(whose) + number, share[1] * len(whose), trained.trial.label))


def _is_alike(one: ResolvedLoss, other: ResolvedLoss) -> bool:
    """Return whether two losses of a file differ by nothing but their places and names."""
    names = {"label", "index", "setting_of"}
    return one.entry.model_dump(exclude=names) == other.entry.model_dump(exclude=names)
