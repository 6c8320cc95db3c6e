"""Detectors made ready before any thread asks them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from faceexp.contract import DetectorPlugin
from faceexp.errors import InputError, Problem
from faceexp.experiment.detect import Detect
from faceexp.experiment.messages import explain, mistakes
from faceexp.registry.guard import PluginFaultError, ask
from faceexp.registry.installed import BrokenPluginError, ConfiguredPlugin, discover
from faceexp.registry.path_options import path_options

# Where it is said which detector is wanted.
TABLE = "[preprocess.detect]"


def ready(configured: ConfiguredPlugin | None, columns: Collection[str] = ()) -> DetectorPlugin | None:
    """Return a detector that has imported and opened all that it needs; nothing where an experiment has none.

    Args:
        configured: The detector of the experiment.
        columns: Which columns there are of the photos that it is to search.

    Raises:
        InputError: Something that it needs is missing: a package, a file, or a column of the data.
    """
    if configured is None:
        return None
    detector = cast("DetectorPlugin", configured.plugin)
    lacking = [column for column in detector.columns if column not in columns]
    if lacking:
        message = (
            f"{configured.installed} finds nothing by itself, but takes the column {lacking[0]!r} of the data set, "
            "which has none; name a data set that gives it, or another detector"
        )
        raise InputError(Problem(message, TABLE))
    prepare(configured)
    return detector


def prepare(configured: ConfiguredPlugin) -> None:
    """Let a detector import and open all that it needs.

    Raises:
        InputError: Something of that is missing, or the plugin is at fault.
    """
    try:
        ask(cast("DetectorPlugin", configured.plugin).prepare)
    except PluginFaultError as fault:
        if isinstance(fault.__cause__, InputError):
            told = [Problem(problem.message, problem.where or TABLE) for problem in fault.__cause__.problems]
            raise InputError(told) from None
        raise BrokenPluginError.by(configured.installed, fault, "prepare() raises ").as_input_error() from fault


def ready_for(detect: Detect | None, folder: Path) -> DetectorPlugin | None:
    """Return the detector of a model, made ready; nothing where its photos are taken whole. See :func:`of_model`."""
    if detect is None:
        return None
    configured = of_model(detect, folder)
    prepare(configured)
    return cast("DetectorPlugin", configured.plugin)


def of_model(detect: Detect, folder: Path) -> ConfiguredPlugin:
    """Return the detector that a model's photos were cropped with.

    Args:
        detect: As the record of the model has it; options that are paths may be relative to its folder.
        folder: The folder of the model.

    Raises:
        InputError: It is not installed, or a file of its own is missing or another one.
    """
    registry = discover()
    try:
        return registry.configure("detector", detect.plugin, with_its_files(detect, folder).options)
    except BrokenPluginError as error:
        raise error.as_input_error() from error
    except ValidationError as error:
        told = [(".".join(map(str, mistake["loc"])), explain(mistake, [])) for mistake in mistakes(error)]
        where = f"{folder}: detector {detect.plugin!r}"
        raise InputError([Problem(f"{key}: {why}" if key else why, where) for key, why in told]) from error
    except InputError as error:
        why = "the photos of this model are cropped to the face"
        raise InputError([Problem(f"{why}; {problem.message}", str(folder)) for problem in error.problems]) from error


def with_its_files(detect: Detect, folder: Path) -> Detect:
    """Return how the faces of a model's photos are found, with the files of its detector where they are.

    Raises:
        InputError: The detector is not installed, or there is no such file.
    """
    of_paths = path_options(discover().find("detector", detect.plugin).load())
    options = {key: str(folder / value) if key in of_paths else value for key, value in detect.options.items()}
    for key in of_paths:
        file = str(options.get(key, ""))
        if file and not Path(file).expanduser().exists():
            raise InputError(f"the detector {detect.plugin!r} needs the file {file}, which is not there; put it back")
    return detect.model_copy(update={"options": options})
