"""Distances between pairs of embeddings.

Everything is computed in float64 by blocks of rows, so that memory grows with the number of pairs alone; more than
``_FLOAT64_PAIRS`` distances are kept as float32. Squared distances come out of one matrix product a block; where that
product cancels (rows close to one another) they are computed again from the difference itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faceexp.contract import Distance, IntArray

FloatArray: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

_BLOCK_ELEMENTS = 1 << 22  # 32 MiB of float64: large enough for the matrix product, small beside the result
_FLOAT64_PAIRS = 1 << 24
_CANCELS_BELOW = 1e-3  # of the sum of the squared norms: nearer than that, the difference itself is more exact
_SPLIT = float((1 << 17) + 1)  # leaves 36 of 53 bits


@dataclass(frozen=True, eq=False)
class PairDistances:
    """The distance of each pair, and whether it shows one identity.

    Attributes:
        distance: float (P,), at least 0; float32 where there are more than 16.8 million pairs, else float64.
        similar: bool (P,), true where both images show the same identity.
    """

    distance: FloatArray
    similar: BoolArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Embeddings made ready for a distance.

    Attributes:
        values: float64 (N, D): centred (Euclidean) or of unit length (cosine).
        squares: float64 (N,), their squared norms; 1 for the cosine, also for a row of zeros, whose cosine with
            anything is then 0.
        distance: The distance they are ready for.
    """

    values: FloatArray
    squares: FloatArray
    distance: Distance


def prepare(embeddings: FloatArray, distance: Distance) -> Rows:
    """Return the rows from which :func:`distances_from` measures.

    Args:
        embeddings: float (N, D).
        distance: ``"euclidean"``: ``||x - y||``; ``"cosine"``: ``1 - x.y / (||x|| ||y||)``, which is half the squared
            Euclidean distance of the normalised rows.

    Raises:
        ValueError: The embeddings are no matrix or not finite, or the distance is unknown.
    """
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings must have the shape (N, D), not {embeddings.shape}")
    if not np.isfinite(embeddings).all():
        raise ValueError("embeddings must be finite")
    values = embeddings.astype(np.float64)
    if distance == "cosine":
        return Rows(normalise(values), np.ones(len(values)), distance)
    if distance != "euclidean":
        raise ValueError(f"unknown distance {distance!r}; known: 'cosine', 'euclidean'")
    if len(values):
        values -= values.mean(axis=0)  # a common offset changes no distance, but costs digits in the matrix product
    return Rows(values, _row_products(values, values), distance)


def normalise(values: FloatArray) -> FloatArray:
    """Return the rows ``x / ||x||``, float64 (N, D); a row of zeros stays as it is."""
    values = values.astype(np.float64)
    norms = np.sqrt(_row_products(values, values))
    return values / np.where(norms > 0, norms, 1.0)[:, None]


def distances_from(rows: Rows, start: int, stop: int, first: int = 0) -> FloatArray:
    """Return the distances from rows ``start:stop`` to rows ``first:``, float64 (stop - start, N - first)."""
    products = rows.values[start:stop] @ rows.values[first:].T
    left = np.arange(start, min(stop, len(rows.values)))[:, None]
    return _from_products(rows, products, left, np.arange(first, len(rows.values))[None, :])


def blocks(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive blocks of rows, each of about 4 million elements at that width."""
    size = max(1, _BLOCK_ELEMENTS // max(1, width))
    for start in range(0, total, size):
        yield start, min(start + size, total)


def pair_distances(
    embeddings: FloatArray, labels: IntArray, distance: Distance, pairs: IntArray | None = None
) -> PairDistances:
    """Return the distance of every pair ``i < j`` in the order of ``np.triu_indices(N, 1)``, or of the listed pairs.

    Args:
        embeddings: float (N, D).
        labels: int (N,), the identity of each row.
        distance: See :func:`prepare`.
        pairs: int (P, 2), row indices; ``None``: all ``N (N - 1) / 2`` pairs.

    Raises:
        ValueError: A shape does not fit, an index is out of range, or see :func:`prepare`.
    """
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"labels must have the shape {embeddings.shape[:1]}, not {labels.shape}")
    rows = prepare(embeddings, distance)
    return _all_pairs(rows, labels) if pairs is None else _listed_pairs(rows, labels, pairs)


def _all_pairs(rows: Rows, labels: IntArray) -> PairDistances:
    total = len(labels)
    count = total * (total - 1) // 2
    distance: FloatArray = np.empty(count, np.float64 if count <= _FLOAT64_PAIRS else np.float32)
    similar = np.empty(count, np.bool_)
    end = 0
    for start, stop in blocks(total, total):
        block = distances_from(rows, start, stop, first=start)
        for row in range(start, stop):
            begin, end = end, end + total - row - 1
            distance[begin:end] = block[row - start, row - start + 1 :]
            similar[begin:end] = labels[row] == labels[row + 1 :]
    return PairDistances(distance, similar)


def _listed_pairs(rows: Rows, labels: IntArray, pairs: IntArray) -> PairDistances:
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs must have the shape (P, 2), not {pairs.shape}")
    if pairs.size and not 0 <= pairs.min() <= pairs.max() < len(labels):
        raise ValueError(f"pairs must hold indices from 0 to {len(labels) - 1}")
    distance = np.empty(len(pairs), np.float64)
    for start, stop in blocks(len(pairs), rows.values.shape[1]):
        left, right = pairs[start:stop].T
        products = _row_products(rows.values[left], rows.values[right])
        distance[start:stop] = _from_products(rows, products, left, right)
    return PairDistances(distance, labels[pairs[:, 0]] == labels[pairs[:, 1]])


def _row_products(left: FloatArray, right: FloatArray) -> FloatArray:
    products: FloatArray = np.einsum("nd,nd->n", left, right)
    return products


def _from_products(rows: Rows, products: FloatArray, left: IntArray, right: IntArray) -> FloatArray:
    """Return distances of rows ``left`` and ``right``, which broadcast to the shape of their inner products.

    The products are overwritten: blocks are large, and each new array costs as much as the arithmetic.
    """
    scale = rows.squares[left] + rows.squares[right]
    squared = products
    squared *= -2
    squared += scale
    scale *= _CANCELS_BELOW
    close = np.nonzero(squared < scale)
    lefts, rights = np.broadcast_arrays(left, right)
    squared[close] = _squared_differences(rows.values, lefts[close], rights[close])
    if rows.distance == "cosine":
        squared /= 2
    else:
        np.sqrt(squared, out=squared)
    return _merge_ties(squared)


def _squared_differences(values: FloatArray, left: IntArray, right: IntArray) -> FloatArray:
    squared = np.empty(len(left), np.float64)
    for start, stop in blocks(len(left), values.shape[1]):
        difference = values[left[start:stop]] - values[right[start:stop]]
        squared[start:stop] = _row_products(difference, difference)
    return squared


def _merge_ties(distance: FloatArray) -> FloatArray:
    """Round to 36 bits (Veltkamp's splitting): equal distances shall tie, whichever block their product came from."""
    scaled = _SPLIT * distance
    rest = np.subtract(scaled, distance, out=distance)
    scaled -= rest
    return scaled
