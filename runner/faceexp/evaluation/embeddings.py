"""Embeddings as rows of float64, without all of them being in memory as float64 at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from faceexp.arrays import ByteArray, FloatArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faceexp.arrays import IntArray


# Numbers per block, 32 MiB as float64: large enough for a fast matrix product, small beside the result.
BLOCK_ELEMENTS = 1 << 22
# Embeddings of more numbers than this, 256 MiB as float64, are converted block by block; smaller ones all at once.
_WHOLE_ELEMENTS = 1 << 25
# Products that are summed up in float32 at a time. A product of two signed bytes is at most 2^14, so the sum of 2^10 of
# them is at most 2^24: float32 holds every whole number up to that exactly.
_EXACT = 1 << 10
# The factor of Veltkamp's splitting, which rounds a float64 to 36 of its 53 bits.
SPLIT = float((1 << 17) + 1)


@dataclass(frozen=True, eq=False)
class Float64OnDemand:
    """Rows that become float64 when they are asked for, since all of them at once would fill the memory.

    Attributes:
        source: float (N, D).
        norms: float64 (N,), what each row is divided by; ``None``: nothing.
        centre: float64 (D,), what is subtracted from every row; ``None``: nothing.
    """

    source: FloatArray | Float64OnDemand
    norms: FloatArray | None = None
    centre: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        return self.source.shape

    def __getitem__(self, rows: slice | IntArray) -> FloatArray:
        """Return some rows, float64."""
        values = self.source[rows].astype(np.float64)
        if self.norms is not None:
            values /= self.norms[rows][:, None]
        if self.centre is not None:
            values -= self.centre
        return values

    def products(self, start: int, stop: int, first: int) -> FloatArray:
        """Return the inner products of rows ``start:stop`` with rows ``first:``."""
        left = self[start:stop]
        products = np.empty((len(left), self.shape[0] - first))
        for begin, end in blocks(products.shape[1], self.shape[1]):
            np.matmul(left, self[first + begin : first + end].T, out=products[:, begin:end])
        return products


@dataclass(frozen=True, eq=False)
class ScaledPixels:
    """Rows of pixels between 0 and 1, kept as bytes, since there are many of them.

    Inner products are computed from the bytes, exactly, and scaled afterwards.

    Attributes:
        source: uint8 (N, D), in 255ths.
        norms: float64 (N,), what each row is divided by; ``None``: nothing.
    """

    source: ByteArray
    norms: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        return len(self.source), int(self.source.shape[1])

    def __getitem__(self, rows: slice | IntArray) -> FloatArray:
        """Return some rows, float64."""
        values: FloatArray = self.source[rows] / np.float64(255)
        return values if self.norms is None else values / self.norms[rows][:, None]

    @cached_property
    def _sums(self) -> FloatArray:
        sums: FloatArray = self.source.sum(axis=1, dtype=np.float64)
        return sums

    def products(self, start: int, stop: int, first: int) -> FloatArray:
        """Return the inner products of rows ``start:stop`` with rows ``first:``."""
        left = self._signed(start, stop)
        products = np.zeros((len(left), len(self.source) - first))
        for begin, end in blocks(products.shape[1], self.shape[1]):
            right = self._signed(first + begin, first + end)
            for part in range(0, self.shape[1], _EXACT):
                products[:, begin:end] += left[:, part : part + _EXACT] @ right[:, part : part + _EXACT].T
        # So far it is the sum of (x - 128)(y - 128) over D values, which is xy - 128 (x + y) + 128^2 D.
        products += 128 * (self._sums[start:stop, None] + self._sums[None, first:]) - 128**2 * self.shape[1]
        products /= 255**2
        if self.norms is not None:
            products /= self.norms[start:stop, None]
            products /= self.norms[None, first:]
        return products

    def _signed(self, start: int, stop: int) -> FloatArray:
        return self.source[start:stop].astype(np.float32) - np.float32(128)


# Embeddings as the engine returns them.
Embeddings: TypeAlias = FloatArray | ByteArray
# Embeddings whose rows are float64, at least when they are asked for.
Float64Rows: TypeAlias = FloatArray | Float64OnDemand | ScaledPixels


def normalise(embeddings: Embeddings | Float64Rows) -> Float64Rows:
    """Return the rows ``x / ||x||``, float64 (N, D); a row of zeros stays as it is."""
    values = as_float64(embeddings)
    norms = np.sqrt(squared_norms(values))
    norms[norms == 0] = 1.0
    if isinstance(values, Float64OnDemand):
        return Float64OnDemand(values, norms)
    return ScaledPixels(values.source, norms) if isinstance(values, ScaledPixels) else values / norms[:, None]


def as_float64(embeddings: Embeddings | Float64Rows) -> Float64Rows:
    """Return embeddings as float64; if they are large, something that makes float64 of the rows it is asked for."""
    if isinstance(embeddings, Float64OnDemand | ScaledPixels):
        return embeddings
    large = embeddings.size > _WHOLE_ELEMENTS
    if embeddings.dtype == np.uint8:
        pixels = cast("ByteArray", embeddings)
        return ScaledPixels(pixels) if large else (pixels.astype(np.float32) / np.float32(255)).astype(np.float64)
    floats = cast("FloatArray", embeddings)
    return Float64OnDemand(floats) if large else floats.astype(np.float64)


def pieces(values: Embeddings | Float64Rows) -> list[slice]:
    """Return slices that cover all rows: a single one if all rows may be in memory at once, else one per block."""
    total, width = values.shape
    if total * width <= _WHOLE_ELEMENTS:
        return [slice(0, total)]
    return [slice(start, stop) for start, stop in blocks(total, width)]


def squared_norms(values: Float64Rows) -> FloatArray:
    """Return the squared length of each row, float64 (N,)."""
    rows = (values[piece] for piece in pieces(values))
    return np.concatenate([row_products(block, block) for block in rows])


def blocks(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive blocks of rows, each with about :data:`BLOCK_ELEMENTS` numbers.

    Args:
        total: Number of rows.
        width: Numbers per row.
    """
    size = max(1, BLOCK_ELEMENTS // max(1, width))
    for start in range(0, total, size):
        yield start, min(start + size, total)


def row_products(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the inner product of each row with the row at the same place in the other array, float64 (N,)."""
    products: FloatArray = np.einsum("nd,nd->n", left, right)
    return products
