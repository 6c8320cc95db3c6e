"""What stands beside an exported network: where it comes from, in its calibration, README and model card."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from faceexp.data.images import shape
from faceexp.errors import InputError, Problem
from faceexp.experiment import parse, toml
from faceexp.experiment.schema import Experiment
from faceexp.registry.installed import BrokenPluginError, discover
from faceexp.report.columns import COLUMNS, written
from faceexp.run import open_run, read_json
from faceexp.serving.model import FaceModel

# What each format is called in a folder; see faceexp.serving.runtimes.
FILES = {"onnx": "model.onnx", "tflite": "model.tflite", "keras": "model.keras", "saved_model": "saved_model"}


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


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of everything in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def describe(model: FaceModel, made: Path, folder: str, deviations: Mapping[str, float]) -> None:
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
        loader=jinja2.PackageLoader("faceexp.serving"),
        autoescape=False,  # noqa: S701 - it writes Python, not HTML
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
        "sizes": {FILES[name]: f"{size_of(made / FILES[name]) / 1e6:.1f} MB" for name in deviations},
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
    surroundings = read_json(run / "environment.json")
    named = _from_spec(run / "spec.toml", model.label, surroundings.get("plugins") or [])
    if not (run / "results.json").is_file():  # it was interrupted
        return Origin(trial=model.folder.resolve().name, **named)
    document = open_run(run).document
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
        experiment, _, _ = parse.parse(toml.read(file))
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
