"""Runs side by side: where their experiments and the code of plugins differ, and what the same rows reached.

If two runs cut the same data in the same way, their trials are paired by seed and fold. The same label in both runs is
then compared as two losses of one run are. If they did not, their numbers stand beside each other and nothing is
tested, because a difference could come from other people in the test part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from faceexp.evaluation.catalogue import Metric
from faceexp.experiment.lines import TomlTable
from faceexp.results.schema import ComparisonRecord, RunRecord, SummaryRecord, TrialRecord
from faceexp.statistics.comparisons import compare
from faceexp.values import Kind

# What a file says that changes no number, and that files of older versions do not say.
WITHOUT_EFFECT = ("keep.",)


@dataclass(frozen=True)
class Difference:
    """A key of the experiment files that is not the same in all runs. The value is ``None`` for a run without it."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class RowInRuns:
    """One row and what it reached in each run.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: Whether it is a loss, an embedding that is only measured, or a baseline.
        summaries: Its mean in each run; ``None`` for a run without that row.
        tests: The tests of the first run against each of the others: a is the first run, b the other; ``None`` where
            nothing could be paired.
        same: For each of these tests whether it pairs trials that are the very same in both runs.
    """

    label: str
    kind: Kind
    summaries: tuple[SummaryRecord | None, ...]
    tests: tuple[ComparisonRecord | None, ...]
    same: tuple[bool, ...] = ()


@dataclass(frozen=True)
class RunComparison:
    """Runs beside each other, in one metric.

    Attributes:
        names: What each run is called.
        metric: The name of the metric.
        differences: The keys in which the experiment files differ.
        lines: A line for each row, in the order in which the runs name the rows.
        remarks: Sentences that say which runs could not be tested against the first one, and why.
        code: The plugins whose code differs, with its digest in each run; ``None`` for a run that does not use it, or
            does not say.
        packages: The packages whose versions differ; ``None`` for a run without it.
        measured_on: The test set that the numbers are of; ``None`` where they are of the test part of each split.
    """

    names: tuple[str, ...]
    metric: str
    differences: tuple[Difference, ...]
    lines: tuple[RowInRuns, ...]
    remarks: tuple[str, ...]
    code: tuple[Difference, ...] = ()
    packages: tuple[Difference, ...] = ()
    measured_on: str | None = None


def compare_records(
    names: Sequence[str],
    specs: Sequence[TomlTable],
    runs: Sequence[RunRecord],
    metric: Metric,
    packages: Sequence[Mapping[str, str]] = (),
) -> RunComparison:
    """Return runs beside each other.

    Args:
        names: What each run is called.
        specs: The experiment file of each run, as TOML data.
        runs: The results of each run.
        metric: The metric to compare.
        packages: The versions of the packages of each run, where all runs have recorded them.
    """
    kinds: dict[str, Kind] = {}
    for run in runs:
        for trial in run.trials:
            kinds.setdefault(trial.label, trial.kind)
    tests: list[dict[str, ComparisonRecord]] = []
    same = [_same(runs[0], other) for other in runs[1:]]
    remarks = []
    for name, other, unchanged in zip(names[1:], runs[1:], same, strict=True):
        tested, remark = _tests(runs[0], other, metric, unchanged)
        tests.append(tested)
        remarks += [f"{name}: {remark}"] if remark else []
    summaries = [{row.label: row for row in run.summary if row.metric == metric.key} for run in runs]
    return RunComparison(
        names=tuple(names),
        metric=metric.key,
        differences=tuple(differences(specs)),
        lines=tuple(
            RowInRuns(
                label,
                kind,
                tuple(s.get(label) for s in summaries),
                tuple(t.get(label) for t in tests),
                tuple(label in unchanged for unchanged in same),
            )
            for label, kind in kinds.items()
        ),
        remarks=tuple(remarks),
        code=tuple(each for each in _differing([_code(run) for run in runs]) if len({*each.values} - {None}) > 1),
        packages=tuple(_differing(packages)),
        measured_on=runs[0].measured_on,
    )


def differences(specs: Sequence[TomlTable]) -> Iterator[Difference]:
    """Yield the keys in which experiment files differ.

    A loss is found by its label, and a part of a sum by its place; any other list is one value.
    """
    yield from _differing([dict(_flat(spec)) for spec in specs])


def _differing(tables: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    for key in dict.fromkeys(key for each in tables for key in each):
        values = tuple(each.get(key) for each in tables)
        if any(value != values[0] for value in values) and not key.startswith(WITHOUT_EFFECT):
            yield Difference(key, values)


def _code(run: RunRecord) -> dict[str, str]:
    return {f"{plugin.kind} {plugin.name!r}": plugin.digest for plugin in run.plugins if plugin.digest}


def _flat(table: TomlTable, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of nested tables, as ``table.key``, and its value."""
    for key, value in table.items():
        if key == "losses" and not prefix:
            for loss in value:
                options = {name: option for name, option in loss.items() if name != "label"}
                yield f"losses[{loss['label']}]", True
                yield from _flat(options, f"losses[{loss['label']}].")
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif key == "combine":
            for place, part in enumerate(value):
                yield from _flat(part, f"{prefix}{key}[{place}].")
        else:
            yield f"{prefix}{key}", value


def _same(first: RunRecord, other: RunRecord) -> set[str]:
    """Return the rows whose trials are the very same in both runs, wherever both have one."""
    sides = [{(trial.label, trial.cell): trial for trial in run.trials} for run in (first, other)]
    common = sides[0].keys() & sides[1].keys()
    changed = {key[0] for key in common if _outcome(sides[0][key]) != _outcome(sides[1][key])}
    return {label for label, _ in common} - changed


def _outcome(trial: TrialRecord) -> tuple[object, ...]:
    """Return what a training has come to, but for the time that it took."""
    return trial.status, trial.metrics, trial.threshold, trial.best_step, trial.curve


def _tests(
    first: RunRecord, other: RunRecord, metric: Metric, unchanged: AbstractSet[str]
) -> tuple[dict[str, ComparisonRecord], str]:
    """Return the comparison of each label that both runs have, and why there is none if nothing can be tested.

    Rows with the very same trials are compared apart: they raise no question, so no p-value is corrected for them.
    """
    keys = [{split.cell: split.key for split in run.parts} for run in (first, other)]
    shared = {cell for cell in keys[0] if cell in keys[1]}
    if not shared:
        return {}, "has no seed and fold in common with the first run, so nothing is tested"
    if any(keys[0][cell] is None or keys[0][cell] != keys[1][cell] for cell in shared):
        return {}, "cut other data, or cut them otherwise, than the first run, so nothing is tested"
    # The run is put in front of the label, so that the tests see the same label in two runs as two losses of one run.
    trials = [
        trial.model_copy(update={"label": f"{side} {trial.label}"})
        for side, run in enumerate((first, other))
        for trial in run.trials
        if trial.cell in shared
    ]
    labels = {trial.label for trial in trials}
    common = [
        label for label in dict.fromkeys(trial.label[2:] for trial in trials) if {f"0 {label}", f"1 {label}"} <= labels
    ]
    ratio = max(first.ratio or 0.0, other.ratio or 0.0)
    rates = [metric.key] if metric.largest == 1 else []
    directions = {metric.key: metric.higher_is_better}
    compared: dict[str, ComparisonRecord] = {}
    for labels_apart in (set(common) - unchanged, set(common) & unchanged):
        pairs = [(f"0 {label}", f"1 {label}") for label in common if label in labels_apart]
        for pair in compare(trials, directions, ratio, pairs, rates=rates, average_seeds=first.average_seeds):
            compared[pair.a[2:]] = ComparisonRecord.model_validate(pair)
    return compared, ""
