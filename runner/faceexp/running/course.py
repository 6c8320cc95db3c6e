"""The course of a run: its trials are trained and written as they end, then judged, and the folder is finished."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faceexp.engine import training
from faceexp.engine.networks import forget_training
from faceexp.evaluation.checkpoints import validation_score
from faceexp.planning.looks import further
from faceexp.results.collect import collect, split_records
from faceexp.results.events import Looked, TrialEnded
from faceexp.results.finish import finish, finish_again, tell_models
from faceexp.results.folder import RunFolder
from faceexp.results.jsonable import to_json
from faceexp.results.judge import Sampling, judge, sampling_of
from faceexp.results.kept import KeptModels, kept
from faceexp.results.looks import goes_on, looked
from faceexp.results.schema import SplitRecord, TrialRecord
from faceexp.results.search_record import SearchRecord, SettingRecord
from faceexp.results.searches import record_of_search
from faceexp.results.settings import judged, settings_of
from faceexp.results.tidy import keep_only
from faceexp.results.verdict import LookRecord, VerdictRecord
from faceexp.run import Run
from faceexp.store import Store, write_text
from faceexp.values import Event, EventCallback, Note, Noted, Plan, Trial

if TYPE_CHECKING:
    from faceexp.search.tuned import Tuned


@dataclass
class Course:
    """A run on its way.

    Attributes:
        plan: What is to be done.
        spec_hash: The digest of the experiment file.
        folder: What is written.
        searched: What a search has chosen before.
        pictures: The numbers of the images whose pictures have been written.
        only_reads: Whether nothing is trained, and nothing removed from the store.
        parts: How the data are cut for each seed and fold.
        models: Which models are kept so far.
    """

    plan: Plan
    spec_hash: str
    folder: RunFolder
    searched: Tuned | None = None
    pictures: set[int] = field(default_factory=set)
    only_reads: bool = False
    parts: list[SplitRecord] = field(init=False)
    models: KeptModels = field(init=False)

    def __post_init__(self) -> None:
        """Record how the data are cut; further seeds add their splits."""
        self.parts = split_records(self.plan, self.plan.splits)
        self.models = KeptModels(self.plan.resolved.experiment.keep.models, self.only_reads)

    def run(
        self, chosen: tuple[Trial, ...], store: Store, on_event: EventCallback, jobs: int | None, began: float
    ) -> Run:
        """Train trials, judge them, go on with further seeds where the file asks for that, and finish the folder.

        Args:
            chosen: The trials to begin with, all of the plan or some.
            store: Where finished work is looked up and kept.
            on_event: Is called with every step of progress.
            jobs: How many processes share the work; without a number, this one does it.
            began: When the run began, by the clock of ``time.monotonic``.
        """
        experiment = self.plan.resolved.experiment
        asked, limits, seeds = experiment.verdict, experiment.limits, experiment.seeds
        losses, started = len(self.plan.resolved.losses), began
        records = self._trained(chosen, 0, store, on_event, jobs)
        # Which setting a loss is judged by is decided once, with the seeds that the file gives.
        settings = settings_of(self.plan.resolved, records)
        verdict = None
        while True:
            sampling = sampling_of(self.plan)
            verdict = judge(judged(records, settings), asked, sampling, verdict, self.plan.resolved.reference)
            if asked.until == "seeds":
                break
            look = LookRecord(seeds=seeds, trained=losses, seconds=time.monotonic() - started)
            verdict = looked(verdict, look)
            if not goes_on(verdict, asked, limits, time.monotonic() - began):
                break
            on_event(Looked("look", len(verdict.looks), asked.looks, verdict=verdict))
            started = time.monotonic()
            more = further(self.plan, verdict.in_question)
            self.plan, seeds, losses = more.plan, more.seeds, len(verdict.in_question)
            self.parts += split_records(self.plan, self.plan.splits[len(self.parts) :])
            records += self._trained(more.trials, len(records), store, on_event, jobs)
        self._train_again(store, on_event, jobs)
        records = self._in_order(records)
        search = record_of_search(self.searched, self.plan, records, sampling, asked) if self.searched else None
        return self._finished(records, sampling, verdict, settings, search)

    def judge_those(self, records: Iterable[TrialRecord]) -> Run:
        """Judge trials that were trained elsewhere, whose files are in the folder, and finish it."""
        resolved, sampling = self.plan.resolved, sampling_of(self.plan)
        ordered = self._in_order(records)
        settings = settings_of(resolved, ordered)
        verdict = judge(judged(ordered, settings), resolved.experiment.verdict, sampling, None, resolved.reference)
        return self._finished(ordered, sampling, verdict, settings)

    def _in_order(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        """Return records in the order of the plan; trials that run side by side end in any order."""
        order = {trial.id: place for place, trial in enumerate(self.plan.trials)}
        return sorted(records, key=lambda record: order[record.id])

    def _finished(
        self,
        records: Sequence[TrialRecord],
        sampling: Sampling,
        verdict: VerdictRecord,
        settings: Sequence[SettingRecord],
        search: SearchRecord | None = None,
    ) -> Run:
        """Write the results of a run and its pages, and remove what is not of this run."""
        name, plan = self.plan.resolved.experiment.name, self.plan
        measured = records, plan, self.parts, sampling, verdict
        results = collect(name, self.spec_hash, *measured, self.folder, settings, search)
        if results.verdict:
            tell_models(self.folder, results.trials, results.verdict)
        write_text(self.folder.results, to_json(results))
        models = kept(plan.resolved.experiment.keep.models, records)
        keep_only(self.folder, [record.id for record in records], models, self.pictures)
        finished = Run(self.folder.root, results)
        finished.write_pages()
        return finished

    def _trained(
        self, chosen: tuple[Trial, ...], before: int, store: Store, on_event: EventCallback, jobs: int | None
    ) -> list[TrialRecord]:
        """Train some trials of the plan, write what comes of each, and return their records as they end.

        Args:
            chosen: The trials.
            before: How many ended before these.
            store: See :meth:`run`.
            on_event: See :meth:`run`.
            jobs: See :meth:`run`.
        """
        records = []
        planned = dataclasses.replace(self.plan, trials=chosen)
        score = validation_score(self.plan.resolved.experiment.evaluation.choose_by)
        # Closed in every case: processes must not outlive a run that was interrupted.
        with contextlib.closing(training.train(planned, store, score, on_event, jobs)) as all_trained:
            for number, trained in enumerate(all_trained, before + 1):
                record = finish(trained, self.folder, self.plan, store, self.pictures, self.models)
                records.append(record)
                total = before + len(chosen)
                row = record.label, record.seed, record.fold
                on_event(TrialEnded("trial", number, total, *row, trial=record, trained=trained))
        on_event(Event("compare", 0, 1))
        return records

    def _train_again(self, store: Store, on_event: EventCallback, jobs: int | None) -> None:
        """Train those trials again whose models are to be kept, but whose networks an earlier run has not kept."""
        lacking = self.models.lacking
        if not lacking:
            return
        text = f"keep.models asks for {len(lacking):,} networks that are not in the store; they are trained again"
        on_event(Noted("note", 1, 1, note=Note("networks", text)))
        for held in lacking:
            forget_training(store, held.key)
        planned = dataclasses.replace(self.plan, trials=tuple(held.trial for held in lacking))
        score = validation_score(self.plan.resolved.experiment.evaluation.choose_by)
        with contextlib.closing(training.train(planned, store, score, on_event, jobs)) as all_trained:
            for trained in all_trained:
                finish_again(trained, self.folder, self.plan, store)
