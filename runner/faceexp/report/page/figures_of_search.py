"""Charts of what a search has tried of a loss: score against each setting, parallel coordinates, importances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from faceexp.report.page.figures import COLOURS, GREY, Figure, PageJson, plain_text, short
from faceexp.report.searched import every_part
from faceexp.report.settings_in_words import score_text, value_text, values_text
from faceexp.results.search_record import SearchedRecord, SearchRecord, TriedRecord

# Charts of score against a setting in a line, and pixels of one.
IN_A_LINE = 3
HEIGHT = 240
# How trials are drawn that ended in each way.
SYMBOLS = {"ok": 0, "pruned": 100}  # a disc and a ring: numbers of Plotly
# The colours of the worst and the best score in parallel coordinates; both can be seen on white and on black.
WORST, BEST = (204, 204, 204), (0, 114, 178)


def charts(search: SearchRecord | None) -> list[PageJson]:
    """Return the charts of every loss, with its name."""
    return [
        {
            "label": loss.label,
            "sensitivity": sensitivity(loss),
            "parallel": parallel(loss),
            "importances": importances(loss),
        }
        for loss in (every_part(search) if search else ())
    ]


def _scored(loss: SearchedRecord) -> list[TriedRecord]:
    """Return the trials that have a score, the worst first, so that the best are drawn above the others."""
    scored = [trial for trial in loss.trials if trial.score is not None]
    return sorted(scored, key=lambda trial: trial.score or 0.0)


def sensitivity(loss: SearchedRecord) -> Figure | None:
    """Return a chart for each setting of a loss: the validation score of every trial over the value that it had."""
    trials = _scored(loss)
    if not trials:
        return None
    names = list(loss.ranges)
    lines = math.ceil(len(names) / IN_A_LINE)
    columns = min(len(names), IN_A_LINE)
    layout: Figure = {
        "height": 40 + HEIGHT * lines,
        "showlegend": False,
        "hovermode": "closest",
        "grid": {"rows": lines, "columns": columns, "pattern": "independent", "xgap": 0.14, "ygap": 0.34},
    }
    data = []
    for place, name in enumerate(names):
        number = "" if place == 0 else str(place + 1)
        data += _dots(loss, trials, name, number)
        layout[f"xaxis{number}"] = {"title": {"text": plain_text(name)}, "zeroline": False} | _scale(loss, name)
        title = {"title": {"text": "validation score"}} if place % columns == 0 else {}
        layout[f"yaxis{number}"] = {"zeroline": False, "tickformat": ".3~f"} | title
    return {"data": data, "layout": layout}


def _scale(loss: SearchedRecord, name: str) -> Figure:
    """Return how the axis of a setting is drawn: by orders of magnitude, even, or as a list of choices."""
    if name in loss.logarithmic:
        return {"type": "log", "exponentformat": "power", "nticks": 6}
    if all(_is_number(trial.values.get(name)) for trial in loss.trials):
        return {"type": "linear", "nticks": 5}
    return {"type": "category"}


def _dots(loss: SearchedRecord, trials: Sequence[TriedRecord], name: str, number: str) -> list[Figure]:
    axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    marked = [("trial", trials, GREY, 7)]
    marked += [("default", [trial for trial in trials if trial.values == loss.defaults], COLOURS[1], 10)]
    marked += [("chosen", [trial for trial in trials if _is_best(loss, trial)][-1:], COLOURS[0], 10)]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": kind,
            **axes,
            "x": [_place(trial.values.get(name)) for trial in drawn],
            "y": short(trial.score for trial in drawn),
            "marker": {"color": colour, "size": size, "symbol": [SYMBOLS.get(trial.state, 0) for trial in drawn]},
            "text": [_words(trial, kind) for trial in drawn],
            "hovertemplate": "%{text}<extra></extra>",
        }
        for kind, drawn, colour, size in marked
        if drawn
    ]


def _is_best(loss: SearchedRecord, trial: TriedRecord) -> bool:
    return trial.state == "ok" and trial.values == loss.best and trial.score == loss.score


def _words(trial: TriedRecord, kind: str) -> str:
    what = f"trial {trial.number + 1}{'' if kind == 'trial' else f', {kind}'}"
    state = "" if trial.state == "ok" else f" ({trial.state} after {trial.trainings})"
    return f"{what}: {score_text(trial.score)}{state}<br>{plain_text(values_text(trial.values))}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _place(value: object) -> object:
    """Return where a value stands on its axis: a number, or the words of a choice."""
    return short([value])[0] if isinstance(value, int | float) and _is_number(value) else plain_text(value_text(value))


@dataclass(frozen=True)
class _Axis:
    """An upright line of parallel coordinates.

    Attributes:
        heights: Where each trial crosses it, from 0 at the bottom to 1 on top.
        ticks: What is written beside it, each with its height.
    """

    heights: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def parallel(loss: SearchedRecord) -> Figure | None:
    """Return parallel coordinates: a line for each trial, which crosses an axis for each setting and that of its score.

    They are drawn as lines, since Plotly's own need WebGL and make code out of text, which the page forbids.
    """
    trials = _scored(loss)
    names = list(loss.ranges)
    if len(names) < 2 or len(trials) < 2:
        return None
    scores = [trial.score or 0.0 for trial in trials]
    axes = [_axis([trial.values.get(name) for trial in trials], is_log=name in loss.logarithmic) for name in names]
    axes.append(_axis(scores, is_log=False))
    heights = axes[-1].heights
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": list(range(len(axes))),
            "y": short((axis.heights[place] for axis in axes), 3),
            "line": {"color": _between(heights[place]), "width": 1.5},
            "text": [_words(trial, "trial")] * len(axes),
            "hovertemplate": "%{text}<extra></extra>",
        }
        for place, trial in enumerate(trials)
    ]
    data[-1]["line"] = {"color": COLOURS[1], "width": 2.5}
    layout: Figure = {
        "height": 300,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(axes))),
            "ticktext": [plain_text(name) for name in (*names, "score")],
            "range": [-0.15, len(axes) - 0.6],
            "showgrid": True,
            "zeroline": False,
            "side": "top",
        },
        "yaxis": {"visible": False, "range": [-0.08, 1.08]},
        "annotations": [
            {"x": place, "y": height, "text": plain_text(text), "xanchor": "left", "xshift": 4, "showarrow": False}
            for place, axis in enumerate(axes)
            for height, text in axis.ticks
        ],
    }
    return {"data": data, "layout": layout}


def _axis(values: Sequence[object], *, is_log: bool) -> _Axis:
    numbers = [float(value) for value in values if isinstance(value, int | float) and _is_number(value)]
    if len(numbers) < len(values):
        texts = [value_text(value) for value in values]
        choices = sorted(set(texts))
        step = 1 / max(1, len(choices) - 1)
        ticks = tuple((place * step, text) for place, text in enumerate(choices))
        return _Axis(tuple(choices.index(text) * step for text in texts), ticks)
    on_scale = [math.log(number) for number in numbers] if is_log else numbers
    low, high = min(on_scale), max(on_scale)
    reach = high - low or 1.0
    ticks = tuple({0.0: value_text(min(numbers)), (high - low) / reach: value_text(max(numbers))}.items())
    return _Axis(tuple((number - low) / reach for number in on_scale), ticks)


def _between(share: float) -> str:
    """Return a colour between that of the worst score and that of the best."""
    parts = (round(worst + share * (best - worst)) for worst, best in zip(WORST, BEST, strict=True))
    return f"rgb({','.join(map(str, parts))})"


def importances(loss: SearchedRecord) -> Figure | None:
    """Return a bar for each setting: its share in what makes scores differ, the largest on top."""
    known = {name: share for name, share in loss.importances.items() if share is not None}
    if not known:
        return None
    ordered = sorted(known, key=lambda name: known[name])
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": short(known[name] * 100 for name in ordered),
                "y": [plain_text(name) for name in ordered],
                "marker": {"color": COLOURS[0]},
                "hovertemplate": "%{y}: %{x:.0f} %<extra></extra>",
            }
        ],
        "layout": {
            "height": 90 + 28 * len(ordered),
            "showlegend": False,
            "xaxis": {"title": {"text": "share in what makes scores differ, %"}, "range": [0, 100], "zeroline": False},
            "yaxis": {"automargin": True, "fixedrange": True},
        },
    }
