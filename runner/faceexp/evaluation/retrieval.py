"""Retrieval: which other images are nearest to an image, and do they show the same identity?

Every row is a query against all other rows. A row without another row of its identity is no query, but stays a
reference. Every metric here is a mean over queries of something that follows from the *ranks* of the same-identity
rows alone, so these are computed once. Without any query a metric is ``nan``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import blocks
from faceexp.evaluation.pairs import distances_from, prepare

if TYPE_CHECKING:
    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings

# Up to so many rows of an identity, going through all distances once for each is faster than sorting them.
_COUNTED = 32


@dataclass(frozen=True, eq=False)
class Ranks:
    """At which ranks the queries find the other rows of their identity.

    Attributes:
        rank: int (M,), query after query, ascending within each; 1 is the nearest other row.
        count: int (Q,), how many of them belong to each query (its R), at least 1.
    """

    rank: IntArray
    count: IntArray

    @property
    def starts(self) -> IntArray:
        """Where each query begins in ``rank``, int (Q,)."""
        return np.cumsum(self.count) - self.count

    @property
    def position(self) -> IntArray:
        """1, 2, ..., R within each query, int (M,)."""
        return np.arange(1, len(self.rank) + 1) - np.repeat(self.starts, self.count)


def ranks(embeddings: Embeddings, labels: IntArray, distance: Distance) -> Ranks:
    """Return the ranks of the same-identity rows of every query.

    A row of the same identity ranks behind the rows of others at the same distance, so that an embedding gains nothing
    by mapping everything onto one point, and the order of rows does not matter.

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
    found: list[IntArray] = [np.empty(0, np.int64)] * len(labels)

    def rank(query: int, distances: FloatArray) -> None:
        found[query] = _query_ranks(distances, labels, query)

    for start, stop in blocks(len(labels), len(labels)):
        distances_from(rows, start, stop, then=rank)
    count = np.array([len(rank) for rank in found], np.int64)
    return Ranks(np.concatenate(found) if found else np.empty(0, np.int64), count[count > 0])


def _query_ranks(distance: FloatArray, labels: IntArray, query: int) -> IntArray:
    same = labels == labels[query]
    own = np.sort(distance[same & (np.arange(len(labels)) != query)])
    if len(own) <= _COUNTED:
        identity = distance[same]
        counts = [np.count_nonzero(distance <= each) - np.count_nonzero(identity <= each) for each in own]
        nearer = np.array(counts, np.int64)
    else:
        nearer = np.searchsorted(np.sort(distance[~same]), own, side="right")
    return np.arange(1, len(own) + 1) + nearer


def precision_at_1(found: Ranks) -> float:
    """Return the part of queries whose nearest other row shows the same identity."""
    return recall_at_k(found, 1)


def recall_at_k(found: Ranks, k: int) -> float:
    """Return the part of queries with any row of the same identity among the ``k`` nearest other rows."""
    return _mean(found.rank[found.starts] <= k)


def r_precision(found: Ranks) -> float:
    """Return the mean part of the R nearest other rows that show the query's identity, R = rows that could."""
    return _mean(_query_means(found, found.rank <= np.repeat(found.count, found.count)))


def map_at_r(found: Ranks) -> float:
    """Return MAP@R: the mean over queries of ``(1/R) sum_{i<=R} P@i rel_i``, P@i = precision among the i nearest."""
    within = found.rank <= np.repeat(found.count, found.count)
    return _mean(_query_means(found, np.where(within, found.position / found.rank, 0.0)))


def mean_average_precision(found: Ranks) -> float:
    """Return the mean over queries of ``(1/R) sum_i P@i rel_i`` over the whole ranking."""
    return _mean(_query_means(found, found.position / found.rank))


def mean_reciprocal_rank(found: Ranks) -> float:
    """Return the mean over queries of ``1 / rank`` of the nearest row of the same identity."""
    return _mean(1 / found.rank[found.starts])


def rank_1(
    gallery: Embeddings, gallery_labels: IntArray, probes: Embeddings, labels: IntArray, distance: Distance
) -> float:
    """Return the part of probes whose nearest gallery row shows their identity: closed-set identification, rank 1.

    Where the nearest rows of the own and of another identity are equally near, the probe counts as missed. Without
    probes, ``nan``.

    Args:
        gallery: float (G, D), embeddings of enrolled images.
        gallery_labels: int (G,), their identities.
        probes: float (N, D), embeddings of the images to identify.
        labels: int (N,), their identities.
        distance: See :func:`faceexp.evaluation.pairs.prepare`.

    Raises:
        ValueError: See :func:`faceexp.evaluation.pairs.prepare`.
    """
    rows = prepare(np.concatenate([gallery, probes]), distance)
    first = len(gallery)
    hits = np.zeros(len(labels), np.bool_)
    for start, stop in blocks(len(labels), first + len(labels)):
        block = distances_from(rows, first + start, first + stop)[:, :first]
        own = gallery_labels[None, :] == labels[start:stop, None]
        nearest_own = np.min(block, axis=1, where=own, initial=np.inf)
        hits[start:stop] = nearest_own < np.min(block, axis=1, where=~own, initial=np.inf)
    return _mean(hits)


def _query_means(found: Ranks, values: FloatArray | BoolArray) -> FloatArray:
    if not len(found.count):  # reduceat wants one start at least
        return np.empty(0)
    sums: FloatArray = np.add.reduceat(values.astype(np.float64), found.starts)
    return sums / found.count


def _mean(values: FloatArray | BoolArray) -> float:
    return float(np.mean(values)) if len(values) else math.nan
