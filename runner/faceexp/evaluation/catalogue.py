"""Which metrics there are: what each is called, in which unit it is shown, which direction is better, what it means.

The module ``metrics`` computes them. A new metric is added here and there; tables, pages and comparisons follow by
themselves, and docs/architecture.md says which pages of the documentation do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: Its name in ``results.json``.
        heading: Its name in tables, with the unit.
        scale: What values are multiplied by before they are shown: 100 if the unit is per cent, else 1.
        digits: How many digits after the decimal point are shown.
        higher_is_better: Whether higher values are better than lower ones.
        importance: Its position among the columns of a table, counted from 0. A narrow screen shows only the first
            columns.
        meaning: What it is, in half a sentence.
        largest: The largest value that it can have; infinity for a ratio.
        guessing: The value that guessing gives; ``None`` if that depends on the data.
    """

    key: str
    heading: str
    scale: int
    digits: int
    higher_is_better: bool
    importance: int
    meaning: str
    largest: float = 1.0
    guessing: float | None = None

    @property
    def name(self) -> str:
        """The heading without its unit."""
        return self.heading.removesuffix(" %")

    @property
    def is_percentage(self) -> bool:
        """Whether it is shown in per cent, so that differences are points."""
        return self.scale == 100

    def text(self, mean: float | None, interval: tuple[float, float] | None) -> str:
        """Return a value with its interval, such as ``95.1`` with 92.0 to 97.3; a hyphen if there is none.

        Args:
            mean: The value, not scaled yet.
            interval: Lower and upper end of its interval, if there is one.
        """
        if mean is None:
            return "-"
        text = f"{mean * self.scale:.{self.digits}f}"
        if interval:
            low, high = (f"{end * self.scale:.{self.digits}f}" for end in interval)
            text += f" {low}\N{EN DASH}{high}"
        return text

    def size(self, difference: float) -> str:
        """Return how large a difference is, such as ``5.1 points``."""
        text = f"{difference * self.scale:.{self.digits}f}"
        return f"{text} points" if self.is_percentage else text

    @property
    def better(self) -> str:
        """``"higher"`` or ``"lower"``, whichever is better."""
        return "higher" if self.higher_is_better else "lower"


ACCURACY = Metric(
    "accuracy",
    "accuracy %",
    100,
    1,
    True,
    0,
    "pairs judged right at the validation threshold, both kinds alike",
    guessing=0.5,
)
SIM_DIFF_RATIO = Metric(
    "sim_diff_ratio", "sim/diff", 1, 2, False, 3, "mean distance of similar over that of different pairs", math.inf, 1.0
)
# In the order in which results.json has them.
METRICS = (
    ACCURACY,
    SIM_DIFF_RATIO,
    Metric("auc", "AUC", 1, 3, True, 1, "probability that a similar pair is nearer than a different one", guessing=0.5),
    Metric(
        "eer",
        "EER %",
        100,
        1,
        False,
        2,
        "error where as many different pairs are accepted as similar ones rejected",
        guessing=0.5,
    ),
    Metric(
        "tar@far=0.01",
        "TAR@1%",
        100,
        1,
        True,
        4,
        "similar pairs accepted when 1 % of different ones are",
        guessing=0.01,
    ),
    Metric(
        "tar@far=0.001",
        "TAR@0.1%",
        100,
        1,
        True,
        8,
        "similar pairs accepted when 0.1 % of different ones are",
        guessing=0.001,
    ),
    Metric("precision_at_1", "P@1 %", 100, 1, True, 6, "how often the nearest other image shows the same person"),
    Metric("r_precision", "R-prec. %", 100, 1, True, 7, "share of the R nearest images that show the same person"),
    Metric("map_at_r", "MAP@R %", 100, 1, True, 5, "mean average precision at R of retrieval"),
    Metric("rank_1", "rank-1 %", 100, 1, True, 9, "test images whose nearest enrolled image is of their person"),
)
# In order of importance, as the columns of a table.
COLUMNS = tuple(sorted(METRICS, key=lambda metric: metric.importance))
METRIC_OF = {metric.key: metric for metric in METRICS}
# The metric by which runs of older versions, which declared none, are sorted and judged.
LEADING = ACCURACY
