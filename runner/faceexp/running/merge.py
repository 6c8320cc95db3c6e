"""Runs of one experiment that were computed apart become one: seeds, losses and shares are joined, if they fit."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceexp.errors import InputError, Problem
from faceexp.experiment import parse, toml
from faceexp.experiment.messages import short
from faceexp.experiment.schema import WITHOUT_EFFECT, Experiment, LossEntry
from faceexp.registry.installed import BrokenPluginError, discover
from faceexp.registry.path_options import path_options
from faceexp.results.between_runs import differences
from faceexp.results.collect import overlap_csv, split_records
from faceexp.results.environment import plugins_of
from faceexp.results.folder import ModelFolder, RunFolder
from faceexp.results.jsonable import to_json
from faceexp.results.kept import kept
from faceexp.results.schema import (
    EnvironmentRecord,
    InstalledPluginRecord,
    RunRecord,
    SplitRecord,
    TrialRecord,
)
from faceexp.run import Run
from faceexp.running.course import Course
from faceexp.store import link_or_copy, write_text
from faceexp.values import Plan

# What parts of one run may differ in: how they are called, which of its trials they have, and how long they may take.
MAY_DIFFER = WITHOUT_EFFECT | {"name", "description", "seeds", "losses", "device"}
# The packages whose version decides the numbers.
DECIDING = ("faceexp", "tensorflow", "keras", "numpy", "scikit-learn")
# Which trial it is: its row, seed and fold.
Place = tuple[str, int, int]
# Trials that two parts have were computed on two machines, which may add numbers in another order.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Part:
    """One of the runs that are joined.

    Attributes:
        folder: Its folder.
        experiment: What it was asked, every default filled in.
        results: Its results.
        environment: What it was made with.
    """

    folder: RunFolder
    experiment: Experiment
    results: RunRecord
    environment: EnvironmentRecord

    @classmethod
    def read(cls, root: Path) -> Part:
        """Read a finished run.

        Raises:
            InputError: It is none; or settings were searched for, or seeds added, so that its trials are not those of
                its file.
        """
        folder = RunFolder(root)
        results = folder.read_results()
        if results.search:
            message = "its settings were searched for; run its tuned.toml in parts, and merge these"
            raise InputError(Problem(message, str(root)))
        experiment, problems, _ = parse.parse(toml.read(folder.spec))
        if experiment is None or problems:
            raise InputError(parse.in_order(problems))
        if experiment.verdict.until == "decided":
            message = 'verdict.until = "decided" has added seeds after a look at all trials; it is no part of a run'
            raise InputError(Problem(message, str(root)))
        return cls(folder, experiment, results, folder.read_environment())

    @property
    def name(self) -> str:
        """The folder, as it was named."""
        return str(self.folder.root)


def joined(parts: Sequence[Part]) -> Experiment:
    """Return the experiment whose trials the parts have: with the seeds and the losses of all.

    Raises:
        InputError: They do not fit, with every reason.
    """
    first = parts[0]
    problems = [problem for other in parts[1:] for problem in _misfits(first, other)]
    losses: dict[str, tuple[Part, LossEntry]] = {}
    for part in parts:
        for loss in part.experiment.losses:
            known, before = losses.setdefault(loss.label, (part, loss))
            if loss.model_dump() != before.model_dump():
                problems.append(Problem(f"row {loss.label!r} has other settings than in {known.name}", part.name))
    if problems:
        raise InputError(problems)
    seeds = tuple(dict.fromkeys(seed for part in parts for seed in part.experiment.seeds))
    changes = {"seeds": seeds, "losses": tuple(loss for _, loss in losses.values()), "executor": None}
    return first.experiment.model_copy(update=changes)


def _misfits(first: Part, other: Part) -> Iterator[Problem]:
    """Yield everything by which a run cannot be a part of what another one is a part of."""
    for each in sorted(differences([_asked(first.experiment), _asked(other.experiment)]), key=lambda each: each.key):
        here, there = ("not given" if value is None else short(value) for value in each.values)
        yield Problem(f"{each.key} is {there}, and {here} in {first.name}", other.name)
    yield from _other_code(other, first.results.plugins, f"of {first.name}")
    for package in DECIDING:
        version, before = (part.environment.packages.get(package) for part in (other, first))
        if version and before and version != before:
            yield Problem(f"it was made with {package} {version}, and {first.name} with {before}", other.name)


def _other_code(part: Part, plugins: Sequence[InstalledPluginRecord], whose: str) -> Iterator[Problem]:
    """Yield a problem for each plugin of a part whose code is another."""
    codes = {(plugin.kind, plugin.name): plugin.digest for plugin in plugins}
    for plugin in part.results.plugins:
        if codes.get((plugin.kind, plugin.name), plugin.digest) != plugin.digest:
            yield Problem(f"the code of {plugin.kind} {plugin.name!r} is not that {whose}", part.name)


def _asked(experiment: Experiment) -> dict[str, Any]:
    """Return what parts must have in common; paths are those of a machine."""
    asked = experiment.model_dump(mode="json", exclude=set(MAY_DIFFER))
    try:
        paths = path_options(discover().find("dataset", experiment.dataset.plugin).load())
    except (InputError, BrokenPluginError):
        paths = {}
    options = {name: value for name, value in experiment.dataset.options.items() if name not in paths}
    return asked | {"dataset": {"plugin": experiment.dataset.plugin, **options}}


def merged(plan: Plan, spec_hash: str, parts: Sequence[Part], folder: RunFolder) -> tuple[Run, int]:
    """Return the run of all parts, written into a folder, and how many trials of it no part has.

    Args:
        plan: The plan of what :func:`joined` returned.
        spec_hash: Its digest.
        parts: The runs.
        folder: What is written.

    Raises:
        InputError: A part has other code than is installed here, other data, other splits or another outcome of a
            trial that two of them have; or the folder holds trials that none of them has.
    """
    whose, installed = _trials_of(parts), plugins_of(plan.resolved)
    problems = [
        # The whole run names the code that is here.
        *(problem for part in parts for problem in _other_code(part, installed, "which is installed here")),
        *_other_data(plan, parts),
        *_other_outcomes(parts, whose),
        *_would_be_lost(folder, whose),
    ]
    if problems:
        raise InputError(problems)
    write_text(folder.spec, toml.dump(plan.resolved.experiment))
    write_text(folder.environment, to_json(parts[0].environment))
    if any(each.shared for each in plan.sets):
        write_text(folder.overlap, overlap_csv(plan))
    records, sources = [], {}
    for trial in plan.trials:
        if (place := (trial.label, trial.seed, trial.fold)) in whose:
            part, record = whose[place]
            _bring_trial(part.folder, record.id, folder, trial.id)
            records.append(record.model_copy(update={"id": trial.id}))
            sources[trial.id] = part.folder.model(record.id)
    for trial_id in kept(plan.resolved.experiment.keep.models, records):
        _bring_model(sources[trial_id], folder.model(trial_id))
    course = Course(plan, spec_hash, folder, pictures=_bring_pictures(parts, folder))
    return course.judge_those(records), len(plan.trials) - len(records)


def _would_be_lost(folder: RunFolder, whose: Collection[Place]) -> Iterator[Problem]:
    """Yield a problem if the folder of the whole run holds trials that none of the parts has."""
    try:
        before = folder.read_results()
    except InputError:
        return
    if lost := sum(record.status == "ok" and (record.label, *record.cell) not in whose for record in before.trials):
        reason = f"holds {lost:,} trials that none of these runs has; name it as one of them, or another --out"
        yield Problem(reason, str(folder.root))


def _other_data(plan: Plan, parts: Sequence[Part]) -> Iterator[Problem]:
    """Yield a problem for each part that was computed with other data, other splits or other test sets."""
    here = split_records(plan, plan.splits)
    keys_of_sets = {faces.name: faces.key for faces in plan.sets}
    for part in parts:
        if reason := other_data(here, part.results):
            yield Problem(reason, part.name)
        for faces in part.results.test_sets:
            if faces.key != keys_of_sets.get(faces.name, faces.key):
                yield Problem(f"the data of its test set {faces.name!r} are not those that are here", part.name)


def other_data(here: Iterable[SplitRecord], results: RunRecord) -> str:
    """Return that a run was computed with other data or other splits than those that are here; nothing if it was not.

    Args:
        here: How the data are cut here.
        results: The results of the run.
    """
    keys = {split.cell: split.key for split in here}
    others = [split.cell for split in results.parts if split.key != keys.get(split.cell, split.key)]
    if not others:
        return ""
    seed, fold = others[0]
    return f"its data, or how they are cut for seed {seed}, fold {fold}, are not those that are here"


def _trials_of(parts: Sequence[Part]) -> dict[Place, tuple[Part, TrialRecord]]:
    """Return which part has a trial; of several the first in which it ended well and whose model is there."""
    whose: dict[Place, tuple[Part, TrialRecord]] = {}
    for part in parts:
        for record in part.results.trials:
            known = whose.get((record.label, *record.cell))
            if known is None or _worth(*known) < _worth(part, record):
                whose[record.label, *record.cell] = part, record
    return whose


def _worth(part: Part, record: TrialRecord) -> tuple[bool, bool]:
    """Return how much there is of a trial in a part. Folders may have been copied without models."""
    return record.status == "ok", part.folder.model(record.id).has_network


def _other_outcomes(parts: Sequence[Part], whose: Mapping[Place, tuple[Part, TrialRecord]]) -> Iterator[Problem]:
    """Yield a problem for each trial that came out otherwise in another part."""
    for part in parts:
        for record in part.results.trials:
            known, first = whose[record.label, *record.cell]
            if record.status == "ok" and not _is_same(first, record):
                yield Problem(f"trial {record.id} came out otherwise than in {known.name}", part.name)


def _bring_pictures(parts: Sequence[Part], folder: RunFolder) -> set[int]:
    """Put the pictures of all parts into the folder of the whole run, and return their numbers."""
    pictures = set()
    for part in parts:
        for file in part.folder.picture(0).parent.glob("*.png"):
            if file.stem.isdecimal() and file.is_file() and not file.is_symlink():
                link_or_copy(file, folder.picture(int(file.stem)))
                pictures.add(int(file.stem))
    return pictures


def _is_same(one: TrialRecord, two: TrialRecord) -> bool:
    """Return whether two machines came to the same numbers, but for their last digits."""
    if one.metrics.keys() != two.metrics.keys():
        return False
    pairs = [(one.metrics[name], two.metrics[name]) for name in one.metrics]
    return all(
        here == there
        if here is None or there is None
        else math.isclose(here, there, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for here, there in pairs
    )


def _bring_trial(source: RunFolder, its_id: str, target: RunFolder, trial: str) -> None:
    """Put the file of a trial into the folder of the whole run."""
    if (file := source.read_trials([its_id]).get(its_id)) is not None:
        write_text(target.trial(trial), to_json(file.model_copy(update={"id": trial})))


def _bring_model(model: ModelFolder, copy: ModelFolder) -> None:
    """Put the files of a model that is kept into the folder of the whole run."""
    for part, place in (
        (model.record, copy.record),
        (model.network("keras"), copy.network("keras")),
        (model.seen_photos, copy.seen_photos),
    ):
        if part.is_file() and not part.is_symlink():
            link_or_copy(part, place)
