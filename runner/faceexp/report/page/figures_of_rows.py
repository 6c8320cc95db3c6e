"""Charts that compare rows: means with intervals, ROC and DET curves.

References:
    Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006): vertical averaging.
    Martin et al., "The DET curve in assessment of detection task performance", Eurospeech (1997): its axes.
    Okabe and Ito, "Color Universal Design" (2008): colours that the colour-blind can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from faceexp.evaluation.catalogue import Metric
from faceexp.report.columns import Row, mean_and_interval
from faceexp.report.page.figures import (
    COLOURS,
    DOTS,
    GREY,
    MARKS,
    Figure,
    Floats,
    guessing_line,
    guessing_word,
    labelled,
    plain_text,
    plotly_dash,
    short,
    vertical_line,
)
from faceexp.results.schema import SummaryRecord
from faceexp.results.verdict import ClaimRecord

# There are seven of them and six colours, and 7 and 6 have no common divisor: so 42 lines in a row differ from each
# other in colour or in dashes, and two neighbours differ in both.
DASHES = ("", "7 3", "2 3", "12 4", "8 3 2 3", "14 3 2 3", "3 6")
# The false accept rates at which the curves of several trials are averaged: close to each other near 0, where the ROC
# rises steeply and the DET has its left half, and evenly spread over the rest.
FAR = np.unique(np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 61), np.linspace(0.0, 1.0, 41)]))
# Rates in per cent that are marked on the DET axes.
DET_TICKS = (0.1, 1, 5, 10, 20, 40, 60, 80, 95)
# The ends of the DET axes, as rates. The axes have no end of their own, since the normal quantiles of 0 and 1 are
# infinite; what lies beyond these rates runs out of the picture.
DET_FAR = (0.0006, 0.5)
DET_FRR = (0.003, 0.97)
# What stands for a rate of 0, and 1 minus it for a rate of 1: far outside these ends, and with a finite quantile.
ALMOST_NEVER = 1e-6


# The colour of each verdict of a claim: blue and orange can be told apart by everybody.
CLAIM_COLOURS = {"better": COLOURS[0], "worse": COLOURS[1], "practically equal": COLOURS[2], "undecided": GREY}


@dataclass(frozen=True)
class Style:
    """How a row is drawn in every chart that shows several rows.

    Attributes:
        colour: The colour, as CSS writes it.
        dash: Lengths of strokes and gaps in pixels, as SVG's ``stroke-dasharray`` takes them; empty for a solid line.
    """

    colour: str
    dash: str


@dataclass(frozen=True)
class Curve:
    """The mean ROC of a row.

    Attributes:
        label: The label of the row.
        style: How it is drawn.
        tar: float (F,), mean true accept rates at the false accept rates :data:`FAR`.
        drawn_at_first: Whether it is drawn before the reader chooses any lines.
    """

    label: str
    style: Style
    tar: Floats
    drawn_at_first: bool


def styles(rows: Sequence[Row]) -> list[Style]:
    """Return how each row is drawn: losses in colours, baselines in grey."""
    of_rows = []
    losses = baselines = 0
    for row in rows:
        if row.kind != "baseline":
            of_rows.append(Style(COLOURS[losses % len(COLOURS)], DASHES[losses % len(DASHES)]))
            losses += 1
        else:
            of_rows.append(Style(GREY, DASHES[baselines % len(DASHES)]))
            baselines += 1
    return of_rows


def forest(rows: Sequence[Row], metric: Metric) -> Figure:
    """Return the means of a metric with their 95 % intervals, one line per row, the best on top.

    Args:
        rows: The rows, the best first; those without a mean are left out.
        metric: The metric.
    """
    present = [row for row in rows if row.mean(metric) is not None]
    data = []
    for kind, (colour, symbol) in MARKS.items():
        places = [place for place, row in enumerate(present) if row.kind == kind]
        summaries = [present[place].summaries[metric.key] for place in places]
        below, above = zip(*(_reach(summary) for summary in summaries), strict=True) if summaries else ((), ())
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": kind,
                "x": short((present[place].mean(metric) or 0.0) * metric.scale for place in places),
                "y": places,
                "error_x": _bars(below, above, metric),
                "marker": {"color": colour, "size": 9, "symbol": symbol},
                "text": [
                    f"{plain_text(present[place].label)}: {mean_and_interval(summary, metric)}"
                    for place, summary in zip(places, summaries, strict=True)
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout: Figure = {
        "height": 90 + 24 * len(present),
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": f"{plain_text(metric.heading)}, {metric.better} is better"},
            "range": _range(present, metric),
            "zeroline": False,
        },
        "yaxis": labelled([row.label for row in present]),
        "shapes": [vertical_line((present[0].mean(metric) or 0.0) * metric.scale)] if present else [],
    }
    if metric.guessing is not None:
        at = metric.guessing * metric.scale
        layout |= {"shapes": [*layout["shapes"], guessing_line(at)], "annotations": [guessing_word(at)]}
    return {"data": data, "layout": layout}


def helps(claims: Sequence[ClaimRecord], metric: Metric, equivalence: float) -> Figure | None:
    """Return the difference of each loss from its reference with the interval of the claim, the largest on top.

    The band is the margin of equivalence. ``None`` if nothing was tested.

    Args:
        claims: One per loss.
        metric: The metric that is judged.
        equivalence: Half the width of the band, in units of the metric.
    """
    sign = 1 if metric.higher_is_better else -1
    drawn = sorted((claim for claim in claims if claim.interval), key=lambda claim: -sign * (claim.difference or 0.0))
    if not drawn:
        return None
    data = []
    for verdict, colour in CLAIM_COLOURS.items():
        places = [place for place, claim in enumerate(drawn) if claim.verdict == verdict]
        chosen = [drawn[place] for place in places]
        reach = [_reach_of(claim.difference, claim.interval) for claim in chosen]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": verdict,
                "x": short((claim.difference or 0.0) * metric.scale for claim in chosen),
                "y": places,
                "error_x": _bars([low for low, _ in reach], [high for _, high in reach], metric),
                "marker": {"color": colour, "size": 9},
                "text": [f"{plain_text(claim.label)}: {claim.verdict}" for claim in chosen],
                "hovertemplate": f"%{{text}}<br>%{{x:.{metric.digits}f}}<extra></extra>",
            }
        )
    margin = equivalence * metric.scale
    band = {
        "type": "rect",
        "x0": -margin,
        "x1": margin,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "fillcolor": GREY,
        "opacity": 0.25,
        "line": {"width": 0},
    }
    unit = " in points" if metric.is_percentage else ""
    better = "right" if metric.higher_is_better else "left"
    layout = {
        "height": 110 + 24 * len(drawn),
        "showlegend": True,
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": f"{plain_text(metric.name)} minus the reference{unit}; further {better} is better"},
            "zeroline": False,
        },
        "yaxis": labelled([claim.label for claim in drawn]),
        "shapes": [band, vertical_line(0.0)],
    }
    return {"data": data, "layout": layout}


def _bars(below: Sequence[float], above: Sequence[float], metric: Metric) -> Figure:
    """Return error bars, which are longer on one side than on the other."""
    return {
        "type": "data",
        "symmetric": False,
        "array": short(reach * metric.scale for reach in above),
        "arrayminus": short(reach * metric.scale for reach in below),
        "width": 0,
        "thickness": 2,
    }


def _reach(summary: SummaryRecord) -> tuple[float, float]:
    """Return how far the interval of a mean reaches below and above it; 0 where it has none."""
    return _reach_of(summary.mean, summary.ci95)


def _reach_of(value: float | None, interval: tuple[float, float] | None) -> tuple[float, float]:
    return (0.0, 0.0) if value is None or interval is None else (value - interval[0], interval[1] - value)


def _range(present: Sequence[Row], metric: Metric) -> list[float | None]:
    """Return the ends of the axis; those that Plotly would choose leave room for labels that stand elsewhere here."""
    ends = [(row.mean(metric) or 0.0, _reach(row.summaries[metric.key])) for row in present]
    if metric.guessing is not None:
        ends.append((metric.guessing, (0.0, 0.0)))
    low = min((mean - below for mean, (below, _) in ends), default=0.0)
    high = max((mean + above for mean, (_, above) in ends), default=1.0)
    room = 0.04 * (high - low) or 0.04
    return short([(low - room) * metric.scale, (high + room) * metric.scale])


def average(curves: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Floats:
    """Return the mean of ROC curves at the false accept rates :data:`FAR`: vertical averaging after Fawcett.

    Each curve is read off its polyline; where it rises straight up, its upper end counts.

    Args:
        curves: Of each trial, FAR and TAR of its vertices, ascending, from (0, 0) to (1, 1).

    Returns:
        float (F,), mean true accept rates.
    """
    return np.asarray(np.mean([np.interp(FAR, far, tar) for far, tar in curves], axis=0), np.float64)


def roc(curves: Sequence[Curve]) -> Figure:
    """Return the true accept rate over the false accept rate, one line per row."""
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
        "line": {"color": GREY, "width": 1, "dash": DOTS},
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
    """Return the false reject rate over the false accept rate, both as quantiles of the normal distribution."""
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
    """Return the standard normal quantiles of rates; those of 0 and 1 are finite and far outside the picture."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(rate)) for rate in np.clip(rates, ALMOST_NEVER, 1 - ALMOST_NEVER)])


def _trace(curve: Curve) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plain_text(curve.label),
        "visible": curve.drawn_at_first,
        "line": {"color": curve.style.colour, "width": 2, "dash": plotly_dash(curve.style.dash)},
    }


def _rates(name: str) -> str:
    return f"%{{fullData.name}}<br>FAR %{{x:.3g}} %, {name} %{{y:.3g}} %<extra></extra>"
