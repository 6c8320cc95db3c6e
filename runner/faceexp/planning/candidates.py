"""What a search varies of each loss and of what all share, and the losses and trunks that come of chosen values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from faceexp.errors import InputError, Problem
from faceexp.experiment import parse
from faceexp.experiment.combined import place_of_option
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.ranges import PHASE1, representative, with_values, without
from faceexp.experiment.schema import Experiment, Finetune, LossEntry
from faceexp.experiment.search import Between, Space, suggestion
from faceexp.experiment.toml import Document
from faceexp.planning.dimensions import Dimension, LossSpace, Varied
from faceexp.planning.issues import UnplannableError
from faceexp.planning.paths import Paths
from faceexp.planning.resolve import resolve, resolved_loss
from faceexp.registry.installed import BrokenPluginError, Registry
from faceexp.values import Resolved, ResolvedLoss

# Values by what people call them: ``margin``, ``finetune.learning_rate``.
Values = Mapping[str, Any]
# What a search of the trunk and of phase 1 is called.
OF_PHASE1 = "phase 1"
# Where the table of a loss stands in a file that has this loss alone.
ALONE: KeyPath = ("losses", 0)


@dataclass(frozen=True)
class Candidates:
    """Makes losses and trunks of chosen values.

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
        """Return what is searched of each loss: ranges of its own table, of [finetune], and what plugins suggest.

        Raises:
            InputError: A plugin suggests something that is no range.
        """
        return tuple(self._space(entry) for entry in self.experiment.losses)

    def phase1(self) -> Varied | None:
        """Return what is searched of the trunk and of phase 1, which all losses share; nothing without such a range."""
        ranges = {path: space for path, space in self.written.items() if path[0] in PHASE1}
        if not ranges:
            return None
        data = self.document.data
        needed = {path for path in ranges if not self._is_possible(without(data, [path]))}
        bare = without(data, ranges.keys() - needed)
        experiment, problems, _ = parse.parse(dataclasses.replace(self.document, data=bare))
        usual = None if problems else experiment
        dimensions = []
        for path, space in ranges.items():
            known = Dimension(path, path, space, self._default(usual, path), is_needed=path in needed)
            known = _with_fractions(known, lambda values: self._is_possible(with_values(data, values)))
            dimensions.append(_with_first_choice(known))
        return Varied(OF_PHASE1, tuple(sorted(dimensions, key=lambda each: each.name)))

    def _is_possible(self, data: TomlTable) -> bool:
        """Return whether data of a file have all that has to be written."""
        _, problems, references = parse.parse(dataclasses.replace(self.document, data=data))
        try:
            for reference in references:
                self.registry.configure(reference.kind, reference.name, reference.options)
        except (InputError, ValidationError, BrokenPluginError):
            return False
        return not problems

    def with_phase1(self, resolved: Resolved, space: Varied, values: Values) -> tuple[Candidates, Resolved]:
        """Return candidates and experiment with values of the trunk and of phase 1 in the place of ranges.

        Args:
            resolved: The experiment with any values in these places.
            space: These ranges.
            values: A value of each, by its name.

        Raises:
            InputError: Together they are not possible.
        """
        places = {each.place: values[each.name] for each in space.dimensions}
        document = dataclasses.replace(self.document, data=with_values(self.document.data, places))
        experiment, problems, _ = parse.parse(document)
        if problems or experiment is None:
            raise InputError(problems or [Problem("the values exclude each other", OF_PHASE1)])
        whole = Paths(document, self.registry).of_experiment(experiment)
        labels = {entry.label for entry in self.experiment.losses}
        changes = {
            "model": whole.model,
            "pretrain": whole.pretrain,
            "losses": tuple(entry for entry in whole.losses if entry.label in labels),
        }
        experiment = self.experiment.model_copy(update=changes)
        try:
            changed = resolve(experiment, self.registry)
        except (UnplannableError, ValidationError) as error:
            raise InputError(Problem(" ".join(str(error).split()), OF_PHASE1)) from error
        except BrokenPluginError as error:
            raise error.as_input_error() from error
        written = {path: space for path, space in self.written.items() if path[0] not in PHASE1}
        # The lists that were read stay; they have nothing to do with the trunk.
        resolved = dataclasses.replace(
            resolved, experiment=changed.experiment, model=changed.model, losses=changed.losses
        )
        return Candidates(document, written, self.registry, experiment), resolved

    def _space(self, entry: LossEntry) -> LossSpace:
        table = self.document.data["losses"][entry.index]
        own = {path[2:]: space for path, space in self.written.items() if path[:2] == ("losses", entry.index)}
        shared = {path: space for path, space in self.written.items() if path[0] == "finetune"}
        if "plugin" in _at(table, ("finetune", "sampler"), {}):
            # Another sampler starts from its own defaults.
            shared = {path: space for path, space in shared.items() if path[1] != "sampler"}
        shared = {path: space for path, space in shared.items() if not _holds(table, path)}
        suggested: dict[KeyPath, Space] = {}
        if self.experiment.search and self.experiment.search.suggested:
            suggested = {
                path: space
                for path, space in self._suggestions(entry)
                if not _holds(table, path) and not (path[0] == "finetune" and _holds(self.document.data, path))
            }
        bare = [
            *(Dimension(path, (*ALONE, *path), space, None, suggested=True) for path, space in suggested.items()),
            *(Dimension(path, path, space, None) for path, space in shared.items()),
            *(Dimension(path, (*ALONE, *path), space, None) for path, space in own.items()),
        ]
        # In one order, whether a range stands in the file or is suggested.
        bare = sorted(bare, key=lambda each: each.name)
        return LossSpace(entry.label, self._with_defaults(entry, bare), entry.index, entry.name)

    def _with_defaults(self, entry: LossEntry, dimensions: list[Dimension]) -> tuple[Dimension, ...]:
        """Return dimensions with their defaults, and with all numbers between two ends where an option takes them."""
        needed = {each.place for each in dimensions if self._entry(entry, {}, [each.place]) is None}
        usual = self._entry(entry, {}, [each.place for each in dimensions if each.place not in needed])
        whole = []
        for each in dimensions:
            default = self._default_of_loss(usual, each.path)
            known = dataclasses.replace(each, default=default, is_needed=each.place in needed)
            known = _with_fractions(known, lambda values: self._entry(entry, values, []) is not None)
            whole.append(_with_first_choice(known))
        return tuple(whole)

    def _suggestions(self, entry: LossEntry) -> Iterator[tuple[KeyPath, Space]]:
        """Yield the ranges that plugins of a loss and the core suggest, by their places in the table of the loss."""
        for number, part in enumerate(entry.parts):
            loss = self.registry.find("loss", part.plugin).load()
            for name, space in _suggested(loss, f"loss {part.plugin!r}"):
                yield ("combine", number, *place_of_option(name)) if entry.combine else (name,), space
        yield from ((("finetune", name), space) for name, space in _suggested(Finetune, f"loss {entry.name!r}"))

    def _default_of_loss(self, entry: LossEntry | None, path: KeyPath) -> object:
        """Return the value that a loss has at a place where nothing is written."""
        if entry is None or path == ("finetune", "sampler"):
            return None
        if path[0] in ("finetune", "pretrain"):
            sampler = entry.finetune.sampler
            if path[:2] == ("finetune", "sampler") and path[2] != "plugin":
                return self._option("sampler", sampler.plugin, sampler.options, path[2:])
            return _at(entry, path)
        if path[0] != "combine":
            return self._option("loss", entry.plugin, entry.options, path)
        part, inner = entry.combine[int(path[1])], path[2:]
        if inner == ("weight",):
            return part.weight
        return self._option("loss", part.plugin, part.options, inner[1:] if inner[0] == "options" else inner)

    def _default(self, experiment: Experiment | None, path: KeyPath) -> object:
        """Return the value that the trunk or phase 1 has at a place where nothing is written."""
        if experiment is None or path == ("model",):
            return None
        if path[0] == "model" and path[1] not in ("plugin", "embedding_dim"):
            return self._option("model", experiment.trunk.plugin, experiment.trunk.options, path[1:])
        return _at(experiment, path)

    def _option(self, kind: str, name: str, options: Mapping[str, Any], path: KeyPath) -> object:
        try:
            value = _at(self.registry.configure(kind, name, options).plugin, path)
        except (InputError, ValidationError, BrokenPluginError):
            return None
        return list(value) if isinstance(value, tuple) else value

    def loss(self, space: LossSpace, values: Values) -> ResolvedLoss:
        """Return a loss with some values.

        Raises:
            InputError: Together they are not possible.
        """
        places = {each.place: values[each.name] for each in space.dimensions if each.name in values}
        entry = self._entry(self._written(space), places, [])
        if entry is None:
            raise InputError(Problem("these values exclude each other", space.label))
        return resolved_loss(entry, self.registry)

    def default(self, space: LossSpace) -> ResolvedLoss | None:
        """Return the loss at its defaults; nothing where an option has none."""
        needed = {each.place: each.default for each in space.dimensions if each.is_needed}
        if None in needed.values():
            return None
        left_out = [each.place for each in space.dimensions if not each.is_needed]
        entry = self._entry(self._written(space), needed, left_out)
        return resolved_loss(entry, self.registry) if entry else None

    def place_of_sampler(self, space: LossSpace) -> KeyPath:
        """Return where the file says how the batches of a loss are drawn."""
        own: KeyPath = ("losses", space.index, "finetune", "sampler")
        return own if _holds(self.document.data, own) else own[2:]

    def _written(self, space: LossSpace) -> LossEntry:
        return next(entry for entry in self.experiment.losses if entry.index == space.index)

    def _entry(
        self, written: LossEntry, values: Mapping[KeyPath, object], left_out: Collection[KeyPath]
    ) -> LossEntry | None:
        """Return a loss as it is read from a file that has it alone; nothing where that is not possible.

        Args:
            written: The loss as the file has it, whose name stays.
            values: What stands in this file, by its places.
            left_out: Places in it at which nothing shall stand.
        """
        data = {key: value for key, value in self.document.data.items() if key not in ("test_sets", "pretrained")}
        data["losses"] = [{**data["losses"][written.index], "label": written.label}]
        data = with_values(without(data, [path for path in left_out if _holds(data, path)]), values)
        document = dataclasses.replace(self.document, data=data)
        experiment, problems, references = parse.parse(document)
        if problems or experiment is None:
            return None
        try:
            for reference in references:
                if reference.kind in ("loss", "sampler"):
                    self.registry.configure(reference.kind, reference.name, reference.options)
        except (InputError, ValidationError, BrokenPluginError):
            return None
        (entry,) = Paths(self.document, self.registry).of_experiment(experiment).losses
        return entry.model_copy(update={"index": written.index})


def _suggested(cls: type[BaseModel], whose: str) -> Iterator[tuple[str, Space]]:
    """Yield the keys for which a table suggests a range, and the range."""
    for name, field in cls.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "search" in extra:
            try:
                yield field.alias or name, suggestion(extra["search"])
            except ValidationError as error:
                message = f"suggests no range for its option {name!r}, but {extra['search']!r}"
                raise InputError(Problem(message, whose)) from error


def _with_fractions(dimension: Dimension, is_possible: Callable[[Mapping[KeyPath, object]], bool]) -> Dimension:
    """Return a dimension with every number between two whole ones, if its option takes fractions."""
    space = dimension.space
    if not isinstance(space, Between) or not space.whole or space.step is not None:
        return dimension
    takes_them = is_possible({dimension.place: space.low + 0.5})
    return dataclasses.replace(dimension, space=space.of_fractions) if takes_them else dimension


def _with_first_choice(dimension: Dimension) -> Dimension:
    """Return a dimension; where something has to be written and choices are, the first one is the default."""
    if dimension.is_needed and not isinstance(dimension.space, Between):
        return dataclasses.replace(dimension, default=representative(dimension.space))
    return dataclasses.replace(dimension, default=None) if dimension.is_needed else dimension


def _at(value: Any, path: KeyPath, otherwise: Any = None) -> Any:  # noqa: ANN401 - tables of TOML, options of plugins
    """Return what stands at a place of a table or of an object."""
    for part in path:
        value = value.get(part, otherwise) if isinstance(value, dict) else getattr(value, str(part), otherwise)
    return value


def _holds(table: Any, path: KeyPath) -> bool:  # noqa: ANN401 - tables of TOML
    """Return whether something stands at a place of a table."""
    for part in path:
        is_item = isinstance(table, list) and isinstance(part, int) and part < len(table)
        if not is_item and not (isinstance(table, dict) and part in table):
            return False
        table = table[part]
    return True
