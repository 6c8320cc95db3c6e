"""What a report says of groups: how often each row is wrong within each, and how far the groups are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceexp.report.answers import labels_in_words
from faceexp.report.columns import rows_of
from faceexp.report.words import NOTHING
from faceexp.results.group_records import BEST, GroupColumnRecord, GroupRateRecord, GroupRatioRecord, WhichRate
from faceexp.results.record import Interval
from faceexp.results.schema import RunRecord
from faceexp.values import Kind

# What the rates are called.
HEADINGS: Mapping[WhichRate, str] = {"fmr": "FMR %", "fnmr": "FNMR %"}
LEGEND = (
    "FMR: accepted share of the pairs of two people; FNMR: rejected share of the pairs of one; both images of a pair "
    "are in the group, the threshold is the same for all groups. 95 % intervals over people. Worst / best: the highest "
    "over the lowest rate, its interval corrected for the number of groups; if that holds 1, it may be chance"
)


@dataclass(frozen=True)
class GroupRow:
    """A row and a group of it, or the ratio of its worst to its best group; FMR and FNMR as text.

    Attributes:
        label: The loss or baseline.
        kind: Which of both it is.
        group: The group; empty for the ratio.
        people: How many people are behind the two rates; empty for the ratio.
        cells: FMR and FNMR with their intervals, or the ratios.
    """

    label: str
    kind: Kind
    group: str
    people: str
    cells: tuple[str, str]


@dataclass(frozen=True)
class GroupTable:
    """How often the rows are wrong within the groups of a column, at one threshold.

    Attributes:
        title: The column and the threshold.
        rows: Of each row of the run its groups, and then the ratio.
        refused: Why rates are not given, a sentence each.
    """

    title: str
    rows: tuple[GroupRow, ...]
    refused: tuple[str, ...]


def group_tables(run: RunRecord) -> list[GroupTable]:
    """Return a table for each column and threshold, the rows in the order of the leaderboard; none without groups."""
    if run.groups is None:
        return []
    order = {row.label: place for place, row in enumerate(rows_of(run))}
    rates: dict[tuple[str, str], list[GroupRateRecord]] = {}
    for rate in run.groups.rates:
        rates.setdefault((rate.column, rate.threshold), []).append(rate)
    ratios = {(each.label, each.column, each.threshold, each.rate): each for each in run.groups.ratios}
    columns = {column.column: column for column in run.groups.columns}
    return [
        _table(columns[column], threshold, sorted(given, key=lambda rate: order.get(rate.label, len(order))), ratios)
        for (column, threshold), given in sorted(rates.items(), key=lambda item: _place(run, item[0]))
        if column in columns
    ]


def _place(run: RunRecord, table: tuple[str, str]) -> tuple[int, float]:
    """Return where a table stands: columns as in the file, then thresholds from lenient to strict."""
    column, threshold = table
    columns = [each.column for each in run.groups.columns] if run.groups else []
    return (columns.index(column) if column in columns else len(columns)), -2.0 if threshold == BEST else -float(
        threshold
    )


def _table(
    column: GroupColumnRecord,
    threshold: str,
    rates: Sequence[GroupRateRecord],
    ratios: Mapping[tuple[str, str, str, WhichRate], GroupRatioRecord],
) -> GroupTable:
    at = (
        "the threshold of best accuracy" if threshold == BEST else f"the threshold for FAR {float(threshold) * 100:g} %"
    )
    images = "" if column.of_people else " (images, not people)"
    of_row: dict[str, dict[str, dict[str, GroupRateRecord]]] = {}
    for rate in rates:
        of_row.setdefault(rate.label, {}).setdefault(rate.group, {})[rate.rate] = rate
    rows: list[GroupRow] = []
    for label, of_group in of_row.items():
        for group, both in of_group.items():
            kind = next(iter(both.values())).kind
            people = "/".join(dict.fromkeys(str(each.people) for each in both.values()))
            rows.append(GroupRow(label, kind, group, people, (rate_text(both.get("fmr")), rate_text(both.get("fnmr")))))
        fmr, fnmr = (ratios.get((label, column.column, threshold, rate)) for rate in HEADINGS)
        rows.append(GroupRow(label, kind, "", "", (ratio_text(fmr), ratio_text(fnmr))))
    return GroupTable(f"by {column.column}{images}, at {at}", tuple(rows), tuple(_refusals(rates)))


def _refusals(rates: Sequence[GroupRateRecord]) -> list[str]:
    """Return why rates are refused, and of which rows: once for each reason, which is mostly the same for all rows."""
    rows = tuple(dict.fromkeys(rate.label for rate in rates))
    refused: dict[tuple[str, str, str], list[str]] = {}
    for rate in rates:
        if rate.refused:
            refused.setdefault((rate.rate.upper(), rate.refused, rate.group), []).append(rate.label)
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (name, reason, group), labels in refused.items():
        groups.setdefault((name, reason, tuple(labels)), []).append(group)
    return [
        f"no {name} of {', '.join(of_reason)} {_whose(labels, rows)}: {reason}"
        for (name, reason, labels), of_reason in groups.items()
    ]


def _whose(labels: Sequence[str], rows: Sequence[str]) -> str:
    return "in any row" if len(rows) > 1 and len(labels) == len(rows) else f"for {labels_in_words(labels)}"


def rate_text(rate: GroupRateRecord | None) -> str:
    """Return a rate in per cent, with its interval behind it."""
    if rate is None or rate.value is None:
        return NOTHING
    return f"{brief(rate.value * 100)}{interval_of(rate.ci95, 100)}"


def ratio_text(ratio: GroupRatioRecord | None) -> str:
    """Return how many times the rate of the best group that of the worst one is, and which groups these are."""
    if ratio is None:
        return NOTHING
    if ratio.value is None:
        return f"no error in {ratio.best}"
    return f"{brief(ratio.value)}x{interval_of(ratio.ci95, 1)} {ratio.worst}/{ratio.best}"


def interval_of(interval: Interval | None, scale: float) -> str:
    """Return what stands behind a value that has an interval."""
    return "" if interval is None else f" {brief(interval[0] * scale)}{NOTHING}{brief(interval[1] * scale)}"


def brief(value: float) -> str:
    """Return a number with one digit behind the point; a smaller one with two that are not 0."""
    return f"{value:.1f}" if value >= 1 or value == 0 else f"{value:#.2g}"


def asked_columns(run: RunRecord) -> str:
    """Return the columns whose values are groups; empty where there are none."""
    return ", ".join(column.column for column in run.groups.columns) if run.groups else ""
