"""From a TOML file to an :class:`~faceexp.experiment.schema.Experiment`, with a file and line for every mistake."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from faceexp.contract import RESERVED
from faceexp.errors import Problem
from faceexp.experiment.combined import combination_of, spell_options, usual_name
from faceexp.experiment.detect import OWN_TABLE, USUAL, Detect
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.messages import explain, mistakes, short
from faceexp.experiment.references import (
    SEE_LIST,
    Reference,
    executor_of,
    plugin_table,
    sets_of,
    trackers_of,
    with_classifier,
)
from faceexp.experiment.schema import Experiment, Finetune, LossEntry, ModelRef, PluginRef, Pretrain, PretrainedEntry
from faceexp.experiment.toml import Document

T = TypeVar("T", bound=BaseModel)


MAX_LABEL = 200
# Rows of a comparison, the points of all grids included. Each row is compared with each other one.
MAX_SETTINGS = 1000
# Trials of one run: seeds times folds times rows, which are settings and baselines.
MAX_TRIALS = 100_000


def parse(document: Document) -> tuple[Experiment | None, list[Problem], list[Reference]]:
    """Return the experiment, every mistake in it, and every place that names a plugin.

    The experiment is ``None`` where there are mistakes. The references are returned all the same, so that the options
    of plugins can be checked in the same pass, and a person sees every mistake at once.
    """
    problems: list[Problem] = []
    references: list[Reference] = []
    data = with_classifier(document, dict(document.data), (), problems, references)
    for key, model in (("dataset", PluginRef), ("model", ModelRef)):
        if key in data:
            data[key] = plugin_table(document, data[key], (key,), model, problems, references, key)
    if isinstance(data.get("finetune"), dict):
        data["finetune"] = _with_sampler(document, data["finetune"], ("finetune",), problems, references)
    data.update(sets_of(document, problems, references))
    data.update(trackers_of(document, problems, references))
    data.update(executor_of(document, problems, references))
    if isinstance(data.get("preprocess"), dict):
        data["preprocess"] = _with_detector(document, data["preprocess"], problems, references)
    if "pretrained" in data:
        data["pretrained"] = _pretrained(document, data["pretrained"], problems, references)
    if data.get("losses") or not data.get("pretrained"):
        data["losses"] = _losses(document, data, problems, references)
    experiment = None
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        # Losses are checked one by one in _losses, which knows their place in the file, and so are existing embeddings.
        problems += [
            problem
            for path, problem in _explain(document, error, (), Experiment)
            if not (path and path[0] in ("losses", "pretrained"))
        ]
    else:
        problems += _too_many_trials(document, experiment)
    if data.get("losses") or not data.get("pretrained"):
        needed = [key for key in ("model", "finetune") if key not in data]
        problems += [document.problem((key,), f"is missing; add [{key}]") for key in needed]
    return (None if problems else experiment), problems, references


def _too_many_trials(document: Document, experiment: Experiment) -> list[Problem]:
    losses, baselines = len(experiment.losses) + len(experiment.pretrained), len(experiment.used_baselines)
    seeds, folds = len(experiment.seeds), experiment.protocol.folds
    trials = seeds * folds * (losses + baselines)
    if trials <= MAX_TRIALS:
        return []
    rows = f"{losses + baselines:,} rows (losses: {losses:,}, baselines: {baselines})"
    product = f"{seeds:,} seeds x {folds:,} folds x {rows}"
    message = f"{product} are {trials:,} trials; {MAX_TRIALS:,} are the most of one run"
    return [document.problem(("seeds",), message)]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems as they stand in the file, each once."""

    def line(problem: Problem) -> int:
        match = re.search(r":(\d+)$", problem.where)
        return int(match.group(1)) if match else 0

    return sorted(dict.fromkeys(problems), key=line)


def _with_sampler(
    document: Document, table: TomlTable, path: KeyPath, problems: list[Problem], references: list[Reference]
) -> TomlTable:
    if "sampler" not in table:
        problems.append(
            document.problem(path, f'names no sampler; add [finetune.sampler] with plugin = "..."; {SEE_LIST}')
        )
        return {**table, "sampler": {"plugin": ""}}
    sampler = plugin_table(document, table["sampler"], (*path, "sampler"), PluginRef, problems, references, "sampler")
    return {**table, "sampler": sampler}


def _with_detector(
    document: Document, table: TomlTable, problems: list[Problem], references: list[Reference]
) -> TomlTable:
    detect = table.get("detect")
    if not isinstance(detect, dict):
        return table
    named = {"plugin": USUAL, **detect}
    path = ("preprocess", "detect")
    return {**table, "detect": plugin_table(document, named, path, Detect, problems, references, "detector")}


def _losses(
    document: Document, data: TomlTable, problems: list[Problem], references: list[Reference]
) -> tuple[LossEntry, ...]:
    tables = document.data.get("losses")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        problems.append(
            document.problem(("losses",), f'no loss to compare; add [[losses]] with plugin = "..."; {SEE_LIST}')
        )
        return ()
    sizes = [_settings(table) for table in tables]
    if sum(sizes) > MAX_SETTINGS:
        # The line of the grid that makes most of them; of the list, where they are too many without a grid.
        largest = max(range(len(tables)), key=sizes.__getitem__)
        path: KeyPath = ("losses", largest, "grid") if sizes[largest] > 1 else ("losses",)
        here = f"has {_count(sizes[largest])} points, and the experiment " if sizes[largest] > 1 else ""
        message = f"{here}compares {_count(sum(sizes))} settings; {MAX_SETTINGS:,} are the most: leave some values out"
        problems.append(document.problem(path, message))
        return ()
    entries: list[LossEntry] = []
    seen: dict[str, int] = {}
    for index, table in enumerate(tables):
        for entry in _expand(document, table, index, data, problems, references):
            if entry.label in seen:
                message = (
                    f"label {entry.label!r} is already that of losses[{seen[entry.label]}]; give each its own label"
                )
                problems.append(document.problem(("losses", index), message))
            seen.setdefault(entry.label, index)
            entries.append(entry)
    return tuple(entries)


def _pretrained(
    document: Document, tables: object, problems: list[Problem], references: list[Reference]
) -> tuple[PretrainedEntry, ...]:
    """Return the rows that are only measured, one for each ``[[pretrained]]`` table."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(document.problem(("pretrained",), "must be written as [[pretrained]] tables"))
        return ()
    entries = []
    for index, table in enumerate(tables):
        path: KeyPath = ("pretrained", index)
        moved = plugin_table(document, table, path, PretrainedEntry, problems, references, "model")
        try:
            entry = PretrainedEntry.model_validate({**moved, "index": index})
        except ValidationError as error:
            problems += [problem for _, problem in _explain(document, error, path, PretrainedEntry)]
            continue
        if len(entry.label) > MAX_LABEL or not entry.label.isprintable() or entry.label != entry.label.strip():
            message = f"must be printable, of {MAX_LABEL} letters at most and without spaces around it"
            problems.append(document.problem((*path, "label"), message))
        entries.append(entry)
    return tuple(entries)


def _settings(table: TomlTable) -> int:
    """Return how many rows a ``[[losses]]`` table gives, without making them."""
    grid = table.get("grid")
    lists = [values for values in grid.values() if isinstance(values, list)] if isinstance(grid, dict) else []
    return math.prod(len(values) for values in lists if values)


def _count(number: int) -> str:
    # The product of many lists can have more digits than Python writes.
    return f"{number:,}" if number < 10**15 else "more than 10^15"


def _expand(
    document: Document,
    table: TomlTable,
    index: int,
    data: TomlTable,
    problems: list[Problem],
    references: list[Reference],
) -> Iterator[LossEntry]:
    """Yield the entries of one ``[[losses]]`` table: one, or one for each point of its grid."""
    path: KeyPath = ("losses", index)
    name, is_sum = table.get("plugin"), "combine" in table
    if not is_sum and not isinstance(name, str):
        problems.append(document.problem(path, f'names no plugin; add plugin = "..." (loss); {SEE_LIST}'))
        return
    label = table.get("label", (usual_name(table) or "combine") if is_sum else name)
    if not isinstance(label, str) or not label.strip():
        problems.append(document.problem((*path, "label"), "must be a text, not empty"))
        return
    setting_of = table.get("setting_of", "")
    if not isinstance(setting_of, str) or ("setting_of" in table and not setting_of.strip()):
        problems.append(document.problem((*path, "setting_of"), "must be a text, not empty"))
        return
    table = with_classifier(document, table, path, problems, references)
    pretrain = _override_table(document, data, table, path, "pretrain", Pretrain, problems)
    shared = data.get("pretrain", {})
    if pretrain and "replicas" in table.get("pretrain", {}) and pretrain.replicas != shared.get("replicas", 1):
        message = "is the same for every loss; write it in [pretrain]"
        problems.append(document.problem((*path, "pretrain", "replicas"), message))
    finetune = _override_finetune(document, data, table, path, problems, references)
    combination = combination_of(document, table, path, problems, references) if is_sum else None
    options = {key: value for key, value in table.items() if key not in RESERVED and not is_sum}
    grid = {} if is_sum else _grid(document, table, options, path, problems)
    for point in itertools.product(*grid.values()):
        chosen = dict(zip(grid, point, strict=True))
        if isinstance(name, str) and not is_sum:
            references.append(Reference("loss", name, {**options, **chosen}, path))
        if pretrain is None or finetune is None or (is_sum and combination is None):
            continue
        row = label + spell_options(chosen if grid or "label" in table else options)
        if len(row) > MAX_LABEL or not row.isprintable():
            message = f"must be printable and of {MAX_LABEL} letters at most, not {short(row)}; set a shorter label"
            problems.append(document.problem((*path, "label"), message))
            return
        yield LossEntry(
            **(vars(combination) if combination else {"plugin": name}),
            label=row,
            options={**options, **chosen},
            pretrain=pretrain,
            finetune=finetune,
            index=index,
            setting_of=setting_of or (label if math.prod(map(len, grid.values())) > 1 else ""),
        )


def _grid(
    document: Document, table: TomlTable, options: TomlTable, path: KeyPath, problems: list[Problem]
) -> TomlTable:
    """Return the grid of a ``[[losses]]`` table: lists of values of options that stand nowhere else."""
    grid = table.get("grid", {})
    if not isinstance(grid, dict) or any(not isinstance(values, list) or not values for values in grid.values()):
        problems.append(document.problem((*path, "grid"), "must be a table of lists: grid = { margin = [0.5, 1.0] }"))
        return {}
    for key in grid:
        if key in RESERVED or key in options:
            why = "is reserved" if key in RESERVED else "is also given outside the grid"
            problems.append(document.problem((*path, "grid", key), f"{why}; a grid holds options of the loss"))
    return grid


def _override_table(
    document: Document,
    data: TomlTable,
    table: TomlTable,
    path: KeyPath,
    key: str,
    model: type[T],
    problems: list[Problem],
) -> T | None:
    """Return a table with a loss's overrides; mistakes are reported where they were written."""
    shared, overrides = data.get(key, {}), table.get(key, {})
    if not isinstance(shared, dict):
        return None
    if not isinstance(overrides, dict):
        problems.append(document.problem((*path, key), "must be a table"))
        return None
    try:
        return model.model_validate({**shared, **overrides})
    except ValidationError as error:
        problems += [
            problem
            for inner, problem in _explain(document, error, (*path, key), model)
            # What is wrong with several keys together has no key of its own.
            if (inner[0] in overrides if inner else overrides)
        ]
        return None


def _override_finetune(
    document: Document,
    data: TomlTable,
    table: TomlTable,
    path: KeyPath,
    problems: list[Problem],
    references: list[Reference],
) -> Finetune | None:
    overrides = table.get("finetune")
    if isinstance(overrides, dict) and isinstance(overrides.get("sampler"), dict):
        sampler = overrides["sampler"]
        base = document.data.get("finetune", {})
        inherited = base.get("sampler") if isinstance(base, dict) else None
        if "plugin" not in sampler and isinstance(inherited, dict):
            # A table without a plugin changes options of the shared sampler; another plugin starts from its defaults.
            sampler = {**inherited, **sampler}
        here = (*path, "finetune", "sampler")
        moved = plugin_table(document, sampler, here, PluginRef, problems, references, "sampler")
        table = {**table, "finetune": {**overrides, "sampler": moved}}
    return _override_table(document, data, table, path, "finetune", Finetune, problems)


def _explain(
    document: Document, error: ValidationError, prefix: KeyPath, model: type[BaseModel]
) -> Iterator[tuple[KeyPath, Problem]]:
    """Yield ``(path inside the table, problem)`` for every error of pydantic."""
    for mistake in mistakes(error):
        inner = tuple(part for part in mistake["loc"] if part not in ("options", OWN_TABLE))
        path = (*prefix, *inner)
        yield inner, document.problem(path, explain(mistake, _keys_beside(model, inner)))


def _keys_beside(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys that exist beside the last one of a path."""
    current: Any = model
    for part in path[:-1]:
        fields = current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}
        annotation = fields[part].annotation if isinstance(part, str) and part in fields else None
        # A table that may be left out is one or nothing.
        is_optional = type(None) in get_args(annotation)
        current = next((each for each in get_args(annotation) if is_optional and each is not type(None)), annotation)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return sorted(current.model_fields)
    return []
