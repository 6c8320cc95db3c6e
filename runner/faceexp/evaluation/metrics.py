"""Every metric of a trial, from the embeddings of its test images.

The threshold that :func:`examine` is given comes from validation images (``calibration``). Test images are only judged.
:func:`evaluate` and :func:`calibrate` are short forms for whoever measures embeddings of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from faceexp.evaluation import retrieval, verification
from faceexp.evaluation.diagnostics import Diagnostics, diagnose
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import auc, roc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faceexp.arrays import IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings


@dataclass(frozen=True)
class Examined:
    """What is known of a trial's test embeddings.

    Attributes:
        metrics: Rates and ratios without a unit; ``nan`` if the pairs or queries that a metric needs do not exist.
        diagnostics: The curves and pairs behind the metrics.
        n_similar: How many similar pairs were judged.
        n_different: How many different pairs were judged.
        rates: FAR and TAR at each of the further thresholds that were asked for.
    """

    metrics: dict[str, float]
    diagnostics: Diagnostics
    n_similar: int
    n_different: int
    rates: tuple[tuple[float, float], ...] = ()


def evaluate(
    embeddings: Embeddings, labels: IntArray, threshold: float, distance: Distance, pairs: IntArray | None = None
) -> dict[str, float]:
    """Return every metric of one trial; see :func:`examine`."""
    return examine(embeddings, labels, threshold, distance, pairs).metrics


def examine(
    embeddings: Embeddings,
    labels: IntArray,
    threshold: float,
    distance: Distance,
    pairs: IntArray | None = None,
    further: Sequence[float] = (),
) -> Examined:
    """Return every metric of one trial except ``rank_1``, which needs a gallery, and the diagnostics.

    The metrics have the keys of :data:`~faceexp.evaluation.catalogue.METRICS`.

    Args:
        embeddings: float (N, D), of test images.
        labels: int (N,), their identities.
        threshold: Distance up to which a pair counts as similar, from :func:`calibrate`.
        distance: The distance that the loss is made for. Only ``sim_diff_ratio`` does not use it: its distances are
            Euclidean, on L2-normalised rows.
        pairs: int (P, 2), the pairs that a protocol lists; ``None``: every pair. Retrieval always uses all rows.
        further: Further thresholds whose FAR and TAR are wanted.

    Raises:
        ValueError: A shape does not fit, or the embeddings are not finite.
    """
    verified = _verification(embeddings, labels, threshold, distance, pairs, further)
    ranks = retrieval.ranks(embeddings, labels, distance)
    metrics = {
        "accuracy": verified.metrics["accuracy"],
        "sim_diff_ratio": verification.sim_diff_ratio(embeddings, labels, pairs),
        "auc": verified.metrics["auc"],
        "eer": verified.metrics["eer"],
        "tar@far=0.01": verified.metrics["tar@far=0.01"],
        "tar@far=0.001": verified.metrics["tar@far=0.001"],
        "precision_at_1": retrieval.precision_at_1(ranks),
        "r_precision": retrieval.r_precision(ranks),
        "map_at_r": retrieval.map_at_r(ranks),
    }
    return replace(verified, metrics=metrics)


def _verification(
    embeddings: Embeddings,
    labels: IntArray,
    threshold: float,
    distance: Distance,
    pairs: IntArray | None,
    further: Sequence[float],
) -> Examined:
    """Return what follows from the pairs.

    This is a function of its own so that the memory of its distances is free before retrieval needs as much.
    """
    measured = pair_distances(embeddings, labels, distance, pairs)
    curve = roc(measured)
    metrics = {
        "accuracy": verification.balanced_accuracy(measured, threshold),
        "auc": auc(curve),
        "eer": verification.eer(curve),
        "tar@far=0.01": verification.tar_at_far(curve, 0.01),
        "tar@far=0.001": verification.tar_at_far(curve, 0.001),
    }
    diagnostics = diagnose(measured, curve, threshold, pairs, len(labels))
    rates = tuple(verification.rates(measured, other) for other in further)
    return Examined(metrics, diagnostics, curve.n_similar, curve.n_different, rates)


def calibrate(embeddings: Embeddings, labels: IntArray, distance: Distance, pairs: IntArray | None = None) -> float:
    """Return the threshold of best balanced accuracy on validation images, in units of the distance.

    See :func:`faceexp.evaluation.verification.balanced_threshold`. The arguments are those of :func:`examine`.
    """
    return verification.balanced_threshold(roc(pair_distances(embeddings, labels, distance, pairs)))
