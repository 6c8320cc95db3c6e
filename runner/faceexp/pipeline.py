"""The stages put together: from an experiment file to a run directory.

This is what ``faceexp run`` does and what ``faceexp.load(path).run()`` does; nothing here prints or exits.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from faceexp.arrays import ByteArray
from faceexp.data import pairs_file
from faceexp.errors import InputError
from faceexp.experiment import parse, toml
from faceexp.experiment.schema import Experiment
from faceexp.planning.problems import located, only_labels, plugin_problems
from faceexp.planning.resolve import UnplannableError, resolve
from faceexp.registry.installed import discover
from faceexp.run import Run
from faceexp.store import Store, default_root, digest, write_text
from faceexp.values import Event, Listener, Plan, Resolved, TrainedTrial, TrialResult


def ignore(event: Event) -> None:
    """Hear nothing: who runs from Python need not watch."""


def load(path: str | Path, *, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Study:
    """Read and check an experiment file; no data are touched, and TensorFlow is not imported.

    Args:
        path: The TOML file.
        overrides: ``table.key=value`` texts that take the place of what the file says.
        only: Labels of the losses to keep; all where empty.

    Raises:
        InputError: With every mistake in the file.
    """
    document = toml.read(path, tuple(overrides))
    registry = discover()
    experiment, problems, references = parse.parse(document)
    problems += plugin_problems(document, references, registry)
    if problems or experiment is None:
        raise InputError(parse.in_order(problems))
    if only:
        experiment = only_labels(experiment, only)
    try:
        resolved = resolve(experiment, registry)
        if experiment.protocol.path:
            resolved = dataclasses.replace(resolved, pairs=pairs_file.read(experiment.protocol.path))
        return Study(document, experiment, resolved)
    except UnplannableError as error:
        raise located(document, error) from error


@dataclass(frozen=True)
class Study:
    """A checked experiment, ready to run."""

    document: toml.Document
    experiment: Experiment
    resolved: Resolved

    @cached_property
    def spec_hash(self) -> str:
        """Digest of the experiment as resolved."""
        return digest(self.experiment.model_dump(mode="json"))

    def plan(self, store: Store, listen: Listener = ignore) -> Plan:
        """Load the data, decode the images and cut the parts.

        Raises:
            InputError: With every mistake in the data.
        """
        from faceexp.planning.prepare import prepare

        try:
            return prepare(self.resolved, store, listen)
        except UnplannableError as error:
            raise located(self.document, error) from error
        except InputError as error:
            # The data's own problems name a path; those that name nothing belong to the file's [dataset].
            raise InputError(
                [p if p.where else self.document.problem(("dataset",), p.message) for p in error.problems]
            ) from error

    def run(
        self, out: str | Path = "runs", *, store: str | Path | None = None, listen: Listener = ignore, jobs: int = 1
    ) -> Run:
        """Train and compare; return the finished run.

        Args:
            out: Folder that gets the run's own folder, ``<name>-<hash>``.
            store: Where finished work is kept; by default ``$FACEEXP_STORE`` or the user's cache.
            listen: Hears of progress.
            jobs: Processes that seeds and folds are divided among, with the cores. More than one need a script that
                can be imported, with its own work below ``if __name__ == "__main__":``.

        Raises:
            InputError: The data cannot serve the experiment.
        """
        from faceexp.engine import trials
        from faceexp.evaluation.checkpoints import ValidationAuc
        from faceexp.results.collect import compare_all
        from faceexp.results.environment import environment
        from faceexp.results.jsonable import to_json

        folder = Path(out) / f"{self.experiment.name}-{self.spec_hash[:8]}"
        kept = Store(Path(store) if store else default_root())
        plan = self.plan(kept, listen)
        write_text(folder / "spec.toml", toml.dump(self.experiment))
        surroundings = environment(self.resolved, jobs)
        write_text(folder / "environment.json", to_json(surroundings))
        results = []
        for number, trained in enumerate(trials.train(plan, kept, ValidationAuc(), listen, jobs), 1):
            result = _finish(trained, folder, plan, kept)
            results.append(result)
            trial = trained.trial
            listen(Event("trial", number, len(plan.trials), trial.label, trial.seed, trial.fold, finished=result))
        # Side by side, trials end in any order; what is written has the plan's.
        order = {trial.id: place for place, trial in enumerate(plan.trials)}
        results.sort(key=lambda result: order[result.id])
        document = compare_all(self.experiment.name, self.spec_hash, results, plan)
        write_text(folder / "results.json", to_json(document))
        finished = Run(folder, document)
        finished.write_page(folder / "report.html")
        return finished


def _finish(trained: TrainedTrial, folder: Path, plan: Plan, store: Store) -> TrialResult:
    """Measure a trial and write what belongs to it: its JSON, its pictures, and its model with the threshold."""
    from faceexp.results.jsonable import to_json, to_jsonable
    from faceexp.results.measure import measure

    measured = measure(trained, plan, store)
    result = measured.result
    beside = {"evidence": measured.evidence, "calibration": measured.calibration}
    write_text(folder / "trials" / f"{result.id}.json", to_json(to_jsonable(result) | beside))
    for image in measured.pictures:
        _picture(folder / "pictures" / f"{image}.png", plan.images[image])
    if trained.folder and result.status == "ok":
        model = folder / "models" / result.id
        model.mkdir(parents=True, exist_ok=True)
        _place(trained.folder / "model.keras", model / "model.keras")
        scores = [point.validation for point in result.curve if point.step == result.best_step]
        calibration = {
            "label": result.label,
            "seed": result.seed,
            "fold": result.fold,
            "distance": result.distance,
            "threshold": result.threshold,
            "criterion": "best balanced accuracy on the validation part",
            "calibration": measured.calibration,
            "validation_auc": scores[0] if scores else None,
            "preprocess": plan.resolved.experiment.preprocess.model_dump(mode="json"),
        }
        write_text(model / "calibration.json", to_json(calibration))
    return result


def _picture(file: Path, pixels: ByteArray) -> None:
    """Write an image as the networks see it; every loss of a run shows the same ones, so each is written once."""
    from PIL import Image

    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file)


def _place(source: Path, target: Path) -> None:
    """Put a file of the store into a run: as a link where possible, since models are large and never change."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
