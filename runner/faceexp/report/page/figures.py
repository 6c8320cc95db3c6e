"""What the charts of the page share: each is a Plotly figure, as plain data.

A figure is ``{"data": [...], "layout": {...}}``, as ``plotly.graph_objects.Figure`` takes it. Whatever depends on where
it is shown, such as margins and the colours of text and grid, is added by the page's script.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# A part of the one block of JSON that the page's script reads.
PageJson = dict[str, Any]
Figure = PageJson
Floats = npt.NDArray[np.float64]

# Those colours of Okabe and Ito that can be seen on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#7F7F7F"
# The colour and the symbol of each kind of row, as Plotly has them.
MARKS = {"loss": (COLOURS[0], 0), "pretrained": (COLOURS[1], 1), "baseline": (GREY, 102)}
# Pixels of strokes and gaps of a dotted line.
DOTS = "2px 3px"


def vertical_line(x: float) -> Figure:
    """Return a dotted line from the bottom to the top of a chart."""
    return {
        "type": "line",
        "x0": short([x])[0],
        "x1": short([x])[0],
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"color": GREY, "width": 1, "dash": DOTS},
    }


def guessing_line(x: float) -> Figure:
    """Return a full line at what guessing gives; that of the best mean is dotted."""
    line = vertical_line(x)
    return line | {"line": {"color": COLOURS[1], "width": 1.5}}


def guessing_word(x: float) -> Figure:
    """Return the word above that line."""
    return {
        "text": "guessing",
        "x": x,
        "xanchor": "left",
        "xshift": 3,
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 11, "color": COLOURS[1]},
    }


def plotly_dash(lengths: str) -> str:
    """Return an SVG dash pattern as Plotly writes it."""
    return " ".join(f"{length}px" for length in lengths.split()) or "solid"


def short(values: Iterable[float | None], digits: int = 5) -> list[float | None]:
    """Return numbers with only as many digits as a chart can show, since each digit makes the page larger."""
    return [None if value is None else float(f"{value:.{digits}g}") for value in values]


def plain_text(label: object) -> str:
    """Return text so that Plotly shows it unchanged: it would take parts of it for tags."""
    return html.escape(str(label), quote=False)


def labelled(labels: Sequence[str]) -> Figure:
    """Return an axis with a label for each line, the first one on top."""
    return {
        "range": [len(labels) - 0.4, -0.6],
        "tickmode": "array",
        "tickvals": list(range(len(labels))),
        "ticktext": [plain_text(label) for label in labels],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
    }
