"""Retrieval: which other images are nearest to an image, and do they show the same identity?

Every row is a query: all other rows are ordered by their distance to it. A row whose identity has no other row has no
right answer, so it is not a query; but it stays among the rows that other queries may find.

Every metric here is a mean over queries, or with :func:`person_averaged` a mean over people of those within each
person. What is averaged follows from the *ranks* of the rows of the query's identity
alone, so the ranks are computed once for all metrics. Without any query, a metric is ``nan``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import blocks
from faceexp.evaluation.pairs import distances_from, prepare
from faceexp.evaluation.people import row_weights

if TYPE_CHECKING:
    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.people import Weighting

# Sorting all distances of a query costs about as much as going through them this many times. With fewer rows of the
# query's identity, going through the distances once per row is faster.
_COUNTED = 32


@dataclass(frozen=True, eq=False)
class Ranks:
    """At which ranks the queries find the other rows of their identity.

    Attributes:
        rank: int (M,), query after query, ascending within each query; rank 1 is the nearest other row.
        count: int (Q,), how many of these ranks belong to each query (its R), at least 1.
        weight: float (Q,), how much each query counts in a mean; ``None``: all alike.
    """

    rank: IntArray
    count: IntArray
    weight: FloatArray | None = None

    @property
    def starts(self) -> IntArray:
        """The position in ``rank`` at which each query begins, int (Q,)."""
        return np.cumsum(self.count) - self.count

    @property
    def position(self) -> IntArray:
        """1, 2, ..., R within each query, int (M,)."""
        return np.arange(1, len(self.rank) + 1) - np.repeat(self.starts, self.count)


def ranks(embeddings: Embeddings, labels: IntArray, distance: Distance) -> Ranks:
    """Return the ranks of the same-identity rows of every query.

    Of rows at the same distance, those of the query's identity rank last. So an embedding gains nothing by mapping
    everything onto one point, and the order of rows does not matter.

    Args:
        embeddings: float (N, D).
        labels: int (N,).
        distance: See :func:`faceexp.evaluation.pairs.prepare`.

    Raises:
        ValueError: See :func:`faceexp.evaluation.pairs.pair_distances`.
    """
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"labels must have the shape {embeddings.shape[:1]}, not {labels.shape}")
    rows = prepare(embeddings, distance)
    by_query: list[IntArray] = [np.empty(0, np.int64)] * len(labels)

    def rank(query: int, distances: FloatArray) -> None:
        by_query[query] = _query_ranks(distances, labels, query)

    for start, stop in blocks(len(labels), len(labels)):
        distances_from(rows, start, stop, then=rank)
    count = np.array([len(rank) for rank in by_query], np.int64)
    return Ranks(np.concatenate(by_query) if by_query else np.empty(0, np.int64), count[count > 0])


def _query_ranks(distance: FloatArray, labels: IntArray, query: int) -> IntArray:
    """Return the ranks of the rows of a query's identity, int (R,), ascending.

    The rank of the k-th nearest of them is k plus the number of rows of other identities that are not farther away.
    """
    same = labels == labels[query]
    matches = np.sort(distance[same & (np.arange(len(labels)) != query)])
    if len(matches) <= _COUNTED:
        of_identity = distance[same]
        counts = [np.count_nonzero(distance <= match) - np.count_nonzero(of_identity <= match) for match in matches]
        others_before = np.array(counts, np.int64)
    else:
        others_before = np.searchsorted(np.sort(distance[~same]), matches, side="right")
    return np.arange(1, len(matches) + 1) + others_before


def person_averaged(ranks: Ranks, labels: IntArray) -> Ranks:
    """Return the same ranks, where every person counts alike, however many queries they have.

    Args:
        ranks: What :func:`ranks` returned.
        labels: int (N,), the labels that it was given.
    """
    weights = row_weights(labels)
    of_queries = weights[weights < 1]  # who has a single image has no query
    is_even = len(of_queries) == 0 or of_queries.min() == of_queries.max()
    return replace(ranks, weight=None if is_even else of_queries)


def precision_at_1(ranks: Ranks) -> float:
    """Return the share of queries whose nearest other row shows the same identity."""
    return recall_at_k(ranks, 1)


def recall_at_k(ranks: Ranks, k: int) -> float:
    """Return the share of queries with any row of the same identity among the ``k`` nearest other rows."""
    return _mean(ranks.rank[ranks.starts] <= k, ranks.weight)


def r_precision(ranks: Ranks) -> float:
    """Return the mean share of the R nearest other rows that show the query's identity, R = other rows that show it."""
    return _mean(_query_means(ranks, ranks.rank <= np.repeat(ranks.count, ranks.count)), ranks.weight)


def map_at_r(ranks: Ranks) -> float:
    """Return MAP@R, the mean over queries of ``(1/R) sum_{i<=R} P@i rel_i``.

    P@i is the precision among the i nearest other rows; rel_i is 1 if the i-th of them shows the query's identity, else
    0.

    References:
        Musgrave, Belongie and Lim, "A Metric Learning Reality Check", ECCV (2020).
    """
    within = ranks.rank <= np.repeat(ranks.count, ranks.count)
    return _mean(_query_means(ranks, np.where(within, ranks.position / ranks.rank, 0.0)), ranks.weight)


def mean_average_precision(ranks: Ranks) -> float:
    """Return the mean over queries of ``(1/R) sum_i P@i rel_i`` over all other rows; see :func:`map_at_r`."""
    return _mean(_query_means(ranks, ranks.position / ranks.rank), ranks.weight)


def mean_reciprocal_rank(ranks: Ranks) -> float:
    """Return the mean over queries of ``1 / rank`` of the nearest row of the same identity."""
    return _mean(1 / ranks.rank[ranks.starts], ranks.weight)


def rank_1(
    gallery: Embeddings,
    gallery_labels: IntArray,
    probes: Embeddings,
    labels: IntArray,
    distance: Distance,
    weights: Weighting = "pairs",
) -> float:
    """Return the share of probes whose nearest gallery row shows their identity: closed-set identification at rank 1.

    If a row of another identity is as near as the nearest one of the probe's identity, the probe counts as missed.
    Without probes, the value is ``nan``.

    Args:
        gallery: float (G, D), embeddings of enrolled images.
        gallery_labels: int (G,), their identities.
        probes: float (N, D), embeddings of the images to identify.
        labels: int (N,), their identities.
        distance: See :func:`faceexp.evaluation.pairs.prepare`.
        weights: Whether every person counts alike, or every probe (``"pairs"``).

    Raises:
        ValueError: See :func:`faceexp.evaluation.pairs.prepare`.
    """
    rows = prepare(np.concatenate([gallery, probes]), distance)
    first = len(gallery)
    hits = np.zeros(len(labels), np.bool_)
    for start, stop in blocks(len(labels), first + len(labels)):
        block = distances_from(rows, first + start, first + stop)[:, :first]
        same = gallery_labels[None, :] == labels[start:stop, None]
        nearest_same = np.min(block, axis=1, where=same, initial=np.inf)
        hits[start:stop] = nearest_same < np.min(block, axis=1, where=~same, initial=np.inf)
    return _mean(hits, row_weights(labels) if weights == "people" else None)


def _query_means(ranks: Ranks, values: FloatArray | BoolArray) -> FloatArray:
    """Return the mean of values (M,) over the ranks of each query, float64 (Q,)."""
    if not len(ranks.count):  # np.add.reduceat refuses an empty list of starts
        return np.empty(0)
    sums: FloatArray = np.add.reduceat(values.astype(np.float64), ranks.starts)
    return sums / ranks.count


def _mean(values: FloatArray | BoolArray, weight: FloatArray | None = None) -> float:
    return float(np.average(values, weights=weight)) if len(values) else math.nan
