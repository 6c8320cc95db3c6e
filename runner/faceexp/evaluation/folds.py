"""The accuracy of a fold of listed pairs as the field reports it, and its standard error over folds.

LFW's protocol (Huang et al. 2007) chooses everything on nine folds and counts right answers on the tenth. It leaves
open how a threshold is searched. The script that InsightFace publishes with its networks, and that many papers use,
takes the squared Euclidean distance of embeddings of length 1, which lies between 0 and 4; the thresholds 0, 0.01, ...,
3.99; accepts a pair whose distance is smaller; and takes the first threshold with the most right answers on the other
folds. The same is done here, so that a model which is only measured gets the number that such a paper would report.

References:
    Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in the Wild", UMass Amherst Technical Report 07-49 (2007).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import blocks, normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.evaluation.embeddings import Embeddings

# The thresholds that are tried, for squared distances.
THRESHOLDS = np.arange(0, 4, 0.01)


def squared_distances(embeddings: Embeddings, pairs: IntArray) -> FloatArray:
    """Return the squared Euclidean distance of each pair, float64 (P,), of rows that are scaled to length 1.

    Args:
        embeddings: float (N, D), or pixels.
        pairs: int (P, 2), row indices.
    """
    rows = normalise(embeddings)
    squared = np.empty(len(pairs))
    for start, stop in blocks(len(pairs), rows.shape[1]):
        left, right = pairs[start:stop].T
        squared[start:stop] = np.sum(np.square(rows[left] - rows[right]), axis=1)
    return squared


def best_threshold(squared: FloatArray, same: BoolArray) -> float:
    """Return the first of :data:`THRESHOLDS` at which the most pairs are judged right; ``nan`` without pairs."""
    if not len(squared):
        return math.nan
    accepts = [np.searchsorted(np.sort(squared[kind]), THRESHOLDS, side="left") for kind in (same, ~same)]
    return float(THRESHOLDS[np.argmax(accepts[0] - accepts[1])])


def accuracy(squared: FloatArray, same: BoolArray, threshold: float) -> float:
    """Return the share of pairs that are judged right; ``nan`` without pairs or without a threshold."""
    if not len(squared) or math.isnan(threshold):
        return math.nan
    return float(np.mean((squared < threshold) == same))


def error_over_folds(values: Mapping[tuple[int, int], float]) -> tuple[float | None, int]:
    """Return the standard error of the mean over folds, and the number of folds.

    Seeds of the same fold judge the same pairs, so they are averaged first. The error is LFW's: the standard deviation
    of the folds, with one less than their number in the denominator, over the root of their number. Without a second
    fold there is none.

    Args:
        values: The accuracy by seed and fold.
    """
    folds = sorted({fold for _, fold in values})
    of_folds = [np.mean([value for (_, other), value in values.items() if other == fold]) for fold in folds]
    error = float(np.std(of_folds, ddof=1) / np.sqrt(len(folds))) if len(folds) > 1 else None
    return error, len(folds)
