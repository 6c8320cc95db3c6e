"""The charts of groups on the page: a dot with its interval for each group of each row."""

from __future__ import annotations

from collections.abc import Sequence

from faceexp.report.columns import rows_of
from faceexp.report.groups import HEADINGS, LEGEND, group_tables, rate_text
from faceexp.report.page.figures import COLOURS, Figure, PageJson, labelled, plain_text, short
from faceexp.results.group_records import BEST, GroupRateRecord, WhichRate
from faceexp.results.schema import RunRecord

# Pixels of a dot with its interval, and of the gap between two rows.
DOT, GAP = 13, 12
# The marks of groups, so that they can be told apart without colours.
SYMBOLS = (0, 1, 2, 5, 4, 17, 3)  # circle, square, diamond, triangle, x, star, cross: numbers of Plotly


def charts(run: RunRecord) -> list[PageJson]:
    """Return a chart for each column, threshold and rate, each with the words by which it is chosen."""
    if run.groups is None:
        return []
    labels = [row.label for row in rows_of(run)]
    of_charts: dict[tuple[str, str, WhichRate], list[GroupRateRecord]] = {}
    for rate in run.groups.rates:
        if rate.value is not None:
            of_charts.setdefault((rate.column, rate.threshold, rate.rate), []).append(rate)
    names = {column.column: column.groups for column in run.groups.columns}
    made = []
    for (column, threshold, which), rates in of_charts.items():
        at = "best accuracy" if threshold == BEST else f"FAR {float(threshold) * 100:g} %"
        words = f"{HEADINGS[which].removesuffix(' %')} by {column}, threshold for {at}"
        made.append({"words": words, "figure": _figure(rates, labels, names.get(column, ()), HEADINGS[which])})
    return made


def _figure(rates: Sequence[GroupRateRecord], labels: Sequence[str], groups: Sequence[str], heading: str) -> Figure:
    """Return the rates with their intervals: a line for each row of the run, in it a dot for each group."""
    rows = [label for label in labels if any(rate.label == label for rate in rates)]
    data = []
    for number, group in enumerate(groups):
        drawn = [rate for rate in rates if rate.group == group and rate.label in rows]
        shares = [(rate.value or 0.0, *(rate.ci95 or (rate.value or 0.0, rate.value or 0.0))) for rate in drawn]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain_text(group),
                "x": short(value * 100 for value, _, _ in shares),
                # Of several dots in a line, the middle one stands on it.
                "y": [rows.index(rate.label) + 0.8 * ((number + 0.5) / len(groups) - 0.5) for rate in drawn],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": short((high - value) * 100 for value, _, high in shares),
                    "arrayminus": short((value - low) * 100 for value, low, _ in shares),
                    "thickness": 1.5,
                    "width": 3,
                },
                "marker": {
                    "color": COLOURS[number % len(COLOURS)],
                    "size": 8,
                    "symbol": SYMBOLS[number % len(SYMBOLS)],
                },
                "text": [f"{plain_text(rate.label)}, {plain_text(group)}: {rate_text(rate)}" for rate in drawn],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = {
        "height": 110 + (GAP + DOT * len(groups)) * len(rows),
        "showlegend": True,
        "hovermode": "closest",
        "xaxis": {"title": {"text": f"{heading}, lower is better"}, "rangemode": "tozero", "zeroline": False},
        "yaxis": labelled(rows),
    }
    return {"data": data, "layout": layout}


def shown_groups(run: RunRecord) -> PageJson | None:
    """Return what the template shows of groups; ``None`` where none are asked."""
    if run.groups is None:
        return None
    return {"tables": group_tables(run), "charts": [chart["words"] for chart in charts(run)], "legend": LEGEND}
