"""Runs side by side: where their experiment files differ, and what the same rows reached in each run.

If two runs cut the same data in the same way, their trials are paired by seed and fold. The same label in both runs is
then compared as two losses of one run are. If they did not, their numbers stand beside each other and nothing is
tested, because a difference could come from other people in the test part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from faceexp.evaluation.catalogue import Metric
from faceexp.experiment.lines import TomlTable
from faceexp.results.schema import ComparisonRecord, RunRecord, SummaryRecord
from faceexp.statistics.comparisons import compare
from faceexp.values import Kind


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
        kind: Whether it is a loss or a baseline.
        summaries: Its mean in each run; ``None`` for a run without that row.
        tests: The tests of the first run against each of the others: a is the first run, b the other; ``None`` where
            nothing could be paired.
    """

    label: str
    kind: Kind
    summaries: tuple[SummaryRecord | None, ...]
    tests: tuple[ComparisonRecord | None, ...]


@dataclass(frozen=True)
class RunComparison:
    """Runs beside each other, in one metric.

    Attributes:
        names: What each run is called.
        metric: The name of the metric.
        differences: The keys in which the experiment files differ.
        lines: A line for each row, in the order in which the runs name the rows.
        remarks: Sentences that say which runs could not be tested against the first one, and why.
    """

    names: tuple[str, ...]
    metric: str
    differences: tuple[Difference, ...]
    lines: tuple[RowInRuns, ...]
    remarks: tuple[str, ...]


def compare_records(
    names: Sequence[str], specs: Sequence[TomlTable], runs: Sequence[RunRecord], metric: Metric
) -> RunComparison:
    """Return runs beside each other.

    Args:
        names: What each run is called.
        specs: The experiment file of each run, as TOML data.
        runs: The results of each run.
        metric: The metric to compare.
    """
    kinds: dict[str, Kind] = {}
    for run in runs:
        for trial in run.trials:
            kinds.setdefault(trial.label, trial.kind)
    tests: list[dict[str, ComparisonRecord]] = []
    remarks = []
    for name, other in zip(names[1:], runs[1:], strict=True):
        tested, remark = _tests(runs[0], other, metric)
        tests.append(tested)
        remarks += [f"{name}: {remark}"] if remark else []
    summaries = [{row.label: row for row in run.summary if row.metric == metric.key} for run in runs]
    return RunComparison(
        names=tuple(names),
        metric=metric.key,
        differences=tuple(differences(specs)),
        lines=tuple(
            RowInRuns(label, kind, tuple(s.get(label) for s in summaries), tuple(t.get(label) for t in tests))
            for label, kind in kinds.items()
        ),
        remarks=tuple(remarks),
    )


def differences(specs: Sequence[TomlTable]) -> Iterator[Difference]:
    """Yield the keys in which experiment files differ. A loss is found by its label, any other list is one value."""
    flat = [dict(_flat(spec)) for spec in specs]
    for key in dict.fromkeys(key for each in flat for key in each):
        values = tuple(each.get(key) for each in flat)
        if any(value != values[0] for value in values):
            yield Difference(key, values)


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
        else:
            yield f"{prefix}{key}", value


def _tests(first: RunRecord, other: RunRecord, metric: Metric) -> tuple[dict[str, ComparisonRecord], str]:
    """Return the comparison of each label that both runs have, and why there is none if nothing can be tested."""
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
    pairs = [(f"0 {label}", f"1 {label}") for label in common]
    rates = [metric.key] if metric.largest == 1 else []
    directions = {metric.key: metric.higher_is_better}
    compared = compare(trials, directions, ratio, pairs, rates=rates, average_seeds=first.average_seeds)
    return {pair.a[2:]: ComparisonRecord.model_validate(pair) for pair in compared}, ""
