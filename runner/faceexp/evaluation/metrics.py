"""Every metric of a trial, from the embeddings of its test images.

The threshold that :func:`examine` is given comes from validation images (``calibration``). Test images are only judged.
:func:`evaluate` and :func:`calibrate` are short forms for whoever measures embeddings of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation import retrieval, verification
from faceexp.evaluation.catalogue import USUAL_FARS
from faceexp.evaluation.diagnostics import Diagnostics, diagnose
from faceexp.evaluation.embeddings import normalise
from faceexp.evaluation.fars import AtFar, impostors, rates_at
from faceexp.evaluation.left_out import auc_without
from faceexp.evaluation.likely import accuracy_range
from faceexp.evaluation.named import metrics_among
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import people_of
from faceexp.evaluation.roc import auc, roc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faceexp.arrays import IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.jackknife import Range
    from faceexp.evaluation.measured_pairs import Pairs
    from faceexp.evaluation.people import Weighting
    from faceexp.evaluation.roc import Roc

# What follows the key of a metric whose value is of all pairs or queries alike, beside the one that is person-averaged.
POOLED = "_pooled"


@dataclass(frozen=True)
class Examined:
    """What is known of a trial's test embeddings.

    Attributes:
        metrics: Rates and ratios without a unit; ``nan`` if the pairs or queries that a metric needs do not exist.
        diagnostics: The curves and pairs behind the metrics.
        n_similar: How many similar pairs were judged.
        n_different: How many different pairs were judged.
        rates: FAR and TAR at each of the further thresholds that were asked for.
        accuracy_range: The 95 % interval of the balanced accuracy over people; ``None`` for too few of them.
        at_fars: The true accept rate at each false accept rate with the rate that was met, by the key of the metric.
        auc_without: The area under the ROC curve without each group of people, if that was asked for.
    """

    metrics: dict[str, float]
    diagnostics: Diagnostics
    n_similar: int
    n_different: int
    rates: tuple[tuple[float, float], ...] = ()
    accuracy_range: Range | None = None
    at_fars: dict[str, AtFar] = field(default_factory=dict)
    auc_without: dict[int, float] = field(default_factory=dict)


def evaluate(
    embeddings: Embeddings,
    labels: IntArray,
    threshold: float,
    distance: Distance,
    pairs: IntArray | None = None,
    weights: Weighting = "pairs",
) -> dict[str, float]:
    """Return every metric of one trial; see :func:`examine`."""
    return examine(embeddings, labels, threshold, distance, pairs, weights=weights).metrics


def examine(
    embeddings: Embeddings,
    labels: IntArray,
    threshold: float,
    distance: Distance,
    pairs: IntArray | None = None,
    further: Sequence[float] = (),
    *,
    weights: Weighting = "pairs",
    fars: Sequence[float] | None = None,
    leave_out: bool = False,
    searches: bool = True,
) -> Examined:
    """Return every metric of one trial, except those that need a gallery or several folds, and the diagnostics.

    The metrics have the keys of the ``catalogue``. Where every person counts alike, there
    are the same metrics again with the ending :data:`POOLED`, for which every pair and every query counts alike.

    Args:
        embeddings: float (N, D), of test images.
        labels: int (N,), their identities.
        threshold: Distance up to which a pair counts as similar, from :func:`calibrate`.
        distance: The distance that the loss is made for. Only ``sim_diff_ratio`` does not use it: its distances are
            Euclidean, on L2-normalised rows.
        pairs: int (P, 2), the pairs that a protocol lists; ``None``: every pair. Retrieval always uses all rows.
        further: Further thresholds whose FAR and TAR are wanted.
        weights: Whether every person counts alike, or every pair and every query (``"pairs"``), as other libraries have
            it. Pairs that a protocol lists always count alike.
        fars: The false accept rates at which the true accept rate is asked for; where too few pairs could show one, it
            is ``nan``. ``None``: the usual ones, whatever the number of pairs.
        leave_out: Whether the area under the ROC curve is wanted without each group of people, too.
        searches: Whether a search for somebody says something; if not, the metrics of retrieval are ``nan``.

    Raises:
        ValueError: A shape does not fit, or the embeddings are not finite.
    """
    by_people = weights == "people"
    verified = _verification(
        embeddings, labels, threshold, distance, pairs, further, fars, by_people=by_people, leave_out=leave_out
    )
    metrics = verified.metrics | _ratio(embeddings, labels, pairs, by_people=by_people)
    metrics |= _retrieval(embeddings, labels, distance, by_people=by_people, searches=searches)
    keys = [metric.key + ending for ending in ("", POOLED) for metric in metrics_among(metrics)]
    return replace(verified, metrics={key: metrics[key] for key in keys if key in metrics})


def _beside_pooled(averaged: dict[str, float], pooled: dict[str, float]) -> dict[str, float]:
    """Return metrics for which every person counts alike, and under further names those of all pairs or queries."""
    return averaged | {key + POOLED: value for key, value in pooled.items()}


def _verification(
    embeddings: Embeddings,
    labels: IntArray,
    threshold: float,
    distance: Distance,
    pairs: IntArray | None,
    further: Sequence[float],
    fars: Sequence[float] | None,
    *,
    by_people: bool,
    leave_out: bool,
) -> Examined:
    """Return what follows from the pairs.

    This is a function of its own so that the memory of its distances is free before retrieval needs as much.
    """
    measured = pair_distances(embeddings, labels, distance, pairs)
    if by_people and pairs is None:
        measured = measured.person_averaged(labels)
    curve = roc(measured)
    people = people_of(labels, pairs)
    available = impostors(people)
    refused = [far for far in fars or () if available.refusal(far)]
    at_fars = rates_at(curve, fars or USUAL_FARS, refused)
    metrics = _pair_metrics(measured, curve, threshold, at_fars)
    if by_people:
        pooled = metrics
        if measured.weights is not None:
            even = curve.pooled()
            pooled = _pair_metrics(measured.pooled(), even, threshold, rates_at(even, fars or USUAL_FARS, refused))
        metrics = _beside_pooled(metrics, pooled)
    diagnostics = diagnose(measured, curve, threshold, pairs, len(labels))
    rates = tuple(verification.rates(measured, other) for other in further)
    likely = accuracy_range(measured, people, threshold)
    without = auc_without(measured, people, np.unique(labels)) if leave_out else {}
    return Examined(metrics, diagnostics, curve.n_similar, curve.n_different, rates, likely, at_fars, without)


def _pair_metrics(measured: Pairs, curve: Roc, threshold: float, at_fars: dict[str, AtFar]) -> dict[str, float]:
    return {
        "accuracy": verification.balanced_accuracy(measured, threshold),
        "auc": auc(curve),
        "eer": verification.eer(curve),
        **{key: rate.tar for key, rate in at_fars.items()},
    }


def _ratio(embeddings: Embeddings, labels: IntArray, pairs: IntArray | None, *, by_people: bool) -> dict[str, float]:
    """Return ``sim_diff_ratio``; a function of its own for the same reason as :func:`_verification`."""
    measured = pair_distances(normalise(embeddings), labels, "euclidean", pairs)
    pooled = {"sim_diff_ratio": verification.distance_ratio(measured)}
    if not by_people:
        return pooled
    averaged = measured.person_averaged(labels) if pairs is None else measured
    ratio = pooled if averaged.weights is None else {"sim_diff_ratio": verification.distance_ratio(averaged)}
    return _beside_pooled(ratio, pooled)


def _retrieval(
    embeddings: Embeddings, labels: IntArray, distance: Distance, *, by_people: bool, searches: bool
) -> dict[str, float]:
    """Return what follows from the search for each row among the others."""
    if not searches:
        unknown = dict.fromkeys(("precision_at_1", "r_precision", "map_at_r"), math.nan)
        return _beside_pooled(unknown, unknown) if by_people else unknown
    ranks = retrieval.ranks(embeddings, labels, distance)
    retrieved = _retrieval_metrics(ranks)
    if not by_people:
        return retrieved
    return _beside_pooled(_retrieval_metrics(retrieval.person_averaged(ranks, labels)), retrieved)


def _retrieval_metrics(ranks: retrieval.Ranks) -> dict[str, float]:
    return {
        "precision_at_1": retrieval.precision_at_1(ranks),
        "r_precision": retrieval.r_precision(ranks),
        "map_at_r": retrieval.map_at_r(ranks),
    }


def calibrate(embeddings: Embeddings, labels: IntArray, distance: Distance, pairs: IntArray | None = None) -> float:
    """Return the threshold of best balanced accuracy on validation images, in units of the distance.

    Every pair counts alike. See :func:`faceexp.evaluation.verification.balanced_threshold`. The arguments are those of
    :func:`examine`.
    """
    return verification.balanced_threshold(roc(pair_distances(embeddings, labels, distance, pairs)))
