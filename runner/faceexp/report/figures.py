"""The charts of the page, as Plotly figures in plain data.

A figure is ``{"data": [...], "layout": {...}}``, as ``plotly.graph_objects.Figure`` takes it. What depends on where it
is shown - colours of text and grid, margins - is the page's business.

References:
    Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006): vertical averaging.
    Martin et al., "The DET curve in assessment of detection task performance", Eurospeech (1997): its axes.
    Okabe and Ito, "Color Universal Design" (2008): colours that the colour-blind can tell apart.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from faceexp.report.numbers import Column, Row, written

Figure = dict[str, Any]
Floats = npt.NDArray[np.float64]

# Those of Okabe and Ito that show on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Seven and six have no common divisor: 42 lines differ in colour or in dashes, neighbours in both.
DASHES = ("", "7 3", "2 3", "12 4", "8 3 2 3", "14 3 2 3", "3 6")
# Plotly's numbers for filled circle, square, diamond, cross, x, triangle and star: seven, for the same reason.
SYMBOLS = (0, 1, 2, 3, 4, 5, 17)
GREY = "#7F7F7F"
SIMILAR, DIFFERENT = COLOURS[0], COLOURS[1]

PROBABILITY_BINS = 10

# Where curves of several trials are averaged.
FAR = np.unique(np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 61), np.linspace(0.0, 1.0, 41)]))
DET_TICKS = (0.1, 1, 5, 10, 20, 40, 60, 80, 95)
# The ends of the DET axes, as rates; what is beyond runs out of the picture.
DET_FAR = (0.0006, 0.5)
DET_FRR = (0.003, 0.97)


@dataclass(frozen=True)
class Style:
    """How a row is drawn in every chart that has several.

    Attributes:
        colour: As CSS writes it.
        dash: Lengths in pixels of strokes and gaps, as SVG's ``stroke-dasharray`` takes them; empty: a solid line.
    """

    colour: str
    dash: str


@dataclass(frozen=True)
class Curve:
    """The mean ROC of a row.

    Attributes:
        label: The row.
        style: How it is drawn.
        tar: float (F,), mean true accept rates at the false accept rates :data:`FAR`.
        shown: Whether it is drawn before anybody asks for it.
    """

    label: str
    style: Style
    tar: Floats
    shown: bool


def styles(listed: Sequence[Row]) -> list[Style]:
    """Return how each row is drawn: losses in colours, baselines in grey."""
    found = []
    losses = baselines = 0
    for row in listed:
        if row.kind == "loss":
            found.append(Style(COLOURS[losses % len(COLOURS)], DASHES[losses % len(DASHES)]))
            losses += 1
        else:
            found.append(Style(GREY, DASHES[baselines % len(DASHES)]))
            baselines += 1
    return found


def forest(listed: Sequence[Row], column: Column) -> Figure:
    """Return the means of a metric with their 95 % intervals, a row a line, the best on top.

    Args:
        listed: The rows, the best first.
        column: The metric.
    """
    present = [row for row in listed if row.summaries.get(column.metric, {}).get("mean") is not None]
    data = []
    for kind, colour, symbol in (("loss", COLOURS[0], 0), ("baseline", GREY, 102)):
        places = [place for place, row in enumerate(present) if row.kind == kind]
        found = [present[place].summaries[column.metric] for place in places]
        half = [_half(item) for item in found]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": kind,
                "x": short(item["mean"] * column.scale for item in found),
                "y": places,
                "error_x": {"type": "data", "array": short(h * column.scale for h in half), "width": 0, "thickness": 2},
                "marker": {"color": colour, "size": 9, "symbol": symbol},
                "text": [
                    f"{_text(present[p].label)}: {written(item, column)}" for p, item in zip(places, found, strict=True)
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = {
        "height": 90 + 24 * len(present),
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": f"{_text(column.heading)}, {'higher' if column.higher else 'lower'} is better"},
            "range": _range(present, column),
            "zeroline": False,
        },
        "yaxis": {
            "range": [len(present) - 0.4, -0.6],
            "tickmode": "array",
            "tickvals": list(range(len(present))),
            "ticktext": [_text(row.label) for row in present],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "automargin": True,
        },
        "shapes": [_line(present[0].summaries[column.metric]["mean"] * column.scale)] if present else [],
    }
    return {"data": data, "layout": layout}


def _half(summary: Mapping[str, Any]) -> float:
    return float(summary["ci95"][1] - summary["ci95"][0]) / 2 if summary["ci95"] else 0.0


def _range(present: Sequence[Row], column: Column) -> list[float | None]:
    """Return the ends of the axis: Plotly's own choice makes room for labels where they need none."""
    found = [row.summaries[column.metric] for row in present]
    low = min((item["mean"] - _half(item) for item in found), default=0.0)
    high = max((item["mean"] + _half(item) for item in found), default=1.0)
    room = 0.04 * (high - low) or 0.04
    return short([(low - room) * column.scale, (high + room) * column.scale])


def _line(x: float) -> Figure:
    return {
        "type": "line",
        "x0": short([x])[0],
        "x1": short([x])[0],
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"color": GREY, "width": 1, "dash": "2px 3px"},
    }


def average(curves: Sequence[Mapping[str, Sequence[float]]]) -> Floats:
    """Return the mean of ROC curves at the false accept rates :data:`FAR`: vertical averaging after Fawcett.

    Each curve is read off its polyline; where it rises straight up, its upper end counts.

    Args:
        curves: Of each trial, ``far`` and ``tar`` of its vertices, ascending, from (0, 0) to (1, 1).

    Returns:
        float (F,), mean true accept rates.
    """
    return np.asarray(np.mean([np.interp(FAR, curve["far"], curve["tar"]) for curve in curves], axis=0), np.float64)


def roc(curves: Sequence[Curve]) -> Figure:
    """Return true accept rate over false accept rate, one line a row."""
    data = [
        _trace(curve) | {"x": short(FAR * 100), "y": short(curve.tar * 100), "hovertemplate": _rates("TAR")}
        for curve in curves
    ]
    guess = {
        "type": "line",
        "x0": 0,
        "y0": 0,
        "x1": 100,
        "y1": 100,
        "layer": "below",
        "line": {"color": GREY, "width": 1, "dash": "2px 3px"},
    }
    layout = {
        "height": 420,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "false accept rate, %"}, "range": [-1, 101], "zeroline": False},
        "yaxis": {"title": {"text": "true accept rate, %"}, "range": [-1, 101], "zeroline": False},
        "shapes": [guess],
    }
    return {"data": data, "layout": layout}


def det(curves: Sequence[Curve]) -> Figure:
    """Return false reject rate over false accept rate, both axes scaled by the normal distribution's quantiles."""
    data = []
    for curve in curves:
        frr = 1 - curve.tar
        data.append(
            _trace(curve)
            | {
                "x": short(deviates(FAR)),
                "y": short(deviates(frr)),
                "customdata": [list(pair) for pair in zip(short(FAR * 100, 3), short(frr * 100, 3), strict=True)],
                "hovertemplate": "%{fullData.name}<br>FAR %{customdata[0]} %, FRR %{customdata[1]} %<extra></extra>",
            }
        )
    ticks = {
        "tickmode": "array",
        "tickvals": short(deviates(np.array(DET_TICKS) / 100)),
        "ticktext": [f"{tick:g}" for tick in DET_TICKS],
        "zeroline": False,
    }
    layout = {
        "height": 420,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "false accept rate, %"}, "range": short(deviates(np.array(DET_FAR)))} | ticks,
        "yaxis": {"title": {"text": "false reject rate, %"}, "range": short(deviates(np.array(DET_FRR)))} | ticks,
    }
    return {"data": data, "layout": layout}


def deviates(rates: Floats) -> Floats:
    """Return the standard normal quantiles of rates; those of 0 and 1 as of rates far outside the picture."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(rate)) for rate in np.clip(rates, 1e-6, 1 - 1e-6)])


def _trace(curve: Curve) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": _text(curve.label),
        "visible": curve.shown,
        "line": {"color": curve.style.colour, "width": 2, "dash": _dash(curve.style.dash)},
    }


def _dash(lengths: str) -> str:
    """Return an SVG dash pattern as Plotly writes it."""
    return " ".join(f"{length}px" for length in lengths.split()) or "solid"


def _rates(name: str) -> str:
    return f"%{{fullData.name}}<br>FAR %{{x:.3g}} %, {name} %{{y:.3g}} %<extra></extra>"


def histogram(evidence: Mapping[str, Any], threshold: float, distance: str) -> Figure:
    """Return the distances of similar and of different pairs, each kind as shares of its own number.

    Args:
        evidence: Of a trial: ``edges`` of the bins, and how many ``similar`` and ``different`` pairs are in each.
        threshold: Distance up to which a pair counts as similar.
        distance: ``"euclidean"`` or ``"cosine"``.
    """
    edges = evidence["edges"]
    data = []
    for kind, colour, dash in (("similar", SIMILAR, ""), ("different", DIFFERENT, "5 2")):
        counts = evidence[kind]
        shares = short(np.array(counts) / max(sum(counts), 1) * 100, 4)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{kind} pairs ({sum(counts):,})",
                # Steps: the first edge to the second at the first share, and down to nothing at both ends.
                "x": [edges[0], *edges],
                "y": [0, *shares, 0],
                "customdata": [0, *counts, 0],
                "line": {"color": colour, "width": 1.5, "shape": "hv", "dash": _dash(dash)},
                "fill": "tozeroy",
                "fillcolor": f"{colour}40",
                "hovertemplate": f"{kind}: %{{customdata}} pairs, %{{y:.3g}} %<extra></extra>",
            }
        )
    marked = _line(threshold) | {"layer": "above", "line": {"color": GREY, "width": 2}}
    words = {
        "x": short([threshold])[0],
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "text": f"threshold {threshold:.3g}",
    }
    layout = {
        "height": 340,
        "hovermode": "x",
        "xaxis": {"title": {"text": f"{distance} distance"}, "zeroline": False},
        "yaxis": {"title": {"text": "share of the kind's pairs, %"}, "rangemode": "tozero"},
        "shapes": [marked],
        "annotations": [words],
        "legend": {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top", "itemclick": False},
    }
    return {"data": data, "layout": layout}


def reliability(own: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> tuple[Figure, float]:
    """Return how often pairs that were given a probability are similar, and the mean distance from the diagonal.

    Every trial's two kinds of pairs weigh the same, as they do in the probability. Pairs are known by their bins of the
    histograms of distances, each at its middle.

    Args:
        own: Of each trial: ``edges``, ``similar``, ``different``; and ``slope`` and ``intercept`` of the log odds.
    """
    weights = np.zeros((2, PROBABILITY_BINS))
    sums = np.zeros(PROBABILITY_BINS)
    for evidence, calibration in own:
        edges = np.asarray(evidence["edges"], dtype=float)
        odds = calibration["intercept"] + calibration["slope"] * (edges[1:] + edges[:-1]) / 2
        given = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        places = np.minimum((given * PROBABILITY_BINS).astype(int), PROBABILITY_BINS - 1)
        for kind, name in enumerate(("different", "similar")):
            counts = np.asarray(evidence[name], dtype=float)
            share = counts / max(counts.sum(), 1)
            np.add.at(weights[kind], places, share)
            np.add.at(sums, places, share * given)
    total = weights.sum(axis=0)
    present = total > 0
    predicted, observed = sums[present] / total[present], weights[1, present] / total[present]
    error = float(np.average(np.abs(predicted - observed), weights=total[present])) if present.any() else math.nan
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, 100],
            "y": [0, 100],
            "line": {"color": GREY, "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": short(predicted * 100, 4),
            "y": short(observed * 100, 4),
            "customdata": short(total[present] / total.sum() * 100, 3),
            "line": {"color": COLOURS[0], "width": 1.5},
            "marker": {"size": 7},
            "hovertemplate": "said %{x:.3g} %, were %{y:.3g} % (%{customdata} % of pairs)<extra></extra>",
        },
    ]
    layout = {
        "height": 340,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "probability that was given, %"}, "range": [0, 100], "zeroline": False},
        "yaxis": {"title": {"text": "pairs of one person, %"}, "range": [-3, 103], "zeroline": False},
    }
    return {"data": data, "layout": layout}, error


def training(trials: Sequence[Mapping[str, Any]]) -> Figure:
    """Return loss and validation AUC over the steps of phase 2, a thin line a trial, the kept step marked."""
    data: list[Figure] = []
    for trial in trials:
        steps = [point["step"] for point in trial["curve"]]
        name = f"seed {trial['seed']}, fold {trial['fold']}"
        for key, axis, colour in (("loss", "y", COLOURS[1]), ("validation", "y2", COLOURS[0])):
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines" if len(steps) > 1 else "markers",
                    "name": name,
                    "x": steps,
                    "y": short(point[key] for point in trial["curve"]),
                    "xaxis": "x",
                    "yaxis": axis,
                    "line": {"color": colour, "width": 1.2},
                    "opacity": 0.75,
                    "hovertemplate": f"{name}: %{{y:.4g}} at step %{{x}}<extra></extra>",
                }
            )
    kept = [(p["step"], p["validation"]) for t in trials for p in t["curve"] if p["step"] == t["best_step"]]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "kept",
            "x": [step for step, _ in kept],
            "y": short(value for _, value in kept),
            "xaxis": "x",
            "yaxis": "y2",
            "marker": {"color": COLOURS[0], "size": 8, "symbol": 0},
            "hovertemplate": "kept: %{y:.4g} at step %{x}<extra></extra>",
        }
    )
    layout = {
        "height": 340,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "step"}, "anchor": "y2", "zeroline": False},
        "yaxis": {"title": {"text": "loss"}, "domain": [0.55, 1], "zeroline": False},
        "yaxis2": {"title": {"text": "validation AUC"}, "domain": [0, 0.45], "zeroline": False},
    }
    return {"data": data, "layout": layout}


def projection(points: Mapping[str, Any]) -> Figure:
    """Return embeddings in the plane of their largest variance, each identity in its own colour and shape.

    Args:
        points: ``x``, ``y``, ``identity`` of each, and the share of the variance that is ``explained``.
    """
    data = []
    for place, identity in enumerate(dict.fromkeys(points["identity"])):
        own = [index for index, name in enumerate(points["identity"]) if name == identity]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": _text(identity),
                "x": short((points["x"][index] for index in own), 4),
                "y": short((points["y"][index] for index in own), 4),
                "marker": {
                    "color": COLOURS[place % len(COLOURS)],
                    "symbol": SYMBOLS[place % len(SYMBOLS)],
                    "size": 8,
                    "opacity": 0.85,
                },
                "hovertemplate": "%{fullData.name}<extra></extra>",
            }
        )
    axis = {"showticklabels": False, "zeroline": False}
    layout = {
        "height": 380,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "first principal component"}} | axis,
        "yaxis": {"title": {"text": "second principal component"}, "scaleanchor": "x"} | axis,
    }
    return {"data": data, "layout": layout}


def short(values: Iterable[float | None], digits: int = 5) -> list[float | None]:
    """Return numbers with as many digits as a chart can show; what is none stays so."""
    return [None if value is None else float(f"{value:.{digits}g}") for value in values]


def _text(label: object) -> str:
    """Return text as Plotly shows it unchanged: it reads a few tags."""
    return html.escape(str(label), quote=False)
