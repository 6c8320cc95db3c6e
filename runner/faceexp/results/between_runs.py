"""Runs side by side: what differs in their experiment files, and what the same rows reached in each.

Where two runs cut the same data alike, their trials are paired by seed and fold, and the same label in both is compared
as two losses of one run are. Where they did not, numbers stand beside each other and nothing is tested: a difference
could as well come from other people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faceexp.statistics.comparisons import Comparison, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Difference:
    """A key of the experiment files that is not the same in all runs; ``None`` where a run has no such key."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Line:
    """One label and what it reached in each run; ``None`` where it did not run.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: ``"loss"`` or ``"baseline"``.
        summaries: Of each run, as in ``results.json``.
        tests: Of the first run with each of the others: a is the first, b the other; ``None`` where nothing is paired.
    """

    label: str
    kind: str
    summaries: tuple[Mapping[str, Any] | None, ...]
    tests: tuple[Comparison | None, ...]


@dataclass(frozen=True)
class SideBySide:
    """Runs beside each other, in one metric.

    Attributes:
        names: What each run is called.
        metric: The metric.
        differences: Between the experiment files.
        lines: A line a label, in the order in which runs name them.
        remarks: Why runs cannot be tested against the first one, where they cannot.
    """

    names: tuple[str, ...]
    metric: str
    differences: tuple[Difference, ...]
    lines: tuple[Line, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Cell:
    label: str
    kind: str
    seed: int
    fold: int
    status: str
    metrics: Mapping[str, float | None]


def side_by_side(
    names: Sequence[str],
    specs: Sequence[Mapping[str, Any]],
    documents: Sequence[Mapping[str, Any]],
    metric: str,
    *,
    higher: bool,
) -> SideBySide:
    """Return runs beside each other.

    Args:
        names: What each run is called.
        specs: Their experiment files.
        documents: Their ``results.json``.
        metric: The metric to compare.
        higher: Whether more of it is better.
    """
    labels: dict[str, str] = {}
    for document in documents:
        for trial in document["trials"]:
            labels.setdefault(trial["label"], trial["kind"])
    tests: list[dict[str, Comparison]] = []
    remarks = []
    for name, document in zip(names[1:], documents[1:], strict=True):
        found, remark = _tests(documents[0], document, metric, higher=higher)
        tests.append(found)
        remarks += [f"{name}: {remark}"] if remark else []
    summaries = [{s["label"]: s for s in d["summary"] if s["metric"] == metric} for d in documents]
    return SideBySide(
        names=tuple(names),
        metric=metric,
        differences=tuple(differences(specs)),
        lines=tuple(
            Line(label, kind, tuple(s.get(label) for s in summaries), tuple(t.get(label) for t in tests))
            for label, kind in labels.items()
        ),
        remarks=tuple(remarks),
    )


def differences(specs: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """Yield the keys in which experiment files differ; losses are known by their labels, other lists are one value."""
    flat = [dict(_flat(spec)) for spec in specs]
    for key in dict.fromkeys(key for each in flat for key in each):
        values = tuple(each.get(key) for each in flat)
        if any(value != values[0] for value in values):
            yield Difference(key, values)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if key == "losses" and not prefix:
            for loss in value:
                yield f"losses[{loss['label']}]", True
                yield from _flat({k: v for k, v in loss.items() if k != "label"}, f"losses[{loss['label']}].")
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _tests(
    first: Mapping[str, Any], other: Mapping[str, Any], metric: str, *, higher: bool
) -> tuple[dict[str, Comparison], str]:
    """Return the comparison of each label that both runs have, or why there is none."""
    keys = [{(part["seed"], part["fold"]): part.get("key") for part in d.get("parts", [])} for d in (first, other)]
    shared = {cell for cell in keys[0] if cell in keys[1]}
    if not shared:
        return {}, "has no seed and fold in common with the first run, so nothing is tested"
    if any(keys[0][cell] is None or keys[0][cell] != keys[1][cell] for cell in shared):
        return {}, "cut other data, or cut them otherwise, than the first run, so nothing is tested"
    cells = [
        _Cell(f"{side} {t['label']}", t["kind"], t["seed"], t["fold"], t["status"], t["metrics"])
        for side, document in enumerate((first, other))
        for t in document["trials"]
        if (t["seed"], t["fold"]) in shared
    ]
    known = {cell.label for cell in cells}
    common = [t for t in dict.fromkeys(c.label[2:] for c in cells) if {f"0 {t}", f"1 {t}"} <= known]
    ratio = max(first.get("test_train_ratio", 0.0), other.get("test_train_ratio", 0.0))
    found = compare(cells, {metric: higher}, ratio, [(f"0 {label}", f"1 {label}") for label in common])
    return {item.a[2:]: item for item in found}, ""
