"""All stages one after the other: from an experiment file to the folder of a run.

``faceexp run`` and ``faceexp.load(path).run()`` both do this. Nothing here prints or exits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.contract import FaceData
from faceexp.errors import InputError, Problem
from faceexp.evaluation.declared import metric_problems
from faceexp.experiment import parse, toml
from faceexp.experiment.ranges import ranges_as_text, ranges_of, settled
from faceexp.experiment.schema import OF_A_SITE, WITHOUT_EFFECT, Experiment
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
from faceexp.values import EventCallback, Note, Noted, Plan, Resolved, ignore

if TYPE_CHECKING:
    # Everything about results is imported where a run begins: `faceexp validate` only reads and checks a file.
    from faceexp.results.folder import RunFolder
    from faceexp.results.outlook import OutlookRecord
    from faceexp.results.repeated import Repeated
    from faceexp.run import Run
    from faceexp.running.parts import Shard
    from faceexp.running.repeat import Claim
    from faceexp.search.tuned import Tuned


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


def merge(
    folders: Sequence[Path], out: Path, *, store: Path | None = None, on_event: EventCallback = ignore
) -> tuple[Run, int]:
    """Join runs of one experiment that were computed apart; see :mod:`faceexp.running.merge`.

    Args:
        folders: The folders of the runs.
        out: The folder in which that of the joined run is made.
        store: Where decoded images are kept; the data have to be here, since they are planned anew.
        on_event: Is called with what is noted of the data.

    Returns:
        The run, and how many of its trials none of these has.

    Raises:
        InputError: They do not fit, with every reason.
    """
    from faceexp.running.merge import Part, joined, merged
    from faceexp.running.tracking import track

    parts = [Part.read(folder) for folder in folders]
    study = loads(toml.dump(joined(parts)), str(parts[0].folder.spec))
    plan = study.plan(Store(store or default_root()), on_event)
    folder = study.folder_in(out, on_event)
    run, missing = merged(plan, study.spec_hash, parts, folder)
    track(plan, folder, run, on_event)
    return run, missing


def verify_run(claim: Claim, *, store: Path | None = None, on_event: EventCallback = ignore) -> Repeated:
    """Train a trial of a run anew with the data that are here, and compare; see :mod:`faceexp.running.repeat`.

    Raises:
        InputError: The data are not here, or they are others.
    """
    registry, document = discover(), toml.read(claim.spec, claim.overrides).without(OF_A_SITE)
    study = _study_of(with_words(document, registry), registry)
    return claim.repeated(study.plan(Store(store or default_root()), on_event), on_event)


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

        What is asked is left out as well where it is what every file asks: so runs of before, whose files could not say
        it, keep their folders.
        """
        left_out = {*WITHOUT_EFFECT, *(["verdict"] if self.experiment.asks_as_usual else [])}
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
            refuse_absent(self.experiment.device, self.experiment.replicas)
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
        shard: Shard | None = None,
        collect: bool = False,
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
            shard: The share of the trials that is computed here. Its folder is called so; `merge` joins all of them.
            collect: Train nothing, and write what is finished so far into a folder of its own.

        Raises:
            InputError: The experiment cannot be run with these data, or nothing can be written any more.
        """
        from faceexp.running.parts import SO_FAR

        began, only = time.monotonic(), shard.suffix if shard else SO_FAR if collect else ""
        if only:
            self._refuse_parts("--shard" if shard else "--collect")
        folder = self.folder_in(Path(out), on_event, only)
        used_store = Store(Path(store) if store else default_root(), folder.root.name)
        with used_store.at_work():
            used_store.remove_leftovers()
            remove_unfinished(folder.root)
            run = self._run(folder, used_store, on_event, jobs, began, shard, collect=collect)
        if used_store.limit is not None:
            used_store.prune(used_store.limit)
        return run

    def _run(
        self,
        folder: RunFolder,
        store: Store,
        on_event: EventCallback,
        jobs: int | None,
        began: float,
        shard: Shard | None,
        *,
        collect: bool,
    ) -> Run:
        """Run the experiment, or a part of it, and fill its folder."""
        from faceexp.results.tidy import forget_other_data
        from faceexp.running.course import Course
        from faceexp.running.parts import finished_trials
        from faceexp.running.tracking import tracking

        plan, searched = self.plan(store, on_event), None
        if self.candidates:
            write_text(folder.spec, asked_of(self.candidates))
            plan, searched = self._tuned_plan(plan, self.candidates, store, on_event, jobs)
        course = Course(plan, self.spec_hash, folder, searched, only_reads=collect)
        forget_other_data(folder, [split.key for split in course.parts])
        self._write_what_is_planned(folder, plan, jobs or 1)
        chosen = shard.trials(plan) if shard else finished_trials(plan, store, jobs) if collect else plan.trials
        if not chosen:
            few = f"there are no more than {len(plan.trials)} trials" if shard else "no trial is finished yet"
            raise InputError(Problem(f"{few}, so there is nothing to write", "--shard" if shard else "--collect"))
        with tracking(plan, folder, on_event) as trackers:
            run = course.run(chosen, store, trackers.on_event, jobs, began)
            trackers.run_ended(run)
        return run

    def _refuse_parts(self, option: str) -> None:
        """Refuse to do a part of an experiment whose trials depend on what came of others.

        Raises:
            InputError: It is such an experiment.
        """
        if self.candidates:
            message = "what is compared depends on the search; run that first, and then its tuned.toml in parts"
            raise InputError(Problem(message, option))
        if self.experiment.verdict.until == "decided":
            message = 'verdict.until = "decided" adds seeds after a look at all trials; it cannot be done in parts'
            raise InputError(Problem(message, option))

    def _tuned_plan(
        self, plan: Plan, candidates: Candidates, store: Store, on_event: EventCallback, jobs: int | None
    ) -> tuple[Plan, Tuned]:
        """Search, and return the plan with the settings that were chosen."""
        from faceexp.evaluation.checkpoints import validation_score
        from faceexp.search.tuned import tuned

        tested = {int(plan.labels[image]) for split in plan.splits for image in split.test}
        score = validation_score(self.experiment.evaluation.choose_by)
        with self._mistakes_in_the_data():
            chosen = tuned(candidates, self.resolved, store, score, on_event, jobs, tested)
        return dataclasses.replace(self, resolved=chosen.resolved, candidates=None).plan(store), chosen

    def outlook(self, store: Store, jobs: int, on_event: EventCallback = ignore) -> OutlookRecord:
        """Return what a run will take; data are read, and nothing is trained.

        Raises:
            InputError: The experiment cannot be run with these data.
        """
        from faceexp.evaluation.checkpoints import validation_score
        from faceexp.results.outlook import outlook
        from faceexp.search.prospect import prospect

        plan, search = self.plan(store, on_event), None
        if self.candidates:
            with self._mistakes_in_the_data():
                score = validation_score(self.experiment.evaluation.choose_by)
                search = prospect(self.candidates, self.resolved, store, score)
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

    def folder_in(self, out: Path, on_event: EventCallback, part: str = "") -> RunFolder:
        """Return the folder of the run, or of a part of it; whoever watches is told where it is not the usual one."""
        from faceexp.results.environment import plugins_of
        from faceexp.results.folder import folder_to_fill

        usual = out / f"{self.experiment.name}-{self.spec_hash[:8]}{part}"
        folder, said = folder_to_fill(usual, plugins_of(self.resolved))
        if said:
            on_event(Noted("note", 1, 1, note=Note("code", said)))
        return folder
