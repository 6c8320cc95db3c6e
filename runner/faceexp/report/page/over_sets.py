"""The section of the page that shows all test sets side by side, with a picture of critical differences."""

from __future__ import annotations

from collections.abc import Mapping

from faceexp.report.over_sets import RowOverSets, metric_over_sets, names_of_sets, ranks_in_words, rows_over_sets
from faceexp.report.page.figures import COLOURS, GREY, Figure, PageJson, labelled, plain_text, short
from faceexp.report.used import used_of_sets
from faceexp.results.on_set import OWN
from faceexp.results.schema import RunRecord


def section(run: RunRecord, pages: Mapping[str, str]) -> PageJson:
    """Return what the page's template shows of test sets.

    Args:
        run: What the run found.
        pages: The file of the page on each set, by its name, as seen from this page; none where there are none.
    """
    record = run.over_sets
    return {
        "tabs": [(name, file, name == (run.measured_on or OWN)) for name, file in pages.items()],
        "set_names": names_of_sets(run) if record else (),
        "set_rows": rows_over_sets(run),
        "set_metric": metric_over_sets(record) if record else None,
        "set_words": ranks_in_words(run),
        "set_used": list(used_of_sets(run)) if record else [],
        "set_critical": record.critical if record else None,
    }


def critical_differences(run: RunRecord) -> Figure | None:
    """Return the mean rank of each row with half the critical difference to both sides, the best on top.

    Two rows whose bars do not overlap are told apart by Nemenyi's critical difference. ``None`` where nothing is
    ranked.
    """
    record = run.over_sets
    if record is None or not record.mean_rank:
        return None
    drawn = [row for row in rows_over_sets(run) if row.rank]
    half = (record.critical or 0.0) / 2
    layout: Figure = {
        "height": 100 + 24 * len(drawn),
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": f"mean rank over {record.sets} sets in {plain_text(metric_over_sets(record).heading)}"},
            "range": [0.8 - half, len(drawn) + 0.2 + half],
            "tickmode": "array",
            "tickvals": list(range(1, len(drawn) + 1)),
            "zeroline": False,
        },
        "yaxis": labelled([row.label for row in drawn]),
    }
    return {"data": [_points(drawn, record.mean_rank, kind, half) for kind in ("loss", "baseline")], "layout": layout}


def _points(drawn: list[RowOverSets], ranks: Mapping[str, float], kind: str, half: float) -> Figure:
    places = [place for place, row in enumerate(drawn) if (row.kind == "baseline") == (kind == "baseline")]
    colour, symbol = (COLOURS[0], 0) if kind == "loss" else (GREY, 102)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "x": short(ranks[drawn[place].label] for place in places),
        "y": places,
        "error_x": {"type": "constant", "value": short([half])[0], "width": 0, "thickness": 2, "visible": half > 0},
        "marker": {"color": colour, "size": 9, "symbol": symbol},
        "text": [f"{plain_text(drawn[place].label)}: {drawn[place].rank}" for place in places],
        "hovertemplate": "%{text}<extra></extra>",
    }
