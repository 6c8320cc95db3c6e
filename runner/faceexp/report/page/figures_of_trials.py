"""Charts of the trials of one row: distances, reliability, training and embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from faceexp.report.page.figures import COLOURS, GREY, Figure, plain_text, plotly_dash, short, vertical_line
from faceexp.results.evidence import DiagnosticsRecord, MapRecord
from faceexp.results.record import CalibrationRecord
from faceexp.results.schema import TrialRecord

# Plotly's numbers for filled circle, square, diamond, cross, x, triangle and star. Like the dashes of lines they are
# seven, so that 42 identities differ from each other in colour or in shape.
SYMBOLS = (0, 1, 2, 3, 4, 5, 17)
SIMILAR, DIFFERENT = COLOURS[0], COLOURS[1]
# Bins of the reliability curve: more of them would leave too few pairs in each for a small test part.
PROBABILITY_BINS = 10
# The log odds beyond which a probability is 0 or 1 anyway, and the exponential function would overflow.
LARGEST_ODDS = 500


def histogram(diagnostics: DiagnosticsRecord, threshold: float, distance: str) -> Figure:
    """Return the distances of similar and of different pairs, each kind as shares of its own number.

    Args:
        diagnostics: Those of a trial; ``edges``, ``similar`` and ``different`` give its histograms.
        threshold: The distance up to which a pair counts as similar.
        distance: ``"euclidean"`` or ``"cosine"``.
    """
    edges = diagnostics.edges
    data = []
    kinds = (("similar", diagnostics.similar, SIMILAR, ""), ("different", diagnostics.different, DIFFERENT, "5 2"))
    for kind, counts, colour, dash in kinds:
        shares = short(np.array(counts) / max(sum(counts), 1) * 100, 4)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{kind} pairs ({sum(counts):,})",
                # A line of steps: each share holds from one edge to the next, and both ends go down to 0.
                "x": [edges[0], *edges],
                "y": [0, *shares, 0],
                "customdata": [0, *counts, 0],
                "line": {"color": colour, "width": 1.5, "shape": "hv", "dash": plotly_dash(dash)},
                "fill": "tozeroy",
                "fillcolor": f"{colour}40",
                "hovertemplate": f"{kind}: %{{customdata}} pairs, %{{y:.3g}} %<extra></extra>",
            }
        )
    line = vertical_line(threshold) | {"layer": "above", "line": {"color": GREY, "width": 2}}
    # Beside the line, its name would lie under the chart's buttons, or on the curves.
    named = {"type": "scatter", "mode": "lines", "x": [None], "y": [None], "name": f"threshold {threshold:.3g}"}
    data.append(named | {"line": line["line"], "hoverinfo": "skip"})
    layout = {
        "height": 340,
        "hovermode": "x",
        "xaxis": {"title": {"text": f"{distance} distance"}, "zeroline": False},
        "yaxis": {"title": {"text": "share of the kind's pairs, %"}, "rangemode": "tozero"},
        "shapes": [line],
        "legend": {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top", "itemclick": False},
    }
    return {"data": data, "layout": layout}


def reliability(calibrated: Sequence[tuple[DiagnosticsRecord, CalibrationRecord]]) -> tuple[Figure, float]:
    """Return how often pairs that were given a probability are similar, and the mean distance from the diagonal.

    In every trial, similar and different pairs weigh the same, as they do in the probability. Only the histograms of
    the distances are known, so each pair counts as if it lay in the middle of its bin.

    Args:
        calibrated: Diagnostics and calibration of each trial: the histograms of its distances, and its log odds.
    """
    weights = np.zeros((2, PROBABILITY_BINS))
    sums = np.zeros(PROBABILITY_BINS)
    for diagnostics, calibration in calibrated:
        edges = np.asarray(diagnostics.edges, dtype=float)
        odds = (calibration.intercept or 0.0) + (calibration.slope or 0.0) * (edges[1:] + edges[:-1]) / 2
        given = 1 / (1 + np.exp(-np.clip(odds, -LARGEST_ODDS, LARGEST_ODDS)))
        places = np.minimum((given * PROBABILITY_BINS).astype(int), PROBABILITY_BINS - 1)
        for kind, pairs in enumerate((diagnostics.different, diagnostics.similar)):
            counts = np.asarray(pairs, dtype=float)
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


def training(trials: Sequence[TrialRecord], score: str) -> Figure:
    """Return loss and validation score over the steps of phase 2, one line per trial; dots mark the kept steps."""
    data: list[Figure] = []
    for trial in trials:
        steps = [point.step for point in trial.curve]
        name = f"seed {trial.seed}, fold {trial.fold}"
        losses = [point.loss for point in trial.curve]
        scores = [point.validation for point in trial.curve]
        for values, axis, colour in ((losses, "y", COLOURS[1]), (scores, "y2", COLOURS[0])):
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines" if len(steps) > 1 else "markers",
                    "name": name,
                    "x": steps,
                    "y": short(values),
                    "xaxis": "x",
                    "yaxis": axis,
                    "line": {"color": colour, "width": 1.2},
                    "opacity": 0.75,
                    "hovertemplate": f"{name}: %{{y:.4g}} at step %{{x}}<extra></extra>",
                }
            )
    best = [point for trial in trials for point in trial.curve if point.step == trial.best_step]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "kept",
            "x": [point.step for point in best],
            "y": short(point.validation for point in best),
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
        "yaxis2": {"title": {"text": f"validation {score}"}, "domain": [0, 0.45], "zeroline": False},
    }
    return {"data": data, "layout": layout}


def projection(points: MapRecord) -> Figure:
    """Return embeddings in the plane of their largest variance, each identity in its own colour and shape.

    Args:
        points: The embeddings in that plane, with their identities.
    """
    data = []
    for number, identity in enumerate(dict.fromkeys(points.identity)):
        places = [place for place, name in enumerate(points.identity) if name == identity]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain_text(identity),
                "x": short((points.x[place] for place in places), 4),
                "y": short((points.y[place] for place in places), 4),
                "marker": {
                    "color": COLOURS[number % len(COLOURS)],
                    "symbol": SYMBOLS[number % len(SYMBOLS)],
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
