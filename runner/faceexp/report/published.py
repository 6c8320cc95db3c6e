"""Results of others: beside those of a run, and what they can show by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from faceexp.report.columns import COLUMNS, Row, written
from faceexp.report.findings import NOTHING, probability, signed

ACCURACY = next(column for column in COLUMNS if column.metric == "accuracy")
RATIO = next(column for column in COLUMNS if column.metric == "sim_diff_ratio")
VERDICTS = {
    "distinguishable": "told apart even if errors are unrelated",
    "undecided": "depends on which pairs each judged right",
    "indistinguishable": "not told apart even in the best case",
}


def beside(document: Mapping[str, Any], listed: Sequence[Row]) -> dict[str, Any] | None:
    """Return published results with those of this run, matched by label; ``None`` where there are none."""
    published = document.get("published")
    if not published:
        return None
    own = {row.label: row.summaries for row in listed}
    intervals = {item["label"]: item["ci95"] for item in (published.get("power") or {}).get("losses", [])}
    return {
        "source": published["source"],
        "total": f"{published['pairs']:,}",
        "table": [
            _line(item, published["pairs"], intervals, own.get(item["label"], {})) for item in published["results"]
        ],
        "remarks": remarks(published),
        "comparisons": [_comparison(item) for item in (published.get("power") or {}).get("pairs", [])],
    }


def _line(
    item: Mapping[str, Any], pairs: int, intervals: Mapping[str, Sequence[float]], own: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    interval = intervals.get(item["label"])
    return {
        "label": item["label"],
        "cells": [
            f"{item['right']:,}",
            f"{item['right'] / pairs * 100:.1f}",
            f"{interval[0] * 100:.1f} to {interval[1] * 100:.1f}" if interval else NOTHING,
            NOTHING if item.get("sim_diff_ratio") is None else f"{item['sim_diff_ratio']:.2f}",
            written(own.get(ACCURACY.metric), ACCURACY),
            written(own.get(RATIO.metric), RATIO),
        ],
    }


def remarks(published: Mapping[str, Any]) -> list[str]:
    """Return in words what the published numbers can show."""
    power = published.get("power") or {}
    found = []
    pairs = power.get("pairs") or []
    counts = Counter(item["verdict"] for item in pairs)
    halves = [(item["ci95"][1] - item["ci95"][0]) / 2 for item in power.get("losses", [])]
    if pairs and halves:
        largest = max(abs(item["difference"]) for item in pairs)
        winner = "no winner can be called" if largest < min(halves) else "that alone says nothing of a winner"
        found.append(
            f"With {published['pairs']:,} pairs each published accuracy is uncertain by "
            f"\N{PLUS-MINUS SIGN}{_points(min(halves))} or more (95 %); the losses differ by at most "
            f"{_points(largest)}: {winner}."
        )
    if pairs and counts["indistinguishable"] == len(pairs):
        found.append(
            f"None of the {len(pairs)} pairs of published losses can be told apart at 5 % by McNemar's exact test "
            "after Holm, not even if their errors were as alike as they can be."
        )
    elif pairs:
        parts = [f"{counts[verdict]} {words}" for verdict, words in VERDICTS.items() if counts[verdict]]
        found.append(f"Of the {len(pairs)} pairs of published losses: {'; '.join(parts)} (5 %, after Holm).")
    detectable = power.get("detectable") or {}
    best, unrelated = (_points(detectable.get(f"{case}_corrected")) for case in ("nested", "unrelated"))
    if best and unrelated:
        found.append(
            f"With {published['pairs']:,} test pairs, {power['power'] * 100:.0f} % of repetitions find a difference "
            f"from the best accuracy of {best} where every error of the better loss is one of the other too, and of "
            f"{unrelated} where errors are unrelated; both after correction."
        )
    return found


def _points(value: float | None) -> str:
    return "" if value is None else f"{value * 100:.1f} points"


def _comparison(item: Mapping[str, Any]) -> list[str]:
    """Return the cells of two published losses."""
    low, high = item["ci95"]
    needed = item["pairs_needed"]
    numbers = [needed.get(case) for case in ("nested", "unrelated")]
    return [
        item["a"],
        item["b"],
        signed(item["difference"], 100, 1),
        f"{signed(low, 100, 1)} to {signed(high, 100, 1)}",
        probability(item["p_corrected"]),
        probability(item["best_case_p_corrected"]),
        " to ".join(NOTHING if number is None else f"{number:,.0f}" for number in numbers),
        {"distinguishable": "told apart", "indistinguishable": "not told apart"}.get(item["verdict"], item["verdict"]),
    ]
