"""The text of an experiment file: it is read, overridden by ``--set``, and written; every key has its line."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import tomli_w

from faceexp.errors import MAX_LISTED, InputError, Problem, printable
from faceexp.experiment.decode import NotTomlError, decode, unfit
from faceexp.experiment.detect import USUAL
from faceexp.experiment.lines import KeyPath, TomlTable, locate
from faceexp.experiment.messages import cut, short
from faceexp.experiment.overrides import Override, apply
from faceexp.experiment.schema import Experiment, LossEntry
from faceexp.files import read_input

MAX_FILE_BYTES = 1_000_000
# Letters of a file's name in messages.
MAX_NAME = 300


@dataclass(frozen=True)
class Document:
    """A TOML file as it was read.

    Attributes:
        name: Name of the file, as messages give it.
        text: Its text.
        data: Its content, with ``--set`` overrides applied.
        overrides: What ``--set`` has given.
        folder: The folder of the file, to which the paths in it are relative.
    """

    name: str
    text: str
    data: TomlTable
    overrides: Mapping[KeyPath, Override] = field(default_factory=dict)
    folder: Path = Path()

    def without(self, tables: Collection[str]) -> Document:
        """Return the file as if it had no such tables."""
        data = {key: value for key, value in self.data.items() if key not in tables}
        return replace(self, data=data, overrides={k: v for k, v in self.overrides.items() if k[0] not in tables})

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return locate(self.text)

    def where(self, path: KeyPath) -> str:
        """Return ``file:line`` of a key, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]].place
            if path[:end] in self._lines:
                return f"{self.name}:{self._lines[path[:end]]}"
            for key, override in self.overrides.items():
                if key[:end] == path[:end]:
                    return override.place
        return self.name

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem at a key of this file: ``file:line: losses[2].margn: message``."""
        prefix = f"{spell(path)}: " if path else ""
        return Problem(prefix + message, self.where(path))


def spell(path: KeyPath) -> str:
    """Write a path as people do: ``("losses", 2, "margin")`` becomes ``losses[2].margin``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A key that TOML writes in quotes is shown in quotes.
            key = part if re.fullmatch(r"[\w-]{1,60}", part) else short(part)
            text += f".{key}" if text else key
    return text


def read(path: str | bytes | os.PathLike[str], overrides: tuple[str, ...] = ()) -> Document:
    """Read a TOML file and apply ``key.path=value`` overrides.

    Raises:
        InputError: The file is missing, no ordinary file, not text, too large or not TOML; an override is not
            ``key=value``.
    """
    file = Path(os.fsdecode(path))
    # The end of a long path says more than its beginning.
    whole = str(file)
    name = cut(printable(whole if len(whole) <= MAX_NAME else f"...{whole[-MAX_NAME:]}"), 2 * MAX_NAME)
    try:
        raw = read_input(file, MAX_FILE_BYTES, "an experiment is a TOML file")
    except InputError as error:
        raise InputError([Problem(problem.message, name) for problem in error.problems]) from None
    try:
        # Some editors put a byte order mark in front.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(Problem(f"is not UTF-8 text (byte {error.start}); save it as UTF-8", name)) from None
    return parse_text(text, name, overrides, file.absolute().parent)


def parse_text(text: str, name: str, overrides: tuple[str, ...] = (), folder: Path = Path()) -> Document:
    """Parse TOML text; see :func:`read`."""
    # TOML allows both line ends; counting lines is simpler with one.
    text = text.replace("\r\n", "\n")
    try:
        data = decode(text)
    except NotTomlError as error:
        raise InputError(Problem(error.message, f"{name}:{error.line}")) from None
    document = Document(name, text, data, apply(data, overrides), folder)
    problems = [document.problem(path, message) for path, message in itertools.islice(unfit(data), MAX_LISTED)]
    if problems:
        raise InputError(problems)
    return document


def dump(experiment: Experiment) -> str:
    """Return the resolved experiment as TOML that :func:`read` takes again: grids spelled out, defaults filled in."""
    return tomli_w.dumps(as_table(experiment))


def as_table(experiment: Experiment) -> TomlTable:
    """Return the resolved experiment as the data of such a file."""
    data = experiment.model_dump(mode="json", exclude={"losses"}, exclude_none=True)
    tables = [
        data["dataset"],
        *data.get("pretrained", ()),
        *data.get("trackers", ()),
        data.get("executor", {}),
        data["preprocess"].get("detect", {}),
    ]
    tables += [data["model"]] if "model" in data else []
    tables += [data["finetune"]["sampler"]] if "finetune" in data else []
    tables += [data["pretrain"]["loss"]] if "loss" in data["pretrain"] else []
    for table in tables:
        table.update(table.pop("options", {}))
    for entry in data.get("test_sets", ()):
        entry["dataset"].update(entry["dataset"].pop("options"))
        if isinstance(entry.get("detect"), dict):
            # Without its name, the detector would be that of [preprocess.detect] when the file is read again.
            entry["detect"] = {"plugin": USUAL, **entry["detect"], **entry["detect"].get("options", {})}
            entry["detect"].pop("options", None)
    losses = []
    for entry in experiment.losses:
        loss = _of_loss(entry)
        if entry.setting_of:
            loss["setting_of"] = entry.setting_of
        if entry.pretrain != experiment.pretrain:
            loss["pretrain"] = entry.pretrain.model_dump(mode="json", exclude_none=True)
            if classifier := loss["pretrain"].get("loss"):
                classifier.update(classifier.pop("options"))
        if entry.finetune != experiment.finetune:
            loss["finetune"] = entry.finetune.model_dump(mode="json", exclude_none=True)
            sampler = loss["finetune"]["sampler"]
            sampler.update(sampler.pop("options"))
        losses.append(loss)
    return {**data, **({"losses": losses} if losses else {})}


def _of_loss(entry: LossEntry) -> TomlTable:
    """Return what a file says of a loss, or of a sum of several, beside how it is trained."""
    if not entry.combine:
        return {"plugin": entry.plugin, "label": entry.label, **entry.options}
    distance = {"distance": entry.distance} if entry.distance else {}
    return {"label": entry.label, "combine": [part.as_written for part in entry.combine], **distance}
