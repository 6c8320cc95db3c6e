"""Distances between pairs of embeddings.

Everything is computed in float64 by blocks of rows, so that only the distances themselves need memory that grows with
the number of pairs. More than ``_FLOAT64_PAIRS`` of them are kept as float32, more than ``_PAIRS_IN_MEMORY`` in a file.
Squared distances come out of one matrix product per block. Where two rows are so close that this product loses digits,
the distance is computed again from the difference of the rows. Large embeddings are never in memory as float64 all at
once: see ``embeddings``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import (
    SPLIT,
    Embeddings,
    Float64OnDemand,
    Float64Rows,
    ScaledPixels,
    as_float64,
    blocks,
    normalise,
    pieces,
    row_products,
    squared_norms,
)
from faceexp.evaluation.measured_pairs import PairDistances, Pairs, room_on_disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.arrays import FloatArray, IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.measured_pairs import PairsOnDisk

# Products that are turned into distances at a time, 8 MiB as float64: they stay in the processor's cache meanwhile.
TILE_ELEMENTS = 1 << 20
# More distances than this are kept as float32, which halves their memory. These 16.8 million pairs, 128 MiB, are those
# of about 5,800 images; with so many pairs, no metric notices the seventh digit of a distance.
_FLOAT64_PAIRS = 1 << 24
# Distances of more pairs than these 67 million, of about 11,600 images, lie in a file. In memory they would take more
# than 320 MiB, and four times that for twice as many images.
_PAIRS_IN_MEMORY = 1 << 26
# The centre of all rows is that of at most about so many, evenly spaced ones: any point among the rows will do, and the
# median of very many rows takes long.
_CENTRE_ROWS = 1 << 10
# Rows whose squared distance is below this share of the sum of their squared norms are close to each other. There the
# matrix product would lose three or more of its 16 digits, so the difference of the rows is computed instead.
_CANCELS_BELOW = 1e-3


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """Embeddings that are prepared for measuring one kind of distance.

    Attributes:
        values: float64 (N, D), or what makes blocks of that: centred for Euclidean distances, of unit length for
            cosine distances.
        squares: float64 (N,), the squared norms of the rows. For cosine distances they are 1 even for a row of zeros,
            so that its cosine with anything is 0.
        distance: The kind of distance.
    """

    values: Float64Rows
    squares: FloatArray
    distance: Distance

    def __len__(self) -> int:
        """N."""
        return len(self.squares)


def prepare(embeddings: Embeddings | Float64Rows, distance: Distance) -> PreparedRows:
    """Return the rows from which :func:`distances_from` measures.

    Args:
        embeddings: float (N, D); or pixels, uint8 (N, D), of which 255 counts as 1.
        distance: ``"euclidean"``: ``||x - y||``; ``"cosine"``: ``1 - x.y / (||x|| ||y||)``, which is half the squared
            Euclidean distance of the normalised rows.

    Raises:
        ValueError: The embeddings are not a matrix or not finite, or the distance is unknown.
    """
    if len(embeddings.shape) != 2:
        raise ValueError(f"embeddings must have the shape (N, D), not {embeddings.shape}")
    if not all(np.isfinite(embeddings[piece]).all() for piece in pieces(embeddings)):
        raise ValueError("embeddings must be finite")
    if distance == "cosine":
        return PreparedRows(normalise(embeddings), np.ones(embeddings.shape[0]), distance)
    if distance != "euclidean":
        raise ValueError(f"unknown distance {distance!r}; known: 'cosine', 'euclidean'")
    values = _centred(as_float64(embeddings))
    return PreparedRows(values, squared_norms(values), distance)


def _centred(values: Float64Rows) -> Float64Rows:
    """Subtract the median of each column: a common offset changes no distance, but costs the matrix product digits.

    It is not the mean, because a single row that is far away would move that: the ordinary rows would then be far from
    the centre, and their distances would lose their digits.
    """
    if isinstance(values, ScaledPixels):
        return values  # their products are exact, so an offset costs nothing
    if not values.shape[0]:
        return values
    centre = np.median(values[:: -(-values.shape[0] // _CENTRE_ROWS)], axis=0)
    if isinstance(values, Float64OnDemand):
        return Float64OnDemand(values, centre=centre)
    values -= centre
    return values


def distances_from(
    rows: PreparedRows,
    start: int,
    stop: int,
    first: int = 0,
    then: Callable[[int, FloatArray], None] | None = None,
) -> FloatArray:
    """Return the distances from rows ``start:stop`` to rows ``first:``, float64 (stop - start, N - first).

    Args:
        rows: What :func:`prepare` returned.
        start: The first row to measure from.
        stop: The row behind the last one.
        first: The first row to measure to.
        then: Is called for each row that is measured from, with its number and its distances, while these are still in
            the processor's cache.
    """
    products = _products(rows.values, start, stop, first)
    right = np.arange(first, len(rows))[None, :]
    height = max(1, TILE_ELEMENTS // max(1, products.shape[1]))
    # Not in threads: the threads of the matrix product stay busy while they wait for the next one, so there are no
    # cores left for others.
    for top in range(0, len(products), height):
        tile = products[top : top + height]
        _from_products(rows, tile, np.arange(start + top, start + top + len(tile))[:, None], right)
        if then:
            for row, distances in enumerate(tile, start + top):
                then(row, distances)
    return products


def _products(values: Float64Rows, start: int, stop: int, first: int) -> FloatArray:
    if not isinstance(values, np.ndarray):
        return values.products(start, stop, first)
    products: FloatArray = values[start:stop] @ values[first:].T
    return products


def pair_distances(
    embeddings: Embeddings | Float64Rows, labels: IntArray, distance: Distance, pairs: IntArray | None = None
) -> Pairs:
    """Return the distances of the listed pairs, or of every pair ``i < j`` in the order of ``np.triu_indices(N, 1)``.

    Args:
        embeddings: float (N, D).
        labels: int (N,), the identity of each row.
        distance: See :func:`prepare`.
        pairs: int (P, 2), row indices; ``None``: all ``N (N - 1) / 2`` pairs.

    Raises:
        ValueError: A shape does not fit, or an index is out of range; or see :func:`prepare`.
    """
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"labels must have the shape {embeddings.shape[:1]}, not {labels.shape}")
    rows = prepare(embeddings, distance)
    return _all_pairs(rows, labels) if pairs is None else _listed_pairs(rows, labels, pairs)


def _all_pairs(rows: PreparedRows, labels: IntArray) -> Pairs:
    total = len(labels)
    count = total * (total - 1) // 2
    on_disk = room_on_disk(count) if count > _PAIRS_IN_MEMORY else None
    if on_disk:
        _append_all_pairs(rows, labels, on_disk)
        return on_disk
    distance: FloatArray = np.empty(count, np.float64 if count <= _FLOAT64_PAIRS else np.float32)
    similar = np.empty(count, np.bool_)

    def store(row: int, distances: FloatArray) -> None:
        """Copy the distances from a row to all later rows to where these pairs belong."""
        later = total - row - 1
        end = count - later * (later - 1) // 2
        distance[end - later : end] = distances[len(distances) - later :]
        np.equal(labels[row], labels[row + 1 :], out=similar[end - later : end])

    for start, stop in blocks(total, total):
        distances_from(rows, start, stop, first=start, then=store)
    return PairDistances(distance, similar)


def _append_all_pairs(rows: PreparedRows, labels: IntArray, pairs: PairsOnDisk) -> None:
    def append(row: int, distances: FloatArray) -> None:
        """Write the distances from a row to all later rows."""
        pairs.file.append(distances[len(distances) - (len(labels) - row - 1) :], labels[row] == labels[row + 1 :])

    for start, stop in blocks(len(labels), len(labels)):
        distances_from(rows, start, stop, first=start, then=append)


def _listed_pairs(rows: PreparedRows, labels: IntArray, pairs: IntArray) -> PairDistances:
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


def _from_products(rows: PreparedRows, products: FloatArray, left: IntArray, right: IntArray) -> None:
    """Overwrite inner products with distances.

    It works in place: blocks are large, and each new array costs as much time as the arithmetic.

    Args:
        rows: What the products are of.
        products: Inner products of rows ``left`` and ``right``.
        left: Row indices; together with ``right``, they broadcast to the shape of the products.
        right: Row indices.
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


def _squared_differences(values: Float64Rows, left: IntArray, right: IntArray) -> FloatArray:
    squared = np.empty(len(left), np.float64)
    for start, stop in blocks(len(left), values.shape[1]):
        difference = values[left[start:stop]] - values[right[start:stop]]
        squared[start:stop] = row_products(difference, difference)
    return squared


def _merge_ties(distance: FloatArray) -> None:
    """Round to 36 bits, in place (Veltkamp's splitting).

    The last bits of a distance depend on the block that its product was computed in. Without them, equal distances are
    equal numbers.
    """
    scaled = SPLIT * distance
    rest = scaled - distance
    np.subtract(scaled, rest, out=distance)
