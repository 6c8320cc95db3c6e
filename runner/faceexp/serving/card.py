"""What is written beside an exported network: where it comes from, a program that uses it, a README, a model card."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faceexp.data.images import shape
from faceexp.errors import InputError, Problem
from faceexp.evaluation.named import columns_among
from faceexp.experiment import parse, toml
from faceexp.experiment.combined import place_of_option
from faceexp.experiment.lines import KeyPath
from faceexp.experiment.loss_part import LossPart
from faceexp.experiment.protocol import PARTS
from faceexp.experiment.schema import Experiment, Preprocess
from faceexp.registry.installed import BrokenPluginError, discover
from faceexp.registry.path_options import path_options
from faceexp.results.folder import NETWORK_FILES, ModelFolder, RunFolder, run_of
from faceexp.results.jsonable import to_json
from faceexp.results.model_schema import (
    ExportRecord,
    MeanRecord,
    OriginBudgetRecord,
    OriginRecord,
    SummedPluginRecord,
    UsedPluginRecord,
)
from faceexp.results.schema import InstalledPluginRecord, RunRecord
from faceexp.serving.model import FaceModel
from faceexp.serving.program import program
from faceexp.serving.worth import FEWEST_FOR_PROBABILITY

# The model card names the versions of these packages only, because the others hardly change what is trained.
PACKAGES = ("faceexp", "tensorflow", "keras", "numpy", "pillow")

# The packages that open a network without faceexp, by its format.
RUN_BY = {"onnx": "onnxruntime", "tflite": "ai-edge-litert", "keras": "keras tensorflow", "saved_model": "tensorflow"}
# What the names of files begin with that the detector of a model needs.
OF_DETECTOR = "detector-"


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of everything in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def describe(
    model: FaceModel,
    made: ModelFolder,
    folder: str,
    deviations: Mapping[str, float],
    before: UsedPluginRecord | None = None,
) -> None:
    """Write everything that is beside the network: calibration with origin, experiment file, program, README, card.

    Args:
        model: The model that was exported.
        made: The folder to write to.
        folder: The name that this folder will have in the end.
        deviations: By format, the largest difference from the embeddings of what was converted.
        before: What opened the network before it was exported, if a plugin did.
    """
    source = ModelFolder(model.folder)
    run = run_of(source)
    spec_file = run.trained_with if run else source.spec
    origin = _from_run(run, model) if run else model.record.origin or OriginRecord()
    if before and not origin.files:
        origin = origin.model_copy(update={"files": _files(before)})
    exported = ExportRecord(
        faceexp=importlib.metadata.version("faceexp"), deviations=deviations, tested=model.worth.sentence
    )
    preprocess = _with_its_files(model, made)
    # Every key of the origin is written, so that a reader sees what is not known.
    content = {
        # Whoever gets the folder must not be able to find out which photos were used.
        **model.record.model_copy(update={"seen_photos": None, "preprocess": preprocess}).to_jsonable(),
        "origin": origin.model_dump(mode="json"),
        "exported": exported.to_jsonable(),
    }
    made.record.write_text(to_json(content), encoding="utf-8")
    if spec_file.is_file():
        shutil.copyfile(spec_file, made.spec)
    if model.own:
        made.own_threshold.write_text(to_json(model.own), encoding="utf-8")
    trunk = model.record.trunk
    if not trunk:  # a network that a plugin opens needs faceexp
        text = program(type(model.detector) if model.detector else None)
        (made.root / "compare.py").write_text(text, encoding="utf-8")
    height, width = model.preprocess.size
    finding = model.detector.requirements if model.detector else ()
    if trunk:
        packages = ["faceexp", trunk.distribution, *_detector_package(model)]
    else:
        packages = [RUN_BY[next(iter(deviations))], *map(shlex.quote, finding)]
    values = {
        "in_shell": shlex.quote(folder),
        "in_python": json.dumps(folder),
        "label": _line(model.label),
        "origin": origin,
        "record": model.record,
        "calibration": model.record.calibration,
        "threshold": model.deciding.threshold,
        "needs": RUN_BY,
        "packages": " ".join(packages),
        "trunk": trunk,
        "finding": [f"`{package}`" for package in finding],
        "preprocess": model.preprocess,
        "own_files": sorted(path.name for path in made.root.glob(f"{OF_DETECTOR}*")),
        "height": height,
        "width": width,
        "channels": shape(model.preprocess)[2],
        "distance": model.distance,
        "files": {name: NETWORK_FILES[name] for name in deviations},
        "sizes": {NETWORK_FILES[name]: f"{size_of(made.network(name)) / 1e6:.1f} MB" for name in deviations},
        "deviations": {name: f"{value:.1g}" for name, value in deviations.items()},
        "has_spec": spec_file.is_file(),
        "version": exported.faceexp,
        "metrics": _metrics(origin),
        "worth": model.worth,
        "own": model.own,
        "fewest_for_probability": FEWEST_FOR_PROBABILITY,
    }
    for name, template in (
        ("README.md", "README_TRUNK.md" if trunk else "README.md"),
        ("MODEL_CARD.md", "MODEL_CARD.md"),
    ):
        (made.root / name).write_text(written(template, values), encoding="utf-8")


def written(template: str, values: Mapping[str, object]) -> str:
    """Return the text of a page in Markdown, from a template beside this module.

    Args:
        template: Its name, such as ``README.md``.
        values: What stands in it, by name.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("faceexp.serving"),
        autoescape=False,  # noqa: S701 - it writes Markdown, not HTML
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"line": _line, "count": lambda number: f"{number:,}"}
    return templates.get_template(f"{template}.j2").render(values)


def _with_its_files(model: FaceModel, made: ModelFolder) -> Preprocess:
    """Copy the files of the detector into the folder, and return how photos become pixels with these."""
    preprocess, detector = model.preprocess, model.detector
    if preprocess.detect is None or detector is None:
        return preprocess
    copied = {}
    for key in path_options(type(detector)):
        if file := getattr(detector, key):
            source = Path(file).expanduser()
            copied[key] = f"{OF_DETECTOR}{source.name}"
            shutil.copyfile(source, made.root / copied[key])
    detect = preprocess.detect.model_copy(update={"options": {**preprocess.detect.options, **copied}})
    return preprocess.model_copy(update={"detect": detect})


def _detector_package(model: FaceModel) -> list[str]:
    """Return the package of the detector that finds faces for a model, if it has one that is installed."""
    detect = model.preprocess.detect
    if not detect:
        return []
    with contextlib.suppress(InputError):
        return [discover().find("detector", detect.plugin).distribution]
    return []


def _line(text: object) -> str:
    """Return a text that somebody else wrote on one line, so that it cannot make headings or lists."""
    return " ".join(str(text).split())


def _metrics(origin: OriginRecord) -> list[dict[str, str]]:
    """Return the rows of the table of metrics: this model beside the mean of its loss."""
    table = []
    for metric in columns_among({*origin.metrics, *origin.summary}):
        value, summary = origin.metrics.get(metric.key), origin.summary.get(metric.key)
        if value is not None or summary:
            table.append(
                {
                    "heading": metric.heading,
                    "of_model": metric.text(value, None),
                    "mean": metric.text(summary.mean, summary.ci95) if summary else "-",
                    "better": metric.better,
                    "meaning": metric.meaning,
                }
            )
    return table


def _from_run(run: RunFolder, model: FaceModel) -> OriginRecord:
    """Return what a run says about one of its models."""
    environment = run.read_environment()
    trial_id = model.folder.resolve().name
    if not run.results.is_file():  # the run was interrupted
        return OriginRecord(trial=trial_id, **_from_spec(run.trained_with, model.label, environment.plugins, {}))
    results = run.read_results()
    label, defaults = _searched_as(results, model.label)
    from_spec = _from_spec(run.trained_with, label, environment.plugins, defaults)
    trial = next((trial for trial in results.trials if trial.id == trial_id), None)
    if trial is None:
        raise InputError(Problem("its results.json knows no such model; run the experiment again", str(run.root)))
    of_loss = [each for each in results.trials if each.label == trial.label]
    split = next((split for split in results.parts if split.cell == trial.cell), None)
    budget = next((budget for budget in results.budgets if budget.label == trial.label), None)
    packages = {name: environment.packages[name] for name in PACKAGES if name in environment.packages}
    return OriginRecord(
        run=results.name,
        description=results.description,
        spec_hash=results.spec_hash,
        trial=trial.id,
        best_step=trial.best_step,
        notes=results.notes,
        note_kinds=results.note_kinds,
        parts={name: getattr(split, name) for name in PARTS} if split else {},
        metrics=trial.metrics,
        summary={row.metric: MeanRecord.model_validate(row) for row in results.summary if row.label == trial.label},
        trials=(sum(each.status == "ok" for each in of_loss), len(of_loss)),
        budget=OriginBudgetRecord.model_validate(budget) if budget else None,
        warnings=results.warnings,
        packages={"python": environment.python, **packages} if environment.python else packages,
        **from_spec,
    )


def _searched_as(results: RunRecord, label: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the row that the file with the chosen settings has, and the settings that differ from these.

    A search leaves a row with the default settings of a loss beside that with the chosen ones.
    """
    of = next((setting.of for setting in results.settings if setting.label == label and not setting.chosen), None)
    searched = results.search.losses if results.search and of else ()
    return next(((each.label, each.defaults) for each in searched if each.label == of), (label, {}))


def _from_spec(
    file: Path, label: str, plugins: Sequence[InstalledPluginRecord], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the experiment file says, or nothing if it is lost or of another version of faceexp.

    Args:
        file: The experiment file.
        label: The name of the model's row there.
        plugins: The plugins that the run had.
        settings: Values of options that take the place of those in the file.
    """
    try:
        experiment, _, _ = parse.parse(toml.read(file))
    except InputError:
        return {}
    if experiment is None:
        return {}
    installed = {(plugin.kind, plugin.name): plugin for plugin in plugins}

    def used(kind: str, name: str, options: Mapping[str, Any]) -> UsedPluginRecord:
        plugin = installed.get((kind, name))
        return UsedPluginRecord(
            name=name,
            options=options,
            distribution=plugin.distribution if plugin else "",
            version=plugin.version if plugin else "",
        )

    def summed(number: int, part: LossPart) -> SummedPluginRecord:
        def of_part(place: KeyPath, written: object) -> Any:  # noqa: ANN401 - whatever the option is
            return settings.get(toml.spell(("combine", number, *place)), written)

        options = {name: of_part(place_of_option(name), value) for name, value in part.options.items()}
        weight = of_part(("weight",), part.weight)
        return SummedPluginRecord(**vars(used("loss", part.plugin, options)), weight=weight)

    entry = next((entry for entry in experiment.losses if entry.label == label), None)
    given = {name: value for name, value in settings.items() if entry and name in entry.options}
    row = next((row for row in experiment.pretrained if row.label == label), None)
    network = row or experiment.model
    # The options of a data set are left out: most of them are paths, which mean something on one machine only.
    return {
        "protocol": experiment.protocol.model_dump(mode="json", exclude={"path", *PARTS}, exclude_none=True),
        "dataset": used("dataset", experiment.dataset.plugin, {}),
        "model": used("model", network.plugin, _without_paths(network.plugin, network.options)) if network else None,
        "loss": used("loss", entry.name, {**entry.options, **given}) if entry else None,
        "summed": tuple(summed(*each) for each in enumerate(entry.combine)) if entry else (),
        "only_measured": row is not None,
        "embedding_dim": experiment.model.embedding_dim if entry and experiment.model else None,
        "precision": experiment.model.precision if entry and experiment.model else None,
        **_terms(experiment),
    }


def _files(used: UsedPluginRecord) -> dict[str, str | None]:
    """Return the files that a plugin opens, by their names, each with its digest if the options say it."""
    try:
        paths = path_options(discover().find("model", used.name).load())
    except (InputError, BrokenPluginError):
        return {}
    digest = used.options.get("sha256")
    named = [used.options[name] for name in paths if name in used.options]
    return {Path(str(value)).name: digest if len(named) == 1 else None for value in named}


def _without_paths(model: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a model without paths, which mean something on one machine only."""
    try:
        paths = path_options(discover().find("model", model).load())
    except (InputError, BrokenPluginError):
        return options
    return {name: value for name, value in options.items() if name not in paths}


def _terms(experiment: Experiment) -> dict[str, str]:
    """Return licence and source of the data as the plugin states them, or nothing if it is not installed any more."""
    try:
        plugin: Any = discover().find("dataset", experiment.dataset.plugin).load()
    except (InputError, BrokenPluginError):
        return {}
    return {name: str(getattr(plugin, name)) for name in ("licence", "source") if hasattr(plugin, name)}
