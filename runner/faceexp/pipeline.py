"""All stages one after the other: from an experiment file to the folder of a run.

``faceexp run`` and ``faceexp.load(path).run()`` both do this. Nothing here prints or exits.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.arrays import ByteArray
from faceexp.errors import InputError
from faceexp.experiment import parse, toml
from faceexp.experiment.schema import Experiment
from faceexp.planning.problems import at_their_lines, hinting_at_backslashes, only_labels, plugin_problems
from faceexp.planning.resolve import UnplannableError, resolve
from faceexp.planning.words import with_words
from faceexp.registry.installed import discover
from faceexp.store import Store, default_root, digest, write_text
from faceexp.values import NETWORK_FILE, Event, EventCallback, Plan, Resolved, TrainedTrial

if TYPE_CHECKING:
    # Everything about results is imported where a run begins: `faceexp validate` only reads and checks a file.
    from faceexp.results.folder import RunFolder
    from faceexp.results.schema import TrialRecord
    from faceexp.run import Run


def ignore(event: Event) -> None:
    """Do nothing with an event. Whoever runs an experiment from Python need not watch it."""


def load(path: str | bytes | os.PathLike[str], *, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Study:
    """Read and check an experiment file. No data are read, and TensorFlow is not imported.

    Args:
        path: The TOML file.
        overrides: Texts of the form ``table.key=value``. They replace what the file says.
        only: Labels of the losses to keep. Without labels all losses are kept.

    Raises:
        InputError: With every mistake in the file.
    """
    registry = discover()
    document = with_words(toml.read(path, tuple(overrides)), registry)
    experiment, problems, references = parse.parse(document)
    problems += plugin_problems(document, references, registry)
    if problems or experiment is None:
        raise InputError(parse.in_order(problems))
    if only:
        experiment = only_labels(experiment, only)
    try:
        resolved = resolve(experiment, registry)
        if experiment.protocol.path:
            from faceexp.data import pairs_file

            with hinting_at_backslashes():
                resolved = dataclasses.replace(resolved, pairs=pairs_file.read(experiment.protocol.path))
        return Study(document, experiment, resolved)
    except UnplannableError as error:
        raise at_their_lines(document, error) from error


@dataclass(frozen=True)
class Study:
    """An experiment that was checked and is ready to run."""

    document: toml.Document
    experiment: Experiment
    resolved: Resolved

    @cached_property
    def spec_hash(self) -> str:
        """The digest of the experiment with every default filled in."""
        return digest(self.experiment.model_dump(mode="json"))

    def plan(self, store: Store, on_event: EventCallback = ignore) -> Plan:
        """Load the data, decode the images and cut them into parts.

        Raises:
            InputError: With every mistake in the data.
        """
        from faceexp.planning.prepare import prepare

        try:
            with hinting_at_backslashes():
                return prepare(self.resolved, store, on_event)
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
        jobs: int = 1,
    ) -> Run:
        """Train and compare the losses, and return the finished run.

        Args:
            out: The folder in which the folder of the run, ``<name>-<hash>``, is made.
            store: Where finished work is kept. By default it is ``$FACEEXP_STORE`` or the user's cache.
            on_event: Is called with every step of progress.
            jobs: How many processes share the seeds and folds, and the cores of the machine. With more than one, a
                script has to be importable, with its own work below ``if __name__ == "__main__":``.

        Raises:
            InputError: The experiment cannot be run with these data.
        """
        from faceexp.engine import trials
        from faceexp.evaluation.checkpoints import ValidationAuc
        from faceexp.results.collect import collect
        from faceexp.results.environment import environment
        from faceexp.results.events import TrialEnded
        from faceexp.results.folder import RunFolder
        from faceexp.results.jsonable import to_json
        from faceexp.run import Run

        folder = RunFolder(Path(out) / f"{self.experiment.name}-{self.spec_hash[:8]}")
        used_store = Store(Path(store) if store else default_root())
        plan = self.plan(used_store, on_event)
        write_text(folder.spec, toml.dump(self.experiment))
        write_text(folder.environment, to_json(environment(self.resolved, jobs)))
        records: list[TrialRecord] = []
        for number, trained in enumerate(trials.train(plan, used_store, ValidationAuc(), on_event, jobs), 1):
            record = _finish(trained, folder, plan, used_store)
            records.append(record)
            total = len(plan.trials)
            on_event(TrialEnded("trial", number, total, record.label, record.seed, record.fold, trial=record))
        # Trials that run side by side end in any order. The results have the order of the plan.
        order = {trial.id: place for place, trial in enumerate(plan.trials)}
        records.sort(key=lambda record: order[record.id])
        results = collect(self.experiment.name, self.spec_hash, records, plan)
        write_text(folder.results, to_json(results))
        finished = Run(folder.root, results)
        finished.write_page(folder.page)
        return finished


def _finish(trained: TrainedTrial, folder: RunFolder, plan: Plan, store: Store) -> TrialRecord:
    """Measure a trial, and write its file, its pictures, and its model with the threshold."""
    from faceexp.results.jsonable import to_json
    from faceexp.results.measure import measure
    from faceexp.results.model_schema import ModelRecord

    measured = measure(trained, plan, store)
    trial = measured.trial
    write_text(folder.trial(trial.id), to_json(trial))
    for image in measured.pictures:
        _write_picture(folder.picture(image), plan.images[image])
    if trained.folder and trial.status == "ok":
        model = folder.model(trial.id)
        model.root.mkdir(parents=True, exist_ok=True)
        _place(trained.folder / NETWORK_FILE, model.network("keras"))
        scores = [point.validation for point in trial.curve if point.step == trial.best_step]
        description = ModelRecord(
            label=trial.label,
            seed=trial.seed,
            fold=trial.fold,
            distance=trained.distance,
            threshold=trial.threshold,
            criterion="best balanced accuracy on the validation part",
            calibration=trial.calibration,
            validation_auc=scores[0] if scores else None,
            preprocess=plan.resolved.experiment.preprocess,
        )
        write_text(model.record, to_json(description))
    return trial.alone()


def _write_picture(file: Path, pixels: ByteArray) -> None:
    """Write an image as the networks see it, unless another trial has written it: all losses have the same images."""
    from PIL import Image

    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file)


def _place(source: Path, target: Path) -> None:
    """Put a file of the store into a run. A link is made where that is possible: models are large and never change."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
