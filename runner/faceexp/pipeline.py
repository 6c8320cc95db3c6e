"""All stages one after the other: from an experiment file to the folder of a run.

``faceexp run`` and ``faceexp.load(path).run()`` both do this. Nothing here prints or exits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.contract import FaceData
from faceexp.errors import InputError
from faceexp.evaluation.declared import metric_problems
from faceexp.experiment import parse, toml
from faceexp.experiment.ranges import ranges_as_text, ranges_of, settled
from faceexp.experiment.schema import Experiment
from faceexp.planning.candidates import Candidates
from faceexp.planning.issues import UnplannableError
from faceexp.planning.lists import with_lists
from faceexp.planning.paths import Paths
from faceexp.planning.problems import (
    at_their_lines,
    hinting_at_backslashes,
    only_labels,
    path_and_plugin_problems,
    until_problems,
)
from faceexp.planning.range_problems import range_problems
from faceexp.planning.resolve import resolve, with_labels
from faceexp.planning.spelled_out import asked as asked_of
from faceexp.planning.spelled_out import settled_experiment
from faceexp.planning.words import with_words
from faceexp.registry.installed import Registry, discover
from faceexp.store import Store, default_root, digest, remove_unfinished, write_text
from faceexp.values import Event, EventCallback, Note, Noted, Plan, Resolved, Trial

if TYPE_CHECKING:
    # Everything about results is imported where a run begins: `faceexp validate` only reads and checks a file.
    from faceexp.results.folder import RunFolder
    from faceexp.results.outlook import OutlookRecord
    from faceexp.results.schema import RunRecord, TrialRecord
    from faceexp.results.search_record import SettingRecord
    from faceexp.run import Run
    from faceexp.search.tuned import Tuned


def ignore(event: Event) -> None:
    """Do nothing with an event. Whoever runs an experiment from Python need not watch it."""


def load(path: str | bytes | os.PathLike[str], *, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Study:
    """Read and check an experiment file. No data are read, and TensorFlow is not imported.

    Paths in the file are relative to its folder, those in ``overrides`` to the current directory.

    Args:
        path: The TOML file.
        overrides: Texts of the form ``table.key=value``. They replace what the file says.
        only: Labels of the losses to keep. Without labels all losses are kept.

    Raises:
        InputError: With every mistake in the file.
    """
    registry = discover()
    return _study_of(with_words(toml.read(path, tuple(overrides)), registry), registry, only)


def loads(text: str, name: str, *, overrides: Sequence[str] = ()) -> Study:
    """Check the text of an experiment file; see :func:`load`. Its paths are relative to the current directory.

    Raises:
        InputError: With every mistake in the text.
    """
    registry = discover()
    return _study_of(with_words(toml.parse_text(text, name, tuple(overrides)), registry), registry)


def _study_of(document: toml.Document, registry: Registry, only: Sequence[str] = ()) -> Study:
    ranges = ranges_of(document)
    document = settled(document, ranges.spaces)
    experiment, problems, references = parse.parse(document)
    paths = Paths(document, registry)
    problems += path_and_plugin_problems(paths, references)
    problems += metric_problems(document)
    problems += until_problems(document, experiment)
    problems = [*ranges.besides(problems), *ranges.problems]
    problems += [] if problems else range_problems(paths, ranges.spaces)
    if problems or experiment is None:
        raise InputError(parse.in_order(problems))
    experiment = with_labels(paths.of_experiment(experiment), registry)
    if only:
        experiment = only_labels(experiment, only)
    candidates = Candidates(document, ranges.spaces, registry, experiment) if experiment.search else None
    try:
        return Study(document, experiment, with_lists(resolve(experiment, registry)), candidates)
    except UnplannableError as error:
        raise at_their_lines(document, error) from error


@dataclass(frozen=True)
class Study:
    """An experiment that was checked and is ready to run."""

    document: toml.Document
    experiment: Experiment
    resolved: Resolved
    candidates: Candidates | None = None

    @cached_property
    def spec_hash(self) -> str:
        """The digest of the experiment with every default filled in, but for what changes no trial.

        That is the limits, and what is asked where it is what every file asks: so runs of before, whose files could not
        say it, keep their folders.
        """
        left_out = {"limits", "verdict"} if self.experiment.asks_as_usual else {"limits"}
        asked = self.experiment.model_dump(mode="json", exclude=left_out)
        return digest(asked | {"ranges": ranges_as_text(self.candidates.written)} if self.candidates else asked)

    def plan(self, store: Store, on_event: EventCallback = ignore) -> Plan:
        """Load the data, decode the images and cut them into parts.

        Raises:
            InputError: With every mistake in the data.
        """
        from faceexp.engine.backend import refuse_absent
        from faceexp.planning.prepare import prepare
        from faceexp.results.asked_rates import with_refusals

        with self._mistakes_in_the_data():
            refuse_absent(self.experiment.device)
            return with_refusals(prepare(self.resolved, store, on_event), on_event)

    def data(self) -> FaceData:
        """Return the data set, without decoding its images.

        Raises:
            InputError: With every mistake in the data.
        """
        from faceexp.planning.build import build_data

        with self._mistakes_in_the_data():
            return build_data(self.resolved.dataset)

    @contextlib.contextmanager
    def _mistakes_in_the_data(self) -> Iterator[None]:
        try:
            with hinting_at_backslashes():
                yield
        except UnplannableError as error:
            raise at_their_lines(self.document, error) from error
        except InputError as error:
            # A problem of the data names a path. One that names none is shown at the table [dataset] of the file.
            raise InputError(
                [
                    problem if problem.where else self.document.problem(("dataset",), problem.message)
                    for problem in error.problems
                ]
            ) from error

    def run(
        self,
        out: str | Path = "runs",
        *,
        store: str | Path | None = None,
        on_event: EventCallback = ignore,
        jobs: int | None = None,
    ) -> Run:
        """Train and compare the losses, and return the finished run.

        Args:
            out: The folder in which the folder of the run, ``<name>-<hash>``, is made; ``<name>-<hash>-2`` and so on
                where that holds results of other code of a plugin.
            store: Where finished work is kept. By default it is ``$FACEEXP_STORE`` or the user's cache.
            on_event: Is called with every step of progress.
            jobs: How many processes share the seeds and folds, and the cores of the machine. A script that names a
                number has to be importable, with its own work below ``if __name__ == "__main__":``. Without one,
                everything happens in this process; then a plugin that crashes takes the script with it.

        Raises:
            InputError: The experiment cannot be run with these data, or nothing can be written any more.
        """
        from faceexp.planning.looks import further
        from faceexp.results.collect import collect, split_records
        from faceexp.results.events import Looked
        from faceexp.results.judge import judge, sampling_of
        from faceexp.results.looks import goes_on, looked
        from faceexp.results.searches import record_of_search
        from faceexp.results.settings import judged, settings_of
        from faceexp.results.tidy import forget_other_data
        from faceexp.results.verdict import LookRecord

        began = time.monotonic()
        folder = self._folder(Path(out), on_event)
        used_store = Store(Path(store) if store else default_root())
        used_store.remove_leftovers()
        remove_unfinished(folder.root)
        plan, searched = self.plan(used_store, on_event), None
        if self.candidates:
            write_text(folder.spec, asked_of(self.candidates))
            plan, searched = self._tuned_plan(plan, self.candidates, used_store, on_event, jobs)
        parts = split_records(plan, plan.splits)
        forget_other_data(folder, [split.key for split in parts])
        self._write_what_is_planned(folder, plan, jobs or 1)
        pictures: set[int] = set()
        records: list[TrialRecord] = []
        asked, limits = self.experiment.verdict, self.experiment.limits
        chosen, seeds, losses = plan.trials, self.experiment.seeds, len(self.resolved.losses)
        verdict, started = None, began
        settings: tuple[SettingRecord, ...] = ()
        while True:
            records += _train(plan, chosen, folder, used_store, on_event, jobs, pictures)
            sampling = sampling_of(plan)
            # Which setting a loss is judged by is decided once, with the seeds that the file gives.
            settings = settings or settings_of(plan.resolved, records)
            verdict = judge(judged(records, settings), asked, sampling, verdict, plan.resolved.reference)
            if asked.until == "seeds":
                break
            look = LookRecord(seeds=seeds, trained=losses, seconds=time.monotonic() - started)
            verdict = looked(verdict, look)
            if not goes_on(verdict, asked, limits, time.monotonic() - began):
                break
            on_event(Looked("look", len(verdict.looks), asked.looks, verdict=verdict))
            started = time.monotonic()
            more = further(plan, verdict.in_question)
            plan, chosen, seeds, losses = more.plan, more.trials, more.seeds, len(verdict.in_question)
            parts += split_records(plan, plan.splits[len(parts) :])
        # Trials that run side by side end in any order. The results have the order of the plan.
        order = {trial.id: place for place, trial in enumerate(plan.trials)}
        records.sort(key=lambda record: order[record.id])
        before = record_of_search(searched, plan, records, sampling, asked) if searched else None
        results = collect(
            self.experiment.name, self.spec_hash, records, plan, parts, sampling, verdict, folder, settings, before
        )
        well = [record.id for record in records if record.status == "ok" and record.kind != "baseline"]
        return _finished(folder, results, order, well, pictures)

    def _tuned_plan(
        self, plan: Plan, candidates: Candidates, store: Store, on_event: EventCallback, jobs: int | None
    ) -> tuple[Plan, Tuned]:
        """Search, and return the plan with the settings that were chosen."""
        from faceexp.evaluation.checkpoints import ValidationAuc
        from faceexp.search.tuned import tuned

        tested = {int(plan.labels[image]) for split in plan.splits for image in split.test}
        with self._mistakes_in_the_data():
            chosen = tuned(candidates, self.resolved, store, ValidationAuc(), on_event, jobs, tested)
        return dataclasses.replace(self, resolved=chosen.resolved, candidates=None).plan(store), chosen

    def outlook(self, store: Store, jobs: int, on_event: EventCallback = ignore) -> OutlookRecord:
        """Return what a run will take; data are read, and nothing is trained.

        Raises:
            InputError: The experiment cannot be run with these data.
        """
        from faceexp.evaluation.checkpoints import ValidationAuc
        from faceexp.results.outlook import outlook
        from faceexp.search.prospect import prospect

        plan, search = self.plan(store, on_event), None
        if self.candidates:
            with self._mistakes_in_the_data():
                search = prospect(self.candidates, self.resolved, store, ValidationAuc())
            if not search.left:
                # Then what was chosen is read from the journals.
                plan, _ = self._tuned_plan(plan, self.candidates, store, ignore, jobs)
        return outlook(plan, store, jobs, search)

    def _write_what_is_planned(self, folder: RunFolder, plan: Plan, jobs: int) -> None:
        """Write what is known before anything trains."""
        from faceexp.results.collect import overlap_csv
        from faceexp.results.environment import environment
        from faceexp.results.jsonable import to_json

        if self.candidates:
            write_text(folder.tuned, toml.dump(settled_experiment(plan.resolved.experiment)))
        else:
            write_text(folder.spec, toml.dump(plan.resolved.experiment))
        write_text(folder.environment, to_json(environment(plan.resolved, jobs)))
        if any(each.shared for each in plan.sets):
            write_text(folder.overlap, overlap_csv(plan))

    def _folder(self, out: Path, on_event: EventCallback) -> RunFolder:
        """Return the folder of the run; whoever watches is told where it is not the usual one."""
        from faceexp.results.environment import plugins_of
        from faceexp.results.folder import folder_to_fill

        usual = out / f"{self.experiment.name}-{self.spec_hash[:8]}"
        folder, said = folder_to_fill(usual, plugins_of(self.resolved))
        if said:
            on_event(Noted("note", 1, 1, note=Note("code", said)))
        return folder


def _finished(
    folder: RunFolder, results: RunRecord, order: Collection[str], well: Collection[str], pictures: Collection[int]
) -> Run:
    """Write the results of a run and its pages, and remove what is not of this run."""
    from faceexp.results.finish import tell_models
    from faceexp.results.jsonable import to_json
    from faceexp.results.tidy import keep_only
    from faceexp.run import Run

    if results.verdict:
        tell_models(folder, results.trials, results.verdict)
    write_text(folder.results, to_json(results))
    keep_only(folder, order, well, pictures)
    finished = Run(folder.root, results)
    finished.write_pages()
    return finished


def _train(
    plan: Plan,
    chosen: tuple[Trial, ...],
    folder: RunFolder,
    store: Store,
    on_event: EventCallback,
    jobs: int | None,
    pictures: set[int],
) -> list[TrialRecord]:
    """Train some trials of a plan, write what comes of each, and return their records as they end."""
    from faceexp.engine import trials
    from faceexp.evaluation.checkpoints import ValidationAuc
    from faceexp.results.events import TrialEnded
    from faceexp.results.finish import finish

    records = []
    before = len(plan.trials) - len(chosen)
    planned = dataclasses.replace(plan, trials=chosen)
    # Closed in every case: processes must not outlive a run that was interrupted.
    with contextlib.closing(trials.train(planned, store, ValidationAuc(), on_event, jobs)) as all_trained:
        for number, trained in enumerate(all_trained, before + 1):
            record = finish(trained, folder, plan, store, pictures)
            records.append(record)
            total = len(plan.trials)
            on_event(TrialEnded("trial", number, total, record.label, record.seed, record.fold, trial=record))
    on_event(Event("compare", 0, 1))
    return records
