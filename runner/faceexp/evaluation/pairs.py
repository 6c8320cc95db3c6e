"""Distances between pairs of embeddings.

Everything is computed in float64 by blocks of rows, so that memory grows with the number of pairs alone; more than
``_FLOAT64_PAIRS`` distances are kept as float32. Squared distances come out of one matrix product a block; where that
product cancels (rows close to one another) they are computed again from the difference itself. Embeddings of more than
``_WHOLE_ELEMENTS`` numbers are never in memory as float64 all at once: see :class:`Converted` and :class:`Bytes`.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from faceexp.contract import Distance, IntArray

FloatArray: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
ByteArray: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Item = TypeVar("Item")
Result = TypeVar("Result")

_BLOCK_ELEMENTS = 1 << 22  # 32 MiB of float64: large enough for the matrix product, small beside the result
_TILE_ELEMENTS = 1 << 20  # 8 MiB of float64: what is done to each distance after the product is done in the cache
_WHOLE_ELEMENTS = 1 << 25  # 256 MiB of float64
_FLOAT64_PAIRS = 1 << 24
CHUNK = 1 << 22  # pairs
_EXACT = 1 << 10  # the sum of so many products of signed bytes is one that float32 holds exactly
_CANCELS_BELOW = 1e-3  # of the sum of the squared norms: nearer than that, the difference itself is more exact
_SPLIT = float((1 << 17) + 1)  # leaves 36 of 53 bits


@dataclass(frozen=True, eq=False)
class Converted:
    """Rows made float64 when they are asked for, since all of them at once would fill the memory.

    Attributes:
        source: float (N, D).
        norms: float64 (N,), by which the rows are divided.
        mean: float64 (D,), which is taken from them.
    """

    source: FloatArray | Converted
    norms: FloatArray | None = None
    mean: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        return self.source.shape

    def __getitem__(self, rows: slice | IntArray) -> FloatArray:
        """Return rows, float64."""
        values = self.source[rows].astype(np.float64)
        if self.norms is not None:
            values /= self.norms[rows][:, None]
        if self.mean is not None:
            values -= self.mean
        return values

    def products(self, start: int, stop: int, first: int) -> FloatArray:
        """Return the products of rows ``start:stop`` with rows ``first:``."""
        left = self[start:stop]
        found = np.empty((len(left), self.shape[0] - first))
        for begin, end in blocks(found.shape[1], self.shape[1]):
            np.matmul(left, self[first + begin : first + end].T, out=found[:, begin:end])
        return found


@dataclass(frozen=True, eq=False)
class Bytes:
    """Rows of pixels between 0 and 1, kept as bytes, since they are many; products are exact before they are scaled.

    Attributes:
        source: uint8 (N, D), in 255ths.
        norms: float64 (N,), by which the rows are divided.
    """

    source: ByteArray
    norms: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        return len(self.source), int(self.source.shape[1])

    def __getitem__(self, rows: slice | IntArray) -> FloatArray:
        """Return rows, float64."""
        values: FloatArray = self.source[rows] / np.float64(255)
        return values if self.norms is None else values / self.norms[rows][:, None]

    @cached_property
    def _sums(self) -> FloatArray:
        sums: FloatArray = self.source.sum(axis=1, dtype=np.float64)
        return sums

    def products(self, start: int, stop: int, first: int) -> FloatArray:
        """Return the products of rows ``start:stop`` with rows ``first:``."""
        left = self._signed(start, stop)
        found = np.zeros((len(left), len(self.source) - first))
        for begin, end in blocks(found.shape[1], self.shape[1]):
            right = self._signed(first + begin, first + end)
            for part in range(0, self.shape[1], _EXACT):
                found[:, begin:end] += left[:, part : part + _EXACT] @ right[:, part : part + _EXACT].T
        # (x - 128)(y - 128), summed over D values, is xy - 128 (x + y) + 128^2 D.
        found += 128 * (self._sums[start:stop, None] + self._sums[None, first:]) - 128**2 * self.shape[1]
        found /= 255**2
        if self.norms is not None:
            found /= self.norms[start:stop, None]
            found /= self.norms[None, first:]
        return found

    def _signed(self, start: int, stop: int) -> FloatArray:
        return self.source[start:stop].astype(np.float32) - np.float32(128)


Embeddings: TypeAlias = FloatArray | ByteArray
Values: TypeAlias = FloatArray | Converted | Bytes


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
    if not all(np.isfinite(embeddings[piece]).all() for piece in _pieces(embeddings)):
        raise ValueError("embeddings must be finite")
    if distance == "cosine":
        return Rows(normalise(embeddings), np.ones(embeddings.shape[0]), distance)
    if distance != "euclidean":
        raise ValueError(f"unknown distance {distance!r}; known: 'cosine', 'euclidean'")
    values = _centred(as_float64(embeddings))
    return Rows(values, _squares(values), distance)


def _centred(values: Values) -> Values:
    """Take the mean from all rows: a common offset changes no distance, but costs digits in the matrix product."""
    if isinstance(values, Bytes):
        return values  # there it costs none
    if isinstance(values, Converted):
        total = np.sum([values[piece].sum(axis=0) for piece in _pieces(values)], axis=0)
        return Converted(values, mean=total / values.shape[0])
    if len(values):
        values -= values.mean(axis=0)
    return values


def normalise(embeddings: Embeddings | Values) -> Values:
    """Return the rows ``x / ||x||``, float64 (N, D); a row of zeros stays as it is."""
    values = as_float64(embeddings)
    norms = np.sqrt(_squares(values))
    norms[norms == 0] = 1.0
    if isinstance(values, Converted):
        return Converted(values, norms)
    return Bytes(values.source, norms) if isinstance(values, Bytes) else values / norms[:, None]


def as_float64(embeddings: Embeddings | Values) -> Values:
    """Return embeddings as float64, or what makes float64 of some of them where they are too many."""
    if isinstance(embeddings, Converted | Bytes):
        return embeddings
    large = embeddings.size > _WHOLE_ELEMENTS
    if embeddings.dtype == np.uint8:
        pixels = cast("ByteArray", embeddings)
        return Bytes(pixels) if large else (pixels.astype(np.float32) / np.float32(255)).astype(np.float64)
    floats = cast("FloatArray", embeddings)
    return Converted(floats) if large else floats.astype(np.float64)


def _pieces(values: Embeddings | Values) -> list[slice]:
    """Return slices of all rows: one where they are few enough to be in memory at once."""
    total, width = values.shape
    if total * width <= _WHOLE_ELEMENTS:
        return [slice(0, total)]
    return [slice(start, stop) for start, stop in blocks(total, width)]


def _squares(values: Values) -> FloatArray:
    rows = (values[piece] for piece in _pieces(values))
    return np.concatenate([_row_products(block, block) for block in rows])


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
    height = max(1, _TILE_ELEMENTS // max(1, products.shape[1]))
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


def blocks(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive blocks of rows, each of about 4 million elements at that width."""
    size = max(1, _BLOCK_ELEMENTS // max(1, width))
    for start in range(0, total, size):
        yield start, min(start + size, total)


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
        products = _row_products(rows.values[left], rows.values[right])
        _from_products(rows, products, left, right)
        distance[start:stop] = products
    return PairDistances(distance, labels[pairs[:, 0]] == labels[pairs[:, 1]])


def _row_products(left: FloatArray, right: FloatArray) -> FloatArray:
    products: FloatArray = np.einsum("nd,nd->n", left, right)
    return products


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
        squared[start:stop] = _row_products(difference, difference)
    return squared


def _merge_ties(distance: FloatArray) -> None:
    """Round to 36 bits (Veltkamp's splitting): equal distances shall tie, whichever block their product came from."""
    scaled = _SPLIT * distance
    rest = scaled - distance
    np.subtract(scaled, rest, out=distance)
