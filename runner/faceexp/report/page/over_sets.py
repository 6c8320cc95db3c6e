"""The section of the page that shows all test sets side by side, with a picture of critical differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faceexp.report.over_sets import (
    Clique,
    RowOverSets,
    cliques,
    metric_over_sets,
    names_of_sets,
    ranks_in_words,
    rows_over_sets,
)
from faceexp.report.page.figures import COLOURS, GREY, MARKS, Figure, PageJson, labelled, plain_text, short
from faceexp.report.used import used_of_sets
from faceexp.report.words import together
from faceexp.results.on_set import OWN
from faceexp.results.schema import RunRecord

# Where lines to the names of rows begin, left of the best rank that there is.
LEFT = 0.8
# How far the first line of a clique lies above the first row, and lines of cliques above each other; in rows.
FIRST_LANE, LANE = 0.7, 0.5
# How far such a line goes beyond the ranks that it joins.
OVERHANG = 0.05


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
    """Return a diagram of critical differences as Demsar (2006) draws it; ``None`` where nothing is ranked.

    An axis of mean ranks, from which a line leads to the name of each row, the best on top. Thick lines below the axis
    join rows no two of which are told apart, and a bar below the rows is as long as the critical difference.
    """
    record = run.over_sets
    if record is None or not record.mean_rank:
        return None
    drawn = [row for row in rows_over_sets(run) if row.rank]
    joined = cliques(record)
    top = -FIRST_LANE - LANE * max((clique.lane + 1 for clique in joined), default=0)
    names = labelled([row.label for row in drawn])
    bar = [] if record.critical is None else [_critical_bar(record.critical, len(drawn))]
    layout: Figure = {
        "height": 100 + 24 * len(drawn) + 60 * bool(joined),
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": f"mean rank in {plain_text(metric_over_sets(record).heading)}"},
            "range": [LEFT, len(drawn) + 1 - LEFT],
            "side": "top",
            "automargin": True,
            "showline": True,
            "ticks": "outside",
            "tickmode": "array",
            "tickvals": list(range(1, len(drawn) + 1)),
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": names | {"range": [names["range"][0] + len(bar), top]},
        "annotations": [each["word"] for each in bar],
    }
    data = [
        _leaders(drawn, record.mean_rank, top),
        *(_joining(clique, top) for clique in joined),
        *(_points(drawn, record.mean_rank, kind) for kind in MARKS),
        *(each["line"] for each in bar),
    ]
    return {"data": data, "layout": layout}


def _leaders(drawn: list[RowOverSets], ranks: Mapping[str, float], top: float) -> Figure:
    """Return the lines that lead from the names of rows to their ranks on the axis."""
    x: list[float | None] = []
    y: list[float | None] = []
    for place, row in enumerate(drawn):
        x += [LEFT, ranks[row.label], ranks[row.label], None]
        y += [place, place, top, None]
    return _line(short(x), y, {"color": GREY, "width": 1})


def _joining(clique: Clique, top: float) -> Figure:
    """Return the thick line that joins the rows of a clique, somewhat longer than their ranks lie apart."""
    height = top + LANE * (clique.lane + 1)
    ends = short([clique.first - OVERHANG, clique.last + OVERHANG])
    words = f"not told apart: {plain_text(together(clique.labels))}"
    line = _line(ends, [height, height], {"color": COLOURS[2], "width": 5})
    return line | {"hoverinfo": "text", "text": [words, words]}


def _critical_bar(critical: float, rows: int) -> dict[str, Figure]:
    """Return a bar below all rows that is as long as the critical difference, and what it is."""
    text = f"critical difference {critical:.1f}"
    word = {"text": text, "x": 1, "y": rows, "xanchor": "left", "yanchor": "top", "yshift": -4, "showarrow": False}
    return {"line": _line(short([1, 1 + critical]), [rows, rows], {"color": GREY, "width": 3}), "word": word}


def _line(x: list[float | None], y: Sequence[float | None], style: Figure) -> Figure:
    return {"type": "scatter", "mode": "lines", "x": x, "y": list(y), "line": style, "hoverinfo": "skip"}


def _points(drawn: list[RowOverSets], ranks: Mapping[str, float], kind: str) -> Figure:
    places = [place for place, row in enumerate(drawn) if row.kind == kind]
    colour, symbol = MARKS[kind]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "x": short(ranks[drawn[place].label] for place in places),
        "y": places,
        "marker": {"color": colour, "size": 9, "symbol": symbol},
        "text": [f"{plain_text(drawn[place].label)}: {drawn[place].rank}" for place in places],
        "hovertemplate": "%{text}<extra></extra>",
    }
