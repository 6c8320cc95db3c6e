"""The experiment that measures one model on one data set: what ``faceexp evaluate MODEL`` runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_origin

import tomli_w
from pydantic import ValidationError

from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.detectors import with_its_files
from faceexp.errors import InputError, Problem, near
from faceexp.experiment.detect import inheriting
from faceexp.experiment.messages import explain, mistakes
from faceexp.experiment.schema import Preprocess
from faceexp.registry.installed import BrokenPluginError, InstalledPlugin, Registry, discover
from faceexp.registry.path_options import path_options
from faceexp.results.folder import ModelFolder, RunFolder
from faceexp.results.model_schema import ModelRecord
from faceexp.serving.find import choose
from faceexp.serving.trunk import trunk_plugin

# How many ways to deal people to parts a data set is measured with: what tells which embedding may be the best.
SEEDS = (0, 1, 2, 3, 4)
# What stands for a detector where images are crops already.
CROPS = "none"


@dataclass(frozen=True)
class _Row:
    """What a table ``[[pretrained]]`` says of a model, how photos become its pixels, and whether they are mirrored."""

    plugin: str
    options: Mapping[str, Any]
    label: str = ""
    distance: str = "cosine"
    preprocess: Preprocess | None = None
    flip: bool = False


def experiment_of(
    model: str,
    dataset: str,
    place: Path | None,
    protocol: Mapping[str, object],
    seeds: tuple[int, ...] = SEEDS,
    detector: str | None = None,
) -> str:
    """Return the text of an experiment file that measures a model that exists.

    Args:
        model: A file that a model plugin opens, such as ``arcface.onnx``; or a run, ``RUN:label``, or a folder that was
            exported.
        dataset: The name of the plugin of the data set.
        place: Its folder or file, if it takes one.
        protocol: The table ``[protocol]``.
        seeds: Of the splits.
        detector: The plugin that finds faces in the data set, or ``none`` where its images are crops already; without
            one, they are found as in the photos of the model.

    Raises:
        InputError: There is no such model, or no plugin opens it.
    """
    registry = discover()
    row = _row(model, registry)
    preprocess = _as_file_says(row.preprocess or Preprocess(), detector)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{Path(model).stem}-on-{dataset}").strip("-.")[:100]
    table: dict[str, object] = {"plugin": row.plugin, **row.options, "distance": row.distance}
    if row.label:
        table["label"] = row.label
    document: dict[str, object] = {
        "name": name,
        "description": f"How good is {Path(model).name}?",
        "seeds": list(seeds),
        "dataset": {"plugin": dataset} | (_placed(dataset, place, registry) if place else {}),
        "preprocess": preprocess,
        "protocol": dict(protocol),
        "pretrained": [table],
    }
    if row.flip:
        document["evaluation"] = {"flip": True}
    return tomli_w.dumps(document)


def _as_file_says(preprocess: Preprocess, detector: str | None) -> dict[str, object]:
    """Return the table ``[preprocess]``, in which a detector that is named takes the place of that of the model."""
    table = preprocess.model_dump(mode="json", exclude_none=True)
    detect = table.pop("detect", None)
    if detect is not None:
        detect |= detect.pop("options", {})
    if detector is not None:
        detect = None if detector == CROPS else inheriting({"plugin": detector}, detect)
    return table if detect is None else {**table, "detect": detect}


def _placed(dataset: str, place: Path, registry: Registry) -> dict[str, object]:
    """Return the option of a data set that names its folder or file, which is the first of its paths."""
    cls = registry.find("dataset", dataset).load()
    names = list(path_options(cls))
    if not names:
        raise InputError(Problem(f"the data set {dataset!r} takes no path", "--path"))
    is_list = get_origin(cls.model_fields[names[0]].annotation) in (tuple, list)
    return {names[0]: [str(place.absolute())] if is_list else str(place.absolute())}


def _row(model: str, registry: Registry) -> _Row:
    """Return which plugin opens a model, and with which options."""
    path = Path(model)
    if (path.is_dir() and (ModelFolder(path).record.is_file() or RunFolder(path).has_models)) or not path.exists():
        return _of_ours(model, registry)
    return _of_file(path, registry)


def _of_ours(model: str, registry: Registry) -> _Row:
    """Return the row of a model that faceexp has made; its photos are prepared as in training."""
    if not Path(model).exists() and not Path(model.partition(":")[0]).exists():
        raise InputError(Problem(f"no such file or folder; {near(Path(model)) or 'name a file, or a run'}", model))
    folder, _ = choose(model)
    record = folder.read()
    if record.trunk and not folder.has_network:
        plugin = trunk_plugin(folder, record.trunk)
        options = plugin.plugin.model_dump(mode="json", exclude_none=True)
        # A model that is opened as a whole embeds mirror images by itself.
        return replace(_row_of(folder, record, plugin.installed.name, options), flip=record.flip)
    opening = _opening(folder.root, registry)
    if not opening:
        message = "no plugin that is installed opens a model of faceexp; run: pip install faceexp-model-faceexp-model"
        raise InputError(Problem(message, model))
    return _row_of(folder, record, opening[0][0].name, opening[0][1])


def _row_of(folder: ModelFolder, record: ModelRecord, plugin: str, options: Mapping[str, Any]) -> _Row:
    preprocess = record.preprocess
    if preprocess.detect:
        detect = with_its_files(preprocess.detect, folder.root)
        preprocess = preprocess.model_copy(update={"detect": detect})
    return _Row(plugin, options, record.label, record.distance, preprocess)


def _of_file(path: Path, registry: Registry) -> _Row:
    """Return the row of a file or folder that a model plugin opens by its name."""
    opening = _opening(path.absolute(), registry)
    if not opening:
        raise InputError(
            Problem("is no model that an installed plugin opens; see `faceexp list-plugins model`", str(path))
        )
    if len(opening) > 1:
        names = " and ".join(plugin.name for plugin, _ in opening)
        raise InputError(Problem(f"is opened by {names}; write an experiment file with [[pretrained]]", str(path)))
    ((installed, options),) = opening
    try:
        plugin = registry.configure("model", installed.name, options).plugin
    except ValidationError as error:
        raise InputError([Problem(explain(each, []), str(path)) for each in mistakes(error)]) from None
    shape = cast("ModelPlugin | FixedModelPlugin", plugin).image_shape
    return _Row(installed.name, options, preprocess=_preprocess(shape))


def _opening(path: Path, registry: Registry) -> list[tuple[InstalledPlugin, Mapping[str, Any]]]:
    """Return the plugins that open a file or folder, with the options by which they do."""
    opening = []
    for name in registry.names("model"):
        try:
            installed = registry.find("model", name)
            cls = cast("type[ModelPlugin | FixedModelPlugin]", installed.load())
            options = cls.options_for(path)
        except (InputError, BrokenPluginError):
            continue  # a plugin that is broken opens nothing; whoever names it is told
        if options is not None:
            opening.append((installed, options))
    return opening


def _preprocess(shape: tuple[int | None, int | None, int | None] | None) -> Preprocess:
    """Return how photos become the images that a network takes; what it leaves open is as in every experiment."""
    usual = Preprocess()
    height, width, channels = shape or (None, None, None)
    size = (height or usual.size[0], width or usual.size[1])
    return usual.model_copy(update={"size": size, "color": "rgb" if channels == 3 else "gray"})
