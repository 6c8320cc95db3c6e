"""Which metrics there are: what each is called, in which unit it is shown, which direction is better, what it means.

The module ``metrics`` computes them. A new metric is added here and there; tables, pages and comparisons follow by
themselves, and docs/architecture.md says which pages of the documentation do not. ``named`` finds a metric by its name.
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
            columns. Where two have the same one, their order is that of results.json.
        meaning: What it is, in half a sentence.
        explained: What it answers, and which values are good, in plain sentences for those who never met it.
        largest: The largest value that it can have; infinity for a ratio.
        guessing: The value that guessing gives; ``None`` if that depends on the data.
        by_folds: Whether its mean is shown with the standard error over folds instead of an interval.
    """

    key: str
    heading: str
    scale: int
    digits: int
    higher_is_better: bool
    importance: int
    meaning: str
    explained: str
    largest: float = 1.0
    guessing: float | None = None
    by_folds: bool = False

    @property
    def name(self) -> str:
        """The heading without its unit."""
        return self.heading.removesuffix(" %")

    def is_called(self, name: str) -> bool:
        """Return whether a user means this metric: by its key, or by its heading with the unit or without it."""
        return name.lower() in (self.key, self.heading.lower(), self.name.lower())

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
    def interval(self) -> str:
        """What stands beside its mean."""
        return "standard error" if self.by_folds else "95 % interval"

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
    "Do two photos show the same person? Accuracy says how often the answer is right at the threshold that was chosen "
    "on validation people. Pairs of one person and pairs of two people weigh one half each, whatever their numbers. "
    "100 % is perfect, 50 % is guessing.",
    guessing=0.5,
)
SIM_DIFF_RATIO = Metric(
    "sim_diff_ratio",
    "sim/diff",
    1,
    2,
    False,
    4,
    "mean distance of similar over that of different pairs",
    "How far apart are two photos of one person, compared with photos of two people? 0 is perfect, 0.5 is half as far, "
    "1 is guessing. It compares means alone, and does not say how often a decision is right.",
    math.inf,
    1.0,
)
# What the field reports of a list of pairs in folds, such as LFW's.
FOLD_ACCURACY = Metric(
    "fold_accuracy",
    "fold acc. %",
    100,
    2,
    True,
    1,
    "pairs of a list judged right, as LFW's protocol counts: mean and standard error over folds",
    "The number that papers report of LFW and of lists like it: which share of the pairs of a fold is judged right at "
    "the threshold that was best on all other folds? It stands as 99.78 ± 0.06, the mean over the folds and its "
    "standard error. 100 % is perfect, 50 % is guessing where both kinds of pairs are equally many. It needs "
    "a list of pairs.",
    by_folds=True,
)
# In the order in which results.json has them.
METRICS = (
    ACCURACY,
    FOLD_ACCURACY,
    SIM_DIFF_RATIO,
    Metric(
        "auc",
        "AUC",
        1,
        3,
        True,
        2,
        "probability that a similar pair is nearer than a different one",
        "Take a pair of photos of one person and a pair of two people: how often is the first pair the nearer one? 1 "
        "is perfect, 0.5 is guessing. It needs no threshold.",
        guessing=0.5,
    ),
    Metric(
        "eer",
        "EER %",
        100,
        1,
        False,
        3,
        "error where as many different pairs are accepted as similar ones rejected",
        "A strict threshold rejects pairs of one person, a loose one accepts pairs of two people. EER is how often "
        "each happens at the threshold where both happen equally often. 0 % is perfect, 50 % is guessing.",
        guessing=0.5,
    ),
    Metric(
        "tar@far=0.01",
        "TAR@1%",
        100,
        1,
        True,
        5,
        "similar pairs accepted when 1 % of different ones are",
        "Let at most 1 of 100 pairs of two people pass as one person: which share of the pairs of one person is "
        "accepted then? 100 % is perfect, 1 % is guessing. Few people make it a coarse number.",
        guessing=0.01,
    ),
    Metric(
        "tar@far=0.001",
        "TAR@0.1%",
        100,
        1,
        True,
        9,
        "similar pairs accepted when 0.1 % of different ones are",
        "Let at most 1 of 1,000 pairs of two people pass as one person: which share of the pairs of one person is "
        "accepted then? 100 % is perfect, 0.1 % is guessing. Few people make it a coarse number.",
        guessing=0.001,
    ),
    Metric(
        "precision_at_1",
        "P@1 %",
        100,
        1,
        True,
        7,
        "how often the nearest other image shows the same person",
        "Take one photo and look at the nearest of all others: how often does it show the same person? 100 % is "
        "perfect. Guessing gives the person's share of the other photos: little among many people, more among few.",
    ),
    Metric(
        "r_precision",
        "R-prec. %",
        100,
        1,
        True,
        8,
        "share of the R nearest images that show the same person",
        "Take one photo of a person of whom there are R others, and look at the R nearest photos: which share of them "
        "shows that person? 100 % is perfect: all of them. Guessing gives the person's share of the other photos: "
        "little among many people, more among few.",
    ),
    Metric(
        "map_at_r",
        "MAP@R %",
        100,
        1,
        True,
        6,
        "how well a person's photos come first among all",
        "Take one photo and sort all others by distance. MAP@R (mean average precision at R, the number of other "
        "photos of the same person) is 100 % if all of these come first, and lower the more photos of other people "
        "come before them. Guessing gives little among many people, more among few. Runs are judged by it unless the "
        "experiment file names another metric or gives a list of pairs: it looks at the order of all photos and so "
        "tells losses apart better than accuracy or AUC do.",
    ),
    Metric(
        "rank_1",
        "rank-1 %",
        100,
        1,
        True,
        10,
        "test images whose nearest enrolled image is of their person",
        "Take one test photo and look at the nearest of the enrolled photos, which are all that are not tested: how "
        "often does it show the same person? 100 % is perfect. It needs a closed set, in which everybody is enrolled.",
    ),
    Metric(
        "tpir@fpir=0.1",
        "TPIR@10%",
        100,
        1,
        True,
        11,
        "enrolled people who are found when 10 % of strangers are taken for somebody",
        "Half of the test people are enrolled in a gallery with one photo each, the others are strangers. Let at most "
        "1 of 10 photos of strangers be taken for somebody: how often does a photo of an enrolled person lead to that "
        "person? 100 % is perfect. It depends on how many people the gallery holds.",
    ),
    Metric(
        "tpir@fpir=0.01",
        "TPIR@1%",
        100,
        1,
        True,
        12,
        "enrolled people who are found when 1 % of strangers are taken for somebody",
        "The same where at most 1 of 100 photos of strangers is taken for somebody of the gallery. 100 % is perfect. "
        "It depends on how many people the gallery holds.",
    ),
    Metric(
        "cmc_rank_1",
        "CMC-1 %",
        100,
        1,
        True,
        13,
        "photos of enrolled people whose nearest person of the gallery is the right one",
        "Whoever searches is known to be in the gallery, which holds one photo of each of half of the test people: how "
        "often is the right person the nearest one? 100 % is perfect. It is the first point of the CMC (cumulative "
        "match characteristic), and depends on how many people the gallery holds.",
    ),
    Metric(
        "cmc_rank_5",
        "CMC-5 %",
        100,
        1,
        True,
        14,
        "photos of enrolled people of whom the right one is among the five nearest",
        "The same where somebody looks at the five nearest people of the gallery: how often is the right one among "
        "them? 100 % is perfect. It depends on how many people the gallery holds.",
    ),
)
METRIC_OF = {metric.key: metric for metric in METRICS}
# Those that are measured where an experiment file asks for identification.
IDENTIFICATION = tuple(key for key in METRIC_OF if key.startswith(("tpir@fpir=", "cmc_rank_")))
# In order of importance, as the columns of a table: those of every run, but for what lists and questions add.
COLUMNS = tuple(
    sorted(
        (metric for metric in METRICS if metric.key not in (FOLD_ACCURACY.key, *IDENTIFICATION)),
        key=lambda metric: metric.importance,
    )
)
# The false accept rates of every file that names none. They are never refused, since runs of before were not either.
USUAL_FARS = (0.01, 0.001)
# The metric by which runs of older versions, which declared none, are sorted and judged.
LEADING = ACCURACY
