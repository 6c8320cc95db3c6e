"""What the charts of the page share: they are Plotly figures in plain data.

A figure is ``{"data": [...], "layout": {...}}``, as ``plotly.graph_objects.Figure`` takes it. What depends on where it
is shown - colours of text and grid, margins - is the page's business.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Figure = dict[str, Any]


Floats = npt.NDArray[np.float64]


# Those of Okabe and Ito that show on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


GREY = "#7F7F7F"


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
        "line": {"color": GREY, "width": 1, "dash": "2px 3px"},
    }


def plotly_dash(lengths: str) -> str:
    """Return an SVG dash pattern as Plotly writes it."""
    return " ".join(f"{length}px" for length in lengths.split()) or "solid"


def short(values: Iterable[float | None], digits: int = 5) -> list[float | None]:
    """Return numbers with as many digits as a chart can show; what is none stays so."""
    return [None if value is None else float(f"{value:.{digits}g}") for value in values]


def plain_text(label: object) -> str:
    """Return text as Plotly shows it unchanged: it reads a few tags."""
    return html.escape(str(label), quote=False)
