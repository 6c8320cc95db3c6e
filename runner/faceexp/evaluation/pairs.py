"""Distances between pairs of embeddings.

Everything is computed in float64 by blocks of rows, so that memory grows with the number of pairs alone; more than
``_FLOAT64_PAIRS`` distances are kept as float32. Squared distances come out of one matrix product a block; where that
product cancels (rows close to one another) they are computed again from the difference itself. Embeddings of more than
``_WHOLE_ELEMENTS`` numbers are never in memory as float64 all at once: see ``embeddings``.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from faceexp.evaluation.embeddings import (
    SPLIT,
    Bytes,
    Converted,
    Embeddings,
    Values,
    as_float64,
    blocks,
    normalise,
    pieces,
    row_products,
    squared_norms,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.contract import Distance


Item = TypeVar("Item")


Result = TypeVar("Result")


TILE_ELEMENTS = 1 << 20  # 8 MiB of float64: what is done to each distance after the product is done in the cache


_FLOAT64_PAIRS = 1 << 24


CHUNK = 1 << 22  # pairs


_CANCELS_BELOW = 1e-3  # of the sum of the squared norms: nearer than that, the difference itself is more exact


@dataclass(frozen=True, eq=False)
class PairDistances:
    """The distance of each pair, and whether it shows one identity.

    Attributes:
        distance: float (P,), at least 0; float32 where there are more than 16.8 million pairs, else float64.
        similar: bool (P,), true where both images show the same identity.
    """

    distance: FloatArray
    similar: BoolArray

    def chunks(self, size: int) -> list[PairDistances]:
        """Return views of so many pairs each, or fewer; one, though it be empty, at least."""
        starts = range(0, max(1, len(self.distance)), size)
        return [
            PairDistances(self.distance[start : start + size], self.similar[start : start + size]) for start in starts
        ]


@dataclass(frozen=True, eq=False)
class Rows:
    """Embeddings made ready for a distance.

    Attributes:
        values: float64 (N, D): centred (Euclidean) or of unit length (cosine); made block by block where they are many.
        squares: float64 (N,), their squared norms; 1 for the cosine, also for a row of zeros, whose cosine with
            anything is then 0.
        distance: The distance they are ready for.
    """

    values: Values
    squares: FloatArray
    distance: Distance

    def __len__(self) -> int:
        """N."""
        return len(self.squares)


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order; several in threads, since NumPy lets them run side by side."""
    if len(items) < 2:
        yield from map(function, items)
        return
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:  # no more than that: each result may be large
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def prepare(embeddings: Embeddings | Values, distance: Distance) -> Rows:
    """Return the rows from which :func:`distances_from` measures.

    Args:
        embeddings: float (N, D), or pixels, uint8 (N, D), which count in 255ths.
        distance: ``"euclidean"``: ``||x - y||``; ``"cosine"``: ``1 - x.y / (||x|| ||y||)``, which is half the squared
            Euclidean distance of the normalised rows.

    Raises:
        ValueError: The embeddings are no matrix or not finite, or the distance is unknown.
    """
    if len(embeddings.shape) != 2:
        raise ValueError(f"embeddings must have the shape (N, D), not {embeddings.shape}")
    if not all(np.isfinite(embeddings[piece]).all() for piece in pieces(embeddings)):
        raise ValueError("embeddings must be finite")
    if distance == "cosine":
        return Rows(normalise(embeddings), np.ones(embeddings.shape[0]), distance)
    if distance != "euclidean":
        raise ValueError(f"unknown distance {distance!r}; known: 'cosine', 'euclidean'")
    values = _centred(as_float64(embeddings))
    return Rows(values, squared_norms(values), distance)


def _centred(values: Values) -> Values:
    """Take the mean from all rows: a common offset changes no distance, but costs digits in the matrix product."""
    if isinstance(values, Bytes):
        return values  # there it costs none
    if isinstance(values, Converted):
        total = np.sum([values[piece].sum(axis=0) for piece in pieces(values)], axis=0)
        return Converted(values, mean=total / values.shape[0])
    if len(values):
        values -= values.mean(axis=0)
    return values


def distances_from(
    rows: Rows, start: int, stop: int, first: int = 0, then: Callable[[int, FloatArray], None] | None = None
) -> FloatArray:
    """Return the distances from rows ``start:stop`` to rows ``first:``, float64 (stop - start, N - first).

    Args:
        rows: From :func:`prepare`.
        start: First row to measure from.
        stop: Row behind the last one.
        first: First row to measure to.
        then: Hears of each row that is measured from, and its distances, while the cache has them.
    """
    products = _products(rows.values, start, stop, first)
    right = np.arange(first, len(rows))[None, :]
    height = max(1, TILE_ELEMENTS // max(1, products.shape[1]))
    # Not in threads: those of the matrix product wait for the next one in a busy loop, and take their cores.
    for top in range(0, len(products), height):
        tile = products[top : top + height]
        _from_products(rows, tile, np.arange(start + top, start + top + len(tile))[:, None], right)
        if then:
            for row, distances in enumerate(tile, start + top):
                then(row, distances)
    return products


def _products(values: Values, start: int, stop: int, first: int) -> FloatArray:
    if not isinstance(values, np.ndarray):
        return values.products(start, stop, first)
    products: FloatArray = values[start:stop] @ values[first:].T
    return products


def pair_distances(
    embeddings: Embeddings | Values, labels: IntArray, distance: Distance, pairs: IntArray | None = None
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

    def keep(row: int, distances: FloatArray) -> None:
        later = total - row - 1
        end = count - later * (later - 1) // 2
        distance[end - later : end] = distances[len(distances) - later :]
        np.equal(labels[row], labels[row + 1 :], out=similar[end - later : end])

    for start, stop in blocks(total, total):
        distances_from(rows, start, stop, first=start, then=keep)
    return PairDistances(distance, similar)


def _listed_pairs(rows: Rows, labels: IntArray, pairs: IntArray) -> PairDistances:
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs must have the shape (P, 2), not {pairs.shape}")
    if pairs.size and not 0 <= pairs.min() <= pairs.max() < len(labels):
        raise ValueError(f"pairs must hold indices from 0 to {len(labels) - 1}")
    distance = np.empty(len(pairs), np.float64)
    for start, stop in blocks(len(pairs), rows.values.shape[1]):
        left, right = pairs[start:stop].T
        products = row_products(rows.values[left], rows.values[right])
        _from_products(rows, products, left, right)
        distance[start:stop] = products
    return PairDistances(distance, labels[pairs[:, 0]] == labels[pairs[:, 1]])


def _from_products(rows: Rows, products: FloatArray, left: IntArray, right: IntArray) -> None:
    """Put in the place of inner products the distances of rows ``left`` and ``right``, which broadcast to their shape.

    In place: blocks are large, and each new array costs as much as the arithmetic.
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
    _merge_ties(squared)


def _squared_differences(values: Values, left: IntArray, right: IntArray) -> FloatArray:
    squared = np.empty(len(left), np.float64)
    for start, stop in blocks(len(left), values.shape[1]):
        difference = values[left[start:stop]] - values[right[start:stop]]
        squared[start:stop] = row_products(difference, difference)
    return squared


def _merge_ties(distance: FloatArray) -> None:
    """Round to 36 bits (Veltkamp's splitting): equal distances shall tie, whichever block their product came from."""
    scaled = SPLIT * distance
    rest = scaled - distance
    np.subtract(scaled, rest, out=distance)
