"""The stages put together: from an experiment file to a run directory.

This is what ``faceexp run`` does and what ``faceexp.load(path).run()`` does; nothing here prints or exits.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from faceexp import pairs_file, spec
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.experiment import Experiment
from faceexp.registry import Registry, discover
from faceexp.resolve import UnplannableError, resolve
from faceexp.store import Store, default_root, digest, write_text
from faceexp.values import ByteArray, Event, Listener, Plan, Resolved, TrainedTrial, TrialResult

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


def _deaf(event: Event) -> None:
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
    document = spec.read(path, tuple(overrides))
    registry = discover()
    experiment, problems, references = spec.parse(document)
    problems += _plugin_problems(document, references, registry)
    if problems or experiment is None:
        raise InputError(spec.in_order(problems))
    if only:
        experiment = _only(experiment, only)
    try:
        resolved = resolve(experiment, registry)
        if experiment.protocol.path:
            resolved = dataclasses.replace(resolved, pairs=pairs_file.read(experiment.protocol.path))
        return Study(document, experiment, resolved)
    except UnplannableError as error:
        raise _located(document, error) from error


def _plugin_problems(
    document: spec.Document, references: Iterable[spec.Reference], registry: Registry
) -> list[Problem]:
    problems = []
    for reference in references:
        try:
            registry.choose(reference.kind, reference.name, reference.options)
        except InputError as error:
            problems += [document.problem((*reference.path, "plugin"), item.message) for item in error.problems]
        except ValidationError as error:
            problems += list(_option_problems(document, reference, registry, error))
    return problems


def _option_problems(
    document: spec.Document, reference: spec.Reference, registry: Registry, error: ValidationError
) -> Iterable[Problem]:
    found = registry.find(reference.kind, reference.name)
    known = sorted(found.load().model_fields)
    for item in spec.mistakes(error):
        key = item["loc"]
        # An option that the grid varies is written there.
        varied = bool(key) and _in_grid(document, (*reference.path, "grid", key[0]))
        place = (*reference.path, "grid", key[0]) if varied else (*reference.path, *key)
        if item["type"] == "extra_forbidden":
            hint = did_you_mean(str(key[-1]), known)
            yield document.problem(place, f"unknown option of {found}{'; ' + hint if hint else '; it has none'}")
        else:
            yield document.problem(place, f"{spec.explain(item, known)}; option of {found}")


def _in_grid(document: spec.Document, path: tuple[str | int, ...]) -> bool:
    value: Any = document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _only(experiment: Experiment, labels: Sequence[str]) -> Experiment:
    known = [entry.label for entry in experiment.losses]
    problems = [
        Problem(f"no loss has the label {label!r}; {did_you_mean(label, known)}", "--only")
        for label in labels
        if label not in known
    ]
    if problems:
        raise InputError(problems)
    return experiment.model_copy(update={"losses": tuple(e for e in experiment.losses if e.label in labels)})


def _located(document: spec.Document, error: UnplannableError) -> InputError:
    return InputError([document.problem(issue.path, issue.message) for issue in error.issues])


@dataclass(frozen=True)
class Study:
    """A checked experiment, ready to run."""

    document: spec.Document
    experiment: Experiment
    resolved: Resolved

    @cached_property
    def spec_hash(self) -> str:
        """Digest of the experiment as resolved."""
        return digest(self.experiment.model_dump(mode="json"))

    def plan(self, store: Store, listen: Listener = _deaf) -> Plan:
        """Load the data, decode the images and cut the parts.

        Raises:
            InputError: With every mistake in the data.
        """
        from faceexp.plan import prepare

        try:
            return prepare(self.resolved, store, listen)
        except UnplannableError as error:
            raise _located(self.document, error) from error
        except InputError as error:
            # The data's own problems name a path; those that name nothing belong to the file's [dataset].
            raise InputError(
                [p if p.where else self.document.problem(("dataset",), p.message) for p in error.problems]
            ) from error

    def run(
        self, out: str | Path = "runs", *, store: str | Path | None = None, listen: Listener = _deaf, jobs: int = 1
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
        from faceexp import engine
        from faceexp.evaluation import ValidationAuc
        from faceexp.results import compare_all, environment, written

        folder = Path(out) / f"{self.experiment.name}-{self.spec_hash[:8]}"
        kept = Store(Path(store) if store else default_root())
        plan = self.plan(kept, listen)
        write_text(folder / "spec.toml", spec.dump(self.experiment))
        surroundings = environment(self.resolved, jobs)
        write_text(folder / "environment.json", written(surroundings))
        results = []
        for number, trained in enumerate(engine.train(plan, kept, ValidationAuc(), listen, jobs), 1):
            result = _finish(trained, folder, plan, kept)
            results.append(result)
            trial = trained.trial
            listen(Event("trial", number, len(plan.trials), trial.label, trial.seed, trial.fold, finished=result))
        # Side by side, trials end in any order; what is written has the plan's.
        order = {trial.id: place for place, trial in enumerate(plan.trials)}
        results.sort(key=lambda result: order[result.id])
        document = compare_all(self.experiment.name, self.spec_hash, results, plan)
        write_text(folder / "results.json", written(document))
        finished = Run(folder, document)
        finished.write_page(folder / "report.html")
        return finished


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, and what ``results.json`` there says."""

    folder: Path
    document: Mapping[str, Any]

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial, as in ``results.json``."""
        return list(self.document["trials"])

    @property
    def summary(self) -> list[dict[str, Any]]:
        """Mean and interval of every label and metric."""
        return list(self.document["summary"])

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """Every pair of labels, metric by metric, with corrected p-value and verdict."""
        return list(self.document["comparisons"])

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The trials that did not end well."""
        return [trial for trial in self.trials if trial["status"] != "ok"]

    def write_page(self, path: Path) -> None:
        """Write the report as one self-contained HTML file, from what the run's folder holds."""
        from faceexp.report.html import page

        evidence = {trial["id"]: read_json(self.folder / "trials" / f"{trial['id']}.json") for trial in self.trials}
        pictures = {int(file.stem): file.read_bytes() for file in sorted((self.folder / "pictures").glob("*.png"))}
        write_text(path, page(self.document, read_json(self.folder / "environment.json"), evidence, pictures))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a trial: label, seed, fold, status and every metric."""
        import pandas as pd

        keys = ("id", "loss", "label", "kind", "seed", "fold", "status", "reason", "threshold", "best_step")
        return pd.DataFrame([{**{key: t[key] for key in keys}, **t["metrics"]} for t in self.trials])


def open_run(path: str | Path) -> Run:
    """Read a finished run from its folder.

    Raises:
        InputError: The folder holds no results, or results of another schema.
    """
    folder = Path(path)
    file = folder if folder.is_file() else folder / "results.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(str(p.parent) for p in folder.glob("*/results.json")) if folder.is_dir() else []
        hint = f"it holds the runs {', '.join(known)}" if known else "name the folder that `faceexp run` printed"
        raise InputError(Problem(f"holds no results.json; {hint}", str(path))) from None
    except (OSError, ValueError) as error:
        raise InputError(Problem(f"cannot be read as results: {error}", str(file))) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(Problem(f"is not results of schema {SCHEMA}; run the experiment again", str(file)))
    return Run(file.parent, document)


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read several finished runs.

    Raises:
        InputError: With what is wrong with each of them.
    """
    found: list[Run] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            found.append(open_run(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def compare_runs(runs: Sequence[Run], metric: str = "accuracy") -> dict[str, Any]:
    """Return runs side by side as JSON data: differences of their experiment files, values, tests; see ``comparison``.

    Raises:
        InputError: The experiment file of a run is lost or damaged.
    """
    from faceexp.comparison import side_by_side
    from faceexp.evaluation import HIGHER_IS_BETTER
    from faceexp.results import plain

    specs: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for run in runs:
        try:
            specs.append(spec.read(run.folder / "spec.toml").data)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    names = [run.document["name"] for run in runs]
    if len(set(names)) < len(names):  # the folder's name ends in the experiment's digest
        names = [run.folder.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    found = side_by_side(names, specs, [r.document for r in runs], metric, higher=HIGHER_IS_BETTER[metric])
    return cast("dict[str, Any]", plain(found))


def read_json(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file; nothing where it is lost, since reports and cards can do without."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _finish(trained: TrainedTrial, folder: Path, plan: Plan, store: Store) -> TrialResult:
    """Measure a trial and write what belongs to it: its JSON, its pictures, and its model with the threshold."""
    from faceexp.results import measure, plain, written

    measured = measure(trained, plan, store)
    result = measured.result
    beside = {"evidence": measured.evidence, "calibration": measured.calibration}
    write_text(folder / "trials" / f"{result.id}.json", written(plain(result) | beside))
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
        write_text(model / "calibration.json", written(calibration))
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
