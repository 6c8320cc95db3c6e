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


BLOCK_ELEMENTS = 1 << 22  # 32 MiB of float64: large enough for the matrix product, small beside the result
_WHOLE_ELEMENTS = 1 << 25  # 256 MiB of float64
_EXACT = 1 << 10  # the sum of so many products of signed bytes is one that float32 holds exactly
SPLIT = float((1 << 17) + 1)  # leaves 36 of 53 bits


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


def normalise(embeddings: Embeddings | Values) -> Values:
    """Return the rows ``x / ||x||``, float64 (N, D); a row of zeros stays as it is."""
    values = as_float64(embeddings)
    norms = np.sqrt(squared_norms(values))
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


def pieces(values: Embeddings | Values) -> list[slice]:
    """Return slices of all rows: one where they are few enough to be in memory at once."""
    total, width = values.shape
    if total * width <= _WHOLE_ELEMENTS:
        return [slice(0, total)]
    return [slice(start, stop) for start, stop in blocks(total, width)]


def squared_norms(values: Values) -> FloatArray:
    """Return the squared length of each row, float64 (N,)."""
    rows = (values[piece] for piece in pieces(values))
    return np.concatenate([row_products(block, block) for block in rows])


def blocks(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive blocks of rows, each of about 4 million elements at that width."""
    size = max(1, BLOCK_ELEMENTS // max(1, width))
    for start in range(0, total, size):
        yield start, min(start + size, total)


def row_products(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the product of each row with the other row of the same place, float64 (N,)."""
    products: FloatArray = np.einsum("nd,nd->n", left, right)
    return products
