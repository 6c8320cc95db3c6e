"""Paths of an experiment: relative to the file that names them; those of ``--set``, to the current directory.

Which options of a plugin are paths, their types say. Here they become absolute, so that what is written of the
experiment, and whoever works on it in another folder, means the same files. Nothing is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from faceexp.errors import InputError, Problem, near
from faceexp.experiment.detect import Detect
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.messages import backslash_hint
from faceexp.experiment.protocol import PARTS, Protocol
from faceexp.experiment.references import Reference, shared_by
from faceexp.experiment.schema import Experiment, Finetune, Preprocess, Pretrain
from faceexp.experiment.sets import SetEntry
from faceexp.experiment.toml import Document
from faceexp.files import at_home
from faceexp.registry.installed import BrokenPluginError, Registry
from faceexp.registry.path_options import Wanted, path_options

T = TypeVar("T")
# Keys of [protocol] that are files.
OF_PROTOCOL = ("path", "template_list", *PARTS)
OF_SETS = ("path", "template_list")


@dataclass(frozen=True)
class Paths:
    """The paths of one file."""

    document: Document
    registry: Registry

    def of_reference(self, reference: Reference) -> Reference:
        """Return a place that names a plugin, with absolute paths."""
        options = self._options(reference.kind, reference.name, reference.options, reference.path)
        return replace(reference, options=options)

    def of_experiment(self, experiment: Experiment) -> Experiment:
        """Return the experiment with absolute paths; the labels of its losses stay as they are."""
        dataset = experiment.dataset
        dataset = dataset.model_copy(
            update={"options": self._options("dataset", dataset.plugin, dataset.options, ("dataset",))}
        )
        model = experiment.model
        if model:
            options = self._options("model", model.plugin, model.options, ("model",))
            model = model.model_copy(update={"options": options})
        pretrained = tuple(
            row.model_copy(
                update={"options": self._options("model", row.plugin, row.options, ("pretrained", row.index))}
            )
            for row in experiment.pretrained
        )
        trackers = tuple(
            each.model_copy(
                update={"options": self._options("tracker", each.plugin, each.options, ("trackers", number))}
            )
            for number, each in enumerate(experiment.trackers)
        )
        executor = experiment.executor
        if executor:
            options = self._options("executor", executor.plugin, executor.options, ("executor",))
            executor = executor.model_copy(update={"options": options})
        losses = tuple(
            loss.model_copy(
                update={
                    "options": {}
                    if loss.combine
                    else self._options("loss", loss.plugin, loss.options, ("losses", loss.index)),
                    "combine": tuple(
                        part.model_copy(update={"options": self._options("loss", part.plugin, part.options, place)})
                        for number, part in enumerate(loss.combine)
                        for place in [("losses", loss.index, "combine", number)]
                    ),
                    "pretrain": self._pretrain(loss.pretrain, ("losses", loss.index)),
                    "finetune": self._finetune(loss.finetune, ("losses", loss.index)),
                }
            )
            for loss in experiment.losses
        )
        return experiment.model_copy(
            update={
                "dataset": dataset,
                "preprocess": self._preprocess(experiment.preprocess),
                "test_sets": tuple(self._set(entry, place) for place, entry in enumerate(experiment.test_sets)),
                "model": model,
                "protocol": self._protocol(experiment.protocol),
                "pretrain": self._pretrain(experiment.pretrain, ()),
                "finetune": self._finetune(experiment.finetune, ()) if experiment.finetune else None,
                "pretrained": pretrained,
                "trackers": trackers,
                "executor": executor,
                "losses": losses,
            }
        )

    def missing(self, references: list[Reference]) -> Iterator[tuple[KeyPath, Problem]]:
        """Yield where a file or folder is named that does not exist, and what to tell.

        Args:
            references: As the file has them.
        """
        for reference in references:
            for name, wanted in self._path_options(reference.kind, reference.name).items():
                value = reference.options.get(name)
                yield from self._missing(value, wanted, self._place(reference.path, name, value))
        protocol = self.document.data.get("protocol")
        lists = {key: protocol.get(key) for key in OF_PROTOCOL} if isinstance(protocol, dict) else {}
        for key, value in lists.items():
            yield from self._missing(value, "file", ("protocol", key))
        sets = self.document.data.get("test_sets")
        for number in range(len(sets) if isinstance(sets, list) else 0):
            for key in OF_SETS:
                place: KeyPath = ("test_sets", number, "protocol", key)
                yield from self._missing(_at(self.document.data, place), "file", place)

    def _missing(self, value: object, wanted: Wanted, place: KeyPath) -> Iterator[tuple[KeyPath, Problem]]:
        for inner, text in _texts(value):
            path = Path(self._absolute(text, (*place, *inner)))
            there = _kind_of(path)
            if wanted in ("anything", there) or not text:
                continue
            message = f"{path} is no {'ordinary ' if wanted == 'file' else ''}{wanted}"
            message = message if there else f"no such {wanted}: {path}"
            hint = self._hint(text, path, (*place, *inner), look_beside=not there)
            yield (*place, *inner), self.document.problem((*place, *inner), f"{message}{'; ' + hint if hint else ''}")

    def _hint(self, text: str, path: Path, place: KeyPath, *, look_beside: bool) -> str:
        if hint := backslash_hint(text):
            return hint
        here = Path(at_home(text)).absolute()
        if here != path and _kind_of(here):
            # Until a while ago all paths were relative to the current directory.
            spelled = Path(_between(here, self.document.folder)).as_posix()
            return f'paths are relative to the folder of the file that names them; for {here} write "{spelled}"'
        if not look_beside:
            return ""
        base = "the current directory" if self._is_set(place) else "the folder of the file that names them"
        return near(path) or ("" if Path(at_home(text)).is_absolute() else f"paths are relative to {base}")

    def _options(self, kind: str, name: str, options: TomlTable, path: KeyPath) -> TomlTable:
        of_paths = self._path_options(kind, name)
        return {
            key: self._completed(value, self._place(path, key, value)) if key in of_paths else value
            for key, value in options.items()
        }

    def _finetune(self, finetune: Finetune, path: KeyPath) -> Finetune:
        sampler = finetune.sampler
        options = self._options("sampler", sampler.plugin, sampler.options, (*path, "finetune", "sampler"))
        return finetune.model_copy(update={"sampler": sampler.model_copy(update={"options": options})})

    def _pretrain(self, pretrain: Pretrain, path: KeyPath) -> Pretrain:
        loss = pretrain.loss
        if loss is None:
            return pretrain
        options = self._options("loss", loss.plugin, loss.options, (*path, "pretrain", "loss"))
        return pretrain.model_copy(update={"loss": loss.model_copy(update={"options": options})})

    def _preprocess(self, preprocess: Preprocess) -> Preprocess:
        return preprocess.model_copy(update={"detect": self._detect(preprocess.detect, ("preprocess", "detect"))})

    def _detect(self, detect: T, path: KeyPath) -> T:
        if not isinstance(detect, Detect):
            return detect
        options = self._options("detector", detect.plugin, detect.options, path)
        return detect.model_copy(update={"options": options})

    def _protocol(self, protocol: Protocol) -> Protocol:
        given = {key: getattr(protocol, key) for key in OF_PROTOCOL}
        return protocol.model_copy(
            update={key: self._completed(value, ("protocol", key)) for key, value in given.items() if value}
        )

    def _set(self, entry: SetEntry, number: int) -> SetEntry:
        path: KeyPath = ("test_sets", number)
        options = self._options("dataset", entry.dataset.plugin, entry.dataset.options, (*path, "dataset"))
        files = {key: self._completed(getattr(entry.protocol, key), (*path, "protocol", key)) for key in OF_SETS}
        return entry.model_copy(
            update={
                "dataset": entry.dataset.model_copy(update={"options": options}),
                "protocol": entry.protocol.model_copy(update=files),
                "detect": self._detect(entry.detect, (*path, "detect")),
            }
        )

    def _path_options(self, kind: str, name: str) -> dict[str, Wanted]:
        try:
            return path_options(self.registry.find(kind, name).load())
        except (InputError, BrokenPluginError):
            return {}  # which is told where the options are checked

    def _place(self, path: KeyPath, key: str, value: object) -> KeyPath:
        """Return where an option of a table is written: there, in the grid, or in the table that it inherits from."""
        data = self.document.data
        varied = _at(data, (*path, "grid", key))
        if isinstance(varied, list) and value in varied:
            return (*path, "grid", key, varied.index(value))
        shared = (*shared_by(path), key)
        return shared if _at(data, (*path, key)) is None and _at(data, shared) is not None else (*path, key)

    def _completed(self, value: Any, place: KeyPath) -> Any:  # noqa: ANN401 - whatever the file says
        if isinstance(value, list | tuple):
            return type(value)(self._completed(item, (*place, index)) for index, item in enumerate(value))
        # What is empty is no path; the option says so.
        return self._absolute(value, place) if isinstance(value, str) and value else value

    def _absolute(self, text: str, place: KeyPath) -> str:
        base = Path() if self._is_set(place) else self.document.folder
        path = (base / at_home(text)).absolute()
        plain = os.path.normpath(path)
        # A ".." behind a link leads elsewhere than its text says; then the path stays as it is.
        return plain if os.path.realpath(plain) == os.path.realpath(path) else str(path)

    def _is_set(self, place: KeyPath) -> bool:
        return any(place[: len(path)] == path for path in self.document.overrides)


def _kind_of(path: Path) -> str:
    """Return whether a path leads to a file, a folder or something else; nothing where it leads nowhere."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def _texts(value: object) -> Iterator[tuple[KeyPath, str]]:
    """Yield the texts of an option, which is one or a list of them, each with its place inside."""
    if isinstance(value, str):
        yield (), value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from (((index, *inner), text) for inner, text in _texts(item))


def _at(data: Any, place: KeyPath) -> object:  # noqa: ANN401 - data of TOML
    for part in place:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _between(path: Path, folder: Path) -> str:
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        return str(path)
