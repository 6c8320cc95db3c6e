"""Which rows differ over several sets of faces? Each set ranks the rows, and only the ranks are compared.

Means on different sets cannot be averaged: a point on a hard set is not a point on an easy one. So each set ranks the
rows, Friedman's test asks whether the mean ranks differ more than by chance, and Nemenyi's critical difference which of
them do.

References:
    Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", Journal of Machine Learning Research 7
    (2006).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceexp.statistics.power.question import ALPHA

# Friedman's test compares three rows or more.
FEWEST_ROWS = 3


@dataclass(frozen=True)
class Ranks:
    """Rows ranked over sets.

    Attributes:
        mean_rank: By row, the best first; 1 is the best rank, and equal values share a rank.
        sets: How many sets rank them.
        fewest_sets: How many sets it takes at least for any two of so many rows to be told apart.
        p: The p-value of Friedman's test; ``None`` where there are too few sets or rows for it to find anything.
        critical: Nemenyi's critical difference of two mean ranks at 5 %, over so many sets; ``None`` where ``p`` is.
        apart: Which rows are told apart, the better one first: nothing unless Friedman's test shows that rows differ.
    """

    mean_rank: Mapping[str, float]
    sets: int
    fewest_sets: int
    p: float | None
    critical: float | None
    apart: tuple[tuple[str, str], ...]


def critical_difference(rows: int, sets: int) -> float:
    """Return how far two mean ranks must lie apart to be told apart at 5 % (Nemenyi)."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - ALPHA, rows, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(rows * (rows + 1) / (6 * sets))


def ranked(values: Mapping[str, Sequence[float]], *, higher_is_better: bool) -> Ranks | None:
    """Return the ranks of rows over sets; ``None`` if there are fewer than two rows or sets.

    Args:
        values: For each row its value on each set, all in the same order.
        higher_is_better: Whether the highest value gets rank 1.
    """
    from scipy.stats import friedmanchisquare, rankdata

    labels = list(values)
    sets = len(values[labels[0]]) if labels else 0
    if len(labels) < 2 or sets < 2:
        return None
    table = np.array([values[label] for label in labels], np.float64)
    ranks = rankdata(-table if higher_is_better else table, axis=0)
    means = dict(sorted(zip(labels, ranks.mean(axis=1).tolist(), strict=True), key=lambda row: row[1]))
    # The critical difference shrinks with the root of the number of sets, and no two mean ranks lie further apart than
    # the first and the last rank.
    fewest = math.ceil((critical_difference(len(labels), 1) / (len(labels) - 1)) ** 2)
    p = critical = None
    apart: list[tuple[str, str]] = []
    if sets >= fewest and len(labels) >= FEWEST_ROWS:
        critical = critical_difference(len(labels), sets)
        differ = bool((ranks != ranks.mean(axis=0)).any())
        p = float(friedmanchisquare(*table).pvalue) if differ else 1.0
        if p <= ALPHA:
            apart = [(one, other) for one in means for other in means if means[other] - means[one] >= critical]
    return Ranks(means, sets, fewest, p, critical, tuple(apart))
