"""The search of the trunk and of phase 1, which all losses share; it comes before theirs.

Each trial has another network, so that it has a plan of its own, whose only trials are the phase-1 embedding. What
counts is that embedding on validation people, before any loss has trained: so no loss is favoured.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from faceexp.engine import pretrain
from faceexp.engine.training import train
from faceexp.errors import InputError
from faceexp.experiment.baselines import PHASE1
from faceexp.experiment.search import Search
from faceexp.planning.adapt import Training, with_batches
from faceexp.planning.candidates import Candidates, Values
from faceexp.planning.dimensions import Varied
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.search.chances import Chance, Chances
from faceexp.search.events import so_far, waits_for
from faceexp.search.inputs import inputs_of, search_of
from faceexp.search.outcome import Searched
from faceexp.search.rounds import STAGES
from faceexp.search.running import Cell, Running
from faceexp.search.study import Study, ended_trials
from faceexp.store import Inputs, Store, StoreError
from faceexp.values import Event, EventCallback, Plan, Resolved, Score, Trial


@dataclass(frozen=True)
class Phase1:
    """The search of what all losses share, on the splits of a plan.

    Attributes:
        candidates: Makes experiments of values.
        resolved: The experiment as it is searched, with any values in the place of ranges.
        plan: Its plan, whose seeds are those of the search.
        store: Where finished work is looked up and kept, the journal among it.
        score: Judges an embedding on validation images.
        on_event: Is called with every step of progress.
        jobs: How many processes share the work; without a number, this one does it.
    """

    candidates: Candidates
    resolved: Resolved
    plan: Plan
    store: Store
    score: Score
    on_event: EventCallback
    jobs: int | None

    @property
    def _search(self) -> Search:
        return search_of(self.plan.resolved)

    @property
    def _cells(self) -> list[Cell]:
        return [(split.seed, split.fold) for split in self.plan.splits]

    def run(self, space: Varied) -> Searched:
        """Return what came of the search.

        Raises:
            StoreError: The store cannot be read or written.
            UnplannableError: No trial has ended well, so that there is nothing to go on with.
        """
        with self.store.growing("search", self._inputs(space), lambda: self._wait(space)) as folder:
            study = Study(space, self._search, folder, len(self._cells))
            while True:
                self.on_event(so_far([study], self._search.trials))
                proposed = study.next()
                if proposed is None:
                    break
                number, values = proposed
                running = Running(study, number)
                self._train(running, space, values)
                running.tell(self._cells)
            searched = Searched(space, study.tried(), study.importances())
        if searched.best is None:
            reason = next((each.reason for each in searched.tried if each.reason), "")
            message = f"no trial of {space.label} has ended well, so that none can be chosen; the first says: {reason}"
            raise UnplannableError([Issue(("search",), message)])
        steps, images = self._budget(space, searched.best.values)
        return dataclasses.replace(searched, steps=steps, images=images)

    def ended(self, space: Varied) -> int:
        """Return how many trials have ended before; nothing is trained and nobody waited for."""
        folder = self.store.grown("search", self._inputs(space))
        return ended_trials(folder) if folder else 0

    def chances(self, space: Varied) -> Chances:
        """Return what the search gets."""
        return Chances.of(self._search, self.plan, [Chance.of(space)], is_phase1=True)

    def _wait(self, space: Varied) -> None:
        """Say that another process has the search."""
        self.on_event(waits_for([space.label]))

    def _inputs(self, space: Varied) -> Inputs:
        """Return everything that determines the search."""
        settings = self.plan.resolved.experiment.pretrain
        return {**inputs_of(self.plan, self._search, self.score, space), "pretrain": settings.model_dump(mode="json")}

    def _plan(self, space: Varied, values: Values) -> Plan:
        """Return the plan of a trial.

        Raises:
            InputError: The values are not possible, together or with these data.
        """
        _, resolved = self.candidates.with_phase1(self.resolved, space, values)
        fitting = Training.of(self.plan.labels, self.plan.splits)
        resolved = with_batches(dataclasses.replace(resolved, losses=()), fitting)
        settings = resolved.experiment.pretrain
        if not settings.enabled:
            raise InputError("phase 1 is off, so that there is no embedding to judge")
        if settings.batch_size > fitting.images:
            raise InputError(f"pretrain.batch_size is more than the {fitting.images} images of the training part")
        return dataclasses.replace(self.plan, resolved=resolved)

    def _budget(self, space: Varied, values: Values) -> tuple[int, int]:
        """Return steps and images of one training of phase 1."""
        settings = self._plan(space, values).resolved.experiment.pretrain
        images = min(len(split.train) for split in self.plan.splits)
        steps = pretrain.ends_of_epochs(images, settings)[-1]
        return steps, steps * settings.batch_size

    def _train(self, running: Running, space: Varied, values: Values) -> None:
        """Train a trial with all seeds and folds; one that does worse than others ends."""
        try:
            plan = self._plan(space, values)
            rungs = [[cell] for cell in self._cells] if self._search.pruner != "none" else [self._cells]
            for rung in rungs:
                if running.is_alive:
                    self._train_with(running, plan, rung)
                    running.judge(self._cells)
        except StoreError:
            raise
        except InputError as error:
            running.refuse(str(error))

    def _train_with(self, running: Running, plan: Plan, cells: Sequence[Cell]) -> None:
        name = running.label.replace(", ", "-").replace(" ", "-")
        trials = (
            Trial(f"{name}-s{seed}-f{fold}", PHASE1.label, "baseline", seed, fold, baseline=PHASE1)
            for seed, fold in cells
        )
        planned = dataclasses.replace(plan, trials=tuple(trials))
        # Closed in every case: processes must not outlive a search that was interrupted.
        with contextlib.closing(train(planned, self.store, self.score, self._forward, self.jobs)) as all_trained:
            for trained in all_trained:
                score = float("nan")
                if trained.status == "ok":
                    split = trained.split
                    people = plan.labels[split.validation]
                    embeddings = trained.embeddings["validation"]
                    score = self.score(embeddings, people, trained.distance, split.validation_pairs)
                running.hear(trained.trial, trained.status, score, trained.reason)

    def _forward(self, event: Event) -> None:
        if event.stage in STAGES:
            self.on_event(event)
