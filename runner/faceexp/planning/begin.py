"""From a folder of photos to an experiment file: which data set reads it, what the photos are like, what to write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from faceexp.errors import InputError, Problem
from faceexp.planning.build import build_data
from faceexp.planning.photos import look
from faceexp.planning.suggest import Suggestion, suggest
from faceexp.registry.installed import BrokenPluginError, ConfiguredPlugin, Registry, discover


def begin(folder: Path, file: Path, name: str, on_progress: Callable[[int, int], None]) -> Suggestion:
    """Look at a folder of photos and return an experiment file for it.

    Args:
        folder: The photos.
        file: Where the file will lie; a folder beside or below it is named as seen from there.
        name: The name of the experiment.
        on_progress: Is called with how many photos were looked at, and of how many.

    Raises:
        InputError: The folder is not laid out as it has to be, or holds too little; every mistake at once.
    """
    registry = discover()
    try:
        data = build_data(_reading(folder.absolute(), registry))
    except InputError as error:
        raise InputError([*error.problems, *_people_lie_deeper(folder)]) from error
    photos = look(data, on_progress)
    return suggest(photos, name, _reading(_seen_from(file, folder), registry), registry)


def _people_lie_deeper(folder: Path) -> Iterator[Problem]:
    """Yield a hint where the folders of people lie in the one folder that is there."""
    with contextlib.suppress(OSError):
        inside = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        if len(inside) == 1 and sum(path.is_dir() for path in inside[0].iterdir()) > 1:
            yield Problem("holds several folders; if these are people, name this one", str(inside[0]))


def _seen_from(file: Path, folder: Path) -> Path:
    """Return the path of a folder from where a file lies, if it lies below; so both can be moved together."""
    place, here = folder.absolute().resolve(), file.absolute().parent.resolve()
    return place.relative_to(here) if place.is_relative_to(here) else place


def _reading(folder: Path, registry: Registry) -> ConfiguredPlugin:
    """Return the first suggested data set, with the folder as its one option that is required."""
    for name in registry.names("dataset"):
        try:
            cls = registry.find("dataset", name).load()
        except (InputError, BrokenPluginError):
            continue
        required = [key for key, field in cls.model_fields.items() if field.is_required()]
        if cls.suggested and len(required) == 1:
            return registry.configure("dataset", name, {required[0]: folder.as_posix()})
    raise InputError("no data set that reads a folder of photos is installed; install one")
