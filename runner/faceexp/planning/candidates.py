"""What a search varies of each loss, and the loss that comes of chosen values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from faceexp.errors import InputError, Problem
from faceexp.experiment import parse
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.ranges import with_values, without
from faceexp.experiment.schema import Experiment, Finetune, LossEntry
from faceexp.experiment.search import Between, Space, suggestion
from faceexp.experiment.toml import Document, spell
from faceexp.planning.paths import Paths
from faceexp.planning.resolve import resolved_loss
from faceexp.registry.installed import BrokenPluginError, Registry
from faceexp.values import ResolvedLoss

# Values by their places inside the table of a loss, as people write them: ``margin``, ``finetune.learning_rate``.
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Dimension:
    """One thing that a search varies of a loss.

    Attributes:
        path: Its place inside the table of the loss.
        space: The values.
        default: What it is where nothing is written; ``None`` where something has to be.
        suggested: Whether the plugin suggests the range, not the file.
    """

    path: KeyPath
    space: Space
    default: object
    suggested: bool

    @property
    def name(self) -> str:
        """How people write it: ``finetune.learning_rate``."""
        return spell(self.path)

    @property
    def holds_default(self) -> bool:
        """Whether the default is among the values."""
        if isinstance(self.space, Between):
            return self.space.holds(self.default)
        return self.default in self.space.choices


@dataclass(frozen=True)
class LossSpace:
    """Everything that a search varies of one loss."""

    index: int
    label: str
    plugin: str
    dimensions: tuple[Dimension, ...]

    @property
    def defaults(self) -> dict[str, object] | None:
        """The default values, if all of them are among those that are searched."""
        if not all(each.holds_default for each in self.dimensions):
            return None
        return {each.name: each.default for each in self.dimensions}


@dataclass(frozen=True)
class Candidates:
    """Makes losses of chosen values.

    Attributes:
        document: The file, with one value in the place of each range.
        written: The ranges of the file.
        registry: The installed plugins.
        experiment: The file, read.
    """

    document: Document
    written: Mapping[KeyPath, Space]
    registry: Registry
    experiment: Experiment

    def spaces(self) -> tuple[LossSpace, ...]:
        """Return what is searched of each loss: ranges of its own table, of [finetune], and what plugins suggest."""
        return tuple(self._space(entry) for entry in self.experiment.losses)

    def _space(self, entry: LossEntry) -> LossSpace:
        table = self.document.data["losses"][entry.index]
        own = {path[2:]: space for path, space in self.written.items() if path[:2] == ("losses", entry.index)}
        shared = {path: space for path, space in self.written.items() if path[0] == "finetune"}
        if "plugin" in table.get("finetune", {}).get("sampler", {}):
            # Another sampler starts from its own defaults.
            shared = {path: space for path, space in shared.items() if path[1] != "sampler"}
        ranges = {path: space for path, space in shared.items() if not _holds(table, path)} | own
        suggested: dict[KeyPath, Space] = {}
        if self.experiment.search and self.experiment.search.suggested:
            suggested = {
                path: space
                for path, space in self._suggestions(entry)
                if not _holds(table, path) and not (path[0] == "finetune" and _holds(self.document.data, path))
            }
        default = self._entry(entry, without(table, [path for path in own if _holds(table, path)]), list(shared))
        every = {**{path: (space, True) for path, space in suggested.items()}}
        every |= {path: (space, False) for path, space in ranges.items()}
        dimensions = [
            Dimension(path, space, self._default(default, path), is_suggested)
            for path, (space, is_suggested) in every.items()
        ]
        return LossSpace(entry.index, entry.label, entry.plugin, tuple(dimensions))

    def _suggestions(self, entry: LossEntry) -> Iterator[tuple[KeyPath, Space]]:
        """Yield the ranges that the plugin of a loss and the core suggest, by their places in the table of the loss."""
        loss = self.registry.find("loss", entry.plugin).load()
        for path, cls in (((), loss), (("finetune",), Finetune)):
            for name, field in cls.model_fields.items():
                extra = field.json_schema_extra
                if isinstance(extra, dict) and "search" in extra:
                    yield (*path, field.alias or name), suggestion(extra["search"])

    def _default(self, entry: LossEntry | None, path: KeyPath) -> object:
        """Return the value that a loss has at a place where nothing is written."""
        if entry is None:
            return None
        if path[0] in ("finetune", "pretrain"):
            value: Any = getattr(entry, str(path[0]))
            if path[:2] == ("finetune", "sampler") and len(path) > 2 and path[2] != "plugin":
                return self._option("sampler", value.sampler.plugin, value.sampler.options, path[2:])
            for part in path[1:]:
                value = getattr(value, str(part), None)
            return value
        return self._option("loss", entry.plugin, entry.options, path)

    def _option(self, kind: str, name: str, options: Mapping[str, Any], path: KeyPath) -> object:
        try:
            value: Any = self.registry.configure(kind, name, options).plugin
        except (InputError, ValidationError, BrokenPluginError):
            return None
        for part in path:
            value = value.get(part) if isinstance(value, dict) else getattr(value, str(part), None)
        return list(value) if isinstance(value, tuple) else value

    def loss(self, space: LossSpace, values: Values) -> ResolvedLoss:
        """Return a loss with some values.

        Raises:
            InputError: Together they are not possible.
        """
        table = self._bare(space)
        paths = {each.name: each.path for each in space.dimensions}
        chosen = with_values(table, {paths[name]: value for name, value in values.items()})
        entry = self._entry(self._written(space), chosen, [])
        if entry is None:
            raise InputError(Problem(f"the values exclude each other: {values}", space.label))
        return resolved_loss(entry, self.registry)

    def default(self, space: LossSpace) -> ResolvedLoss | None:
        """Return the loss at its defaults; nothing where an option has none."""
        if any(each.default is None for each in space.dimensions):
            return None
        entry = self._entry(self._written(space), self._bare(space), [each.path for each in space.dimensions])
        return resolved_loss(entry, self.registry) if entry else None

    def _written(self, space: LossSpace) -> LossEntry:
        return next(entry for entry in self.experiment.losses if entry.index == space.index)

    def _bare(self, space: LossSpace) -> TomlTable:
        """Return the table of a loss without what is searched."""
        table: TomlTable = self.document.data["losses"][space.index]
        return without(table, [each.path for each in space.dimensions if _holds(table, each.path)])

    def _entry(self, written: LossEntry, table: TomlTable, left_out: list[KeyPath]) -> LossEntry | None:
        """Return a loss as it is read from a table; nothing where that is not possible.

        Args:
            written: The loss as the file has it, whose name stays.
            table: Its table.
            left_out: Places of [finetune] at which nothing shall stand.
        """
        shared = [path for path in left_out if path[0] == "finetune" and _holds(self.document.data, path)]
        data = {key: value for key, value in self.document.data.items() if key not in ("test_sets", "pretrained")}
        data = without(data, shared) | {"losses": [{**table, "label": written.label}]}
        document = dataclasses.replace(self.document, data=data)
        experiment, problems, references = parse.parse(document)
        if problems or experiment is None:
            return None
        for reference in references:
            if reference.kind not in ("loss", "sampler"):
                continue
            try:
                self.registry.configure(reference.kind, reference.name, reference.options)
            except (InputError, ValidationError):
                return None
        (entry,) = Paths(self.document, self.registry).of_experiment(experiment).losses
        return entry.model_copy(update={"index": written.index})


def _holds(table: TomlTable, path: KeyPath) -> bool:
    """Return whether something stands at a place of a table."""
    value: Any = table
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True
