"""A trained model in one folder, for others to use: network, preprocessing, threshold, README, model card.

Every converted network is opened again and compared with the Keras file that it comes from.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from faceexp import pipeline, spec
from faceexp.engine.backend import tensorflow
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.experiment import Experiment
from faceexp.images import shape
from faceexp.quiet import silence
from faceexp.registry import BrokenPluginError, discover
from faceexp.report.numbers import COLUMNS, written
from faceexp.serving import FaceModel, find, load_model
from faceexp.serving.networks import network_of

# What each format is called in a folder; see faceexp.serving.networks.
FILES = {"onnx": "model.onnx", "tflite": "model.tflite", "keras": "model.keras", "saved_model": "saved_model"}
NEEDS = {"onnx": ("onnx", "onnxruntime", "tf2onnx")}
# Largest deviation of an embedding that is no mistake of a converter, as a share of the largest value in any of them.
TOLERANCE = 1e-3


class Used(BaseModel):
    """A plugin that a model was made with."""

    model_config = ConfigDict(frozen=True)

    name: str
    options: dict[str, Any] = {}
    distribution: str = ""
    version: str = ""


class Origin(BaseModel):
    """Where a model comes from, as far as it is known; kept in ``calibration.json``, so that it outlives the run.

    Attributes:
        run: Name of the run.
        description: What the run was for.
        spec_hash: Digest of its experiment.
        trial: The trial that ended with this model.
        best_step: The step of phase 2 whose weights were kept.
        protocol: The table ``[protocol]`` of the experiment.
        dataset: Its data set; ``licence`` and ``source`` are those that the installed plugin gives.
        model: Its trunk.
        loss: The loss of the trial.
        embedding_dim: Width of the embedding.
        notes: What the run says of its data.
        parts: Images, people and pairs of the trial's parts.
        metrics: Of the trial, on its test part.
        summary: Mean, interval and number of trials of the label, by metric.
        trials: How many trials the label had, and how many ended well.
        budget: What the label was given.
        warnings: Which budgets were unequal.
        packages: Versions of what trained it.
    """

    model_config = ConfigDict(frozen=True)

    run: str | None = None
    description: str = ""
    spec_hash: str | None = None
    trial: str | None = None
    best_step: int | None = None
    protocol: dict[str, Any] = {}
    dataset: Used | None = None
    licence: str | None = None
    source: str | None = None
    model: Used | None = None
    loss: Used | None = None
    embedding_dim: int | None = None
    notes: tuple[str, ...] = ()
    parts: dict[str, dict[str, int]] = {}
    metrics: dict[str, float | None] = {}
    summary: dict[str, dict[str, Any]] = {}
    trials: tuple[int, int] | None = None
    budget: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    packages: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A folder that was written.

    Attributes:
        folder: Where it lies.
        files: Bytes of each thing in it, by name.
        deviations: By format, the largest difference of an embedding from that of the Keras file, as a share of the
            largest value in any embedding.
    """

    folder: Path
    files: Mapping[str, int]
    deviations: Mapping[str, float]


def export_model(source: str | Path, folder: str | Path, formats: Sequence[str] = ("onnx",)) -> Exported:
    """Write a model into a new folder; where that fails, nothing is left.

    Args:
        source: What :func:`faceexp.serving.load_model` opens, if it holds the Keras file.
        folder: The folder to write, new or empty.
        formats: Of :data:`FILES`, in any order.

    Raises:
        InputError: There is no such model, a package is missing, the folder is in use, or the network has a layer that
            a format lacks.
    """
    chosen = tuple(name for name in FILES if name in formats)
    target = Path(folder).resolve()
    problems = [*_unknown(formats), *_missing(chosen), *_in_the_way(target, str(folder))]
    if problems:
        raise InputError(problems)
    own = find(str(source))
    if not (own / FILES["keras"]).is_file():
        message = "holds no model.keras, which every other format is made from; name the run, or export from there"
        raise InputError(Problem(message, str(own)))
    model = load_model(own)
    # The nearest folder that exists: renaming works within one file system only, and no parent is made in vain.
    anchor = next(place for place in (target, *target.parents) if place.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".faceexp-", dir=anchor) as temporary:
            made = Path(temporary) / "model"
            made.mkdir()
            deviations = _convert(model, chosen, made, Path(temporary) / "work")
            _describe(model, made, target.name, deviations)
            files = {path.name: _size(path) for path in sorted(made.iterdir())}
            _place(made, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            Problem(f"nothing can be written there: {reason}; name a folder of yours", str(folder))
        ) from None
    return Exported(Path(folder), files, deviations)


def _unknown(formats: Sequence[str]) -> list[Problem]:
    problems = [Problem(f"there is no format {name!r}; {did_you_mean(name, FILES)}") for name in formats]
    return [problem for problem, name in zip(problems, formats, strict=True) if name not in FILES]


def _missing(formats: Sequence[str]) -> list[Problem]:
    return [
        Problem(f"the format {name} needs {package}, which is not installed; run: pip install 'faceexp[export]'")
        for name in formats
        for package in NEEDS.get(name, ())
        if importlib.util.find_spec(package) is None
    ]


def _in_the_way(target: Path, folder: str) -> list[Problem]:
    if not target.exists():
        return []
    if not target.is_dir():
        return [Problem("is a file; name a new or an empty folder", folder)]
    if any(target.iterdir()):
        return [Problem("is not empty, and nothing is overwritten; name a new or an empty folder", folder)]
    return []


def _place(made: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
        return
    # A folder that exists may be the working directory, or mounted: it stays. What makes it a model comes last.
    for entry in sorted(made.iterdir(), key=lambda path: path.name == "calibration.json"):
        entry.rename(target / entry.name)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


# Networks


def _convert(model: FaceModel, formats: Sequence[str], made: Path, work: Path) -> dict[str, float]:
    """Write the network in every format; return the deviation of each from the Keras file."""
    given = np.random.default_rng(0).integers(0, 256, (3, *shape(model.preprocess)), dtype=np.uint8)
    deviations = {}
    source = model.folder / FILES["keras"]
    tf = tensorflow()
    with silence(), warnings.catch_warnings():
        # Keras and the converters warn about their own internals; nothing of ours runs in here.
        warnings.simplefilter("ignore")
        try:
            network = tf.keras.models.load_model(source, compile=False, safe_mode=True)
        except Exception as error:  # a damaged file may make it raise anything
            raise InputError(Problem(f"cannot be loaded: {_reason(error)}", str(source))) from error
        expected = np.asarray(network(given.astype(np.float32), training=False))
        for name in formats:
            # Each in a folder of its own, as `network_of` takes the first that it finds.
            alone = work / name
            alone.mkdir(parents=True)
            try:
                _write(name, network, source, alone / FILES[name])
            except Exception as error:  # converters raise anything
                message = f"cannot be converted to {name}: {_reason(error)}; export it to keras or saved_model"
                raise InputError(Problem(message, str(source))) from error
            converted = network_of(alone)
            # In two sizes of batches, either of which a converter may have fixed.
            found = np.concatenate([converted(given[:1]), converted(given[1:])])
            deviations[name] = float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
            if not deviations[name] <= TOLERANCE:
                message = f"{name} gives embeddings that deviate by {deviations[name]:.2g}; export it to keras"
                raise InputError(Problem(message, str(source)))
            (alone / FILES[name]).rename(made / FILES[name])
    return deviations


def _write(name: str, network: Any, source: Path, file: Path) -> None:  # noqa: ANN401 - Keras has no types
    if name == "keras":
        shutil.copyfile(source, file)
    elif name == "onnx":
        network.export(file, format="onnx", verbose=False)
    elif name == "saved_model":
        network.export(file, format="tf_saved_model", verbose=False)
    else:
        with tempfile.TemporaryDirectory() as between:
            network.export(between, format="tf_saved_model", verbose=False)
            file.write_bytes(tensorflow().lite.TFLiteConverter.from_saved_model(between).convert())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


# Descriptions


def _describe(model: FaceModel, made: Path, folder: str, deviations: Mapping[str, float]) -> None:
    """Write what is beside the network: calibration with origin, spec, README, model card."""
    import jinja2

    run = _run_of(model.folder)
    spec_file = (run or model.folder) / "spec.toml"
    origin = _from_run(run, model) if run else _kept(model.calibration.get("origin"))
    exported = {"faceexp": importlib.metadata.version("faceexp"), "deviations": dict(deviations)}
    content = {**model.calibration, "origin": origin.model_dump(mode="json"), "exported": exported}
    (made / "calibration.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if spec_file.is_file():
        shutil.copyfile(spec_file, made / "spec.toml")
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("faceexp", "templates/export"),
        autoescape=False,  # noqa: S701 - it writes Markdown, not HTML
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"line": _line, "count": lambda number: f"{number:,}"}
    height, width = model.preprocess.size
    values = {
        "in_shell": shlex.quote(folder),
        "in_python": json.dumps(folder),
        "label": _line(model.label),
        "origin": origin,
        "calibration": model.calibration,
        "known": model.calibration.get("calibration") or {},
        "preprocess": model.preprocess,
        "height": height,
        "width": width,
        "channels": shape(model.preprocess)[2],
        "distance": model.distance,
        "files": {name: FILES[name] for name in deviations},
        "sizes": {FILES[name]: f"{_size(made / FILES[name]) / 1e6:.1f} MB" for name in deviations},
        "deviations": {name: f"{value:.1g}" for name, value in deviations.items()},
        "has_spec": spec_file.is_file(),
        "version": exported["faceexp"],
        "metrics": _metrics(origin),
    }
    for name in ("README.md", "MODEL_CARD.md"):
        (made / name).write_text(templates.get_template(f"{name}.j2").render(values), encoding="utf-8")


def _line(text: object) -> str:
    """Return a text of others on one line, so that it makes no headings or lists of its own."""
    return " ".join(str(text).split())


def _metrics(origin: Origin) -> list[dict[str, str]]:
    """Return the rows of the table of metrics."""
    rows = []
    for column in COLUMNS:
        value, summary = origin.metrics.get(column.metric), origin.summary.get(column.metric)
        if value is not None or summary:
            rows.append(
                {
                    "heading": column.heading,
                    "own": "-" if value is None else f"{value * column.scale:.{column.digits}f}",
                    "mean": written(summary, column),
                    "better": "higher" if column.higher else "lower",
                    "meaning": column.meaning,
                }
            )
    return rows


def _kept(content: object) -> Origin:
    """Return the origin that an exported folder carries; nothing where it carries none."""
    try:
        return Origin.model_validate(content or {})
    except ValidationError:
        return Origin()


def _run_of(folder: Path) -> Path | None:
    """Return the run that a model lies in, finished or not."""
    inside = folder.resolve()
    run = inside.parent.parent
    return run if inside.parent.name == "models" and (run / "spec.toml").is_file() else None


def _from_run(run: Path, model: FaceModel) -> Origin:
    """Return what a run says of one of its models."""
    surroundings = pipeline.read_json(run / "environment.json")
    named = _from_spec(run / "spec.toml", model.label, surroundings.get("plugins") or [])
    if not (run / "results.json").is_file():  # it was interrupted
        return Origin(trial=model.folder.resolve().name, **named)
    document = pipeline.open_run(run).document
    trial = next((t for t in document["trials"] if t["id"] == model.folder.resolve().name), None)
    if trial is None:
        raise InputError(Problem("its results.json knows no such model; run the experiment again", str(run)))
    label, cell = trial["label"], (trial["seed"], trial["fold"])
    own = [t for t in document["trials"] if t["label"] == label]
    parts: Mapping[str, Any] = next((p for p in document.get("parts") or [] if (p["seed"], p["fold"]) == cell), {})
    budget: Mapping[str, Any] = next((b for b in document.get("budgets") or [] if b["label"] == label), {})
    packages = surroundings.get("packages") or {}
    known = {name: packages[name] for name in ("faceexp", "tensorflow", "keras", "numpy", "pillow") if name in packages}
    return Origin(
        run=document["name"],
        description=document.get("description") or "",
        spec_hash=document["spec_hash"],
        trial=trial["id"],
        best_step=trial["best_step"],
        notes=tuple(document.get("notes") or ()),
        parts={part: parts[part] for part in ("train", "validation", "test") if part in parts},
        metrics=trial["metrics"],
        summary={
            s["metric"]: {"mean": s["mean"], "ci95": s["ci95"], "n": s["n"]}
            for s in document["summary"]
            if s["label"] == label
        },
        trials=(sum(t["status"] == "ok" for t in own), len(own)),
        budget={key: value for key, value in budget.items() if isinstance(value, int)},
        warnings=tuple(document.get("warnings") or ()),
        packages={"python": surroundings["python"], **known} if "python" in surroundings else known,
        **named,
    )


def _from_spec(file: Path, label: str, plugins: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return what the experiment says; nothing where it is lost or of another version."""
    try:
        experiment, _, _ = spec.parse(spec.read(file))
    except InputError:
        return {}
    if experiment is None:
        return {}
    versions = {(plugin["kind"], plugin["name"]): plugin for plugin in plugins}

    def used(kind: str, name: str, options: Mapping[str, Any]) -> Used:
        plugin = versions.get((kind, name), {})
        return Used(
            name=name,
            options=dict(options),
            distribution=plugin.get("distribution", ""),
            version=plugin.get("version", ""),
        )

    entry = next((entry for entry in experiment.losses if entry.label == label), None)
    # Options of a data set are mostly paths, which are of one machine.
    return {
        "protocol": experiment.protocol.model_dump(mode="json", exclude={"path"}, exclude_none=True),
        "dataset": used("dataset", experiment.dataset.plugin, {}),
        "model": used("model", experiment.model.plugin, experiment.model.options),
        "loss": used("loss", entry.plugin, entry.options) if entry else None,
        "embedding_dim": experiment.model.embedding_dim,
        **_terms(experiment),
    }


def _terms(experiment: Experiment) -> dict[str, str]:
    """Return licence and source of the data, which the plugin knows; nothing where it is not installed any more."""
    try:
        plugin: Any = discover().find("dataset", experiment.dataset.plugin).load()
    except (InputError, BrokenPluginError):
        return {}
    return {name: str(getattr(plugin, name)) for name in ("licence", "source") if hasattr(plugin, name)}
