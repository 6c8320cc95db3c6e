"""The inputs of phase 2, feature rows or images: in memory where they are small, else read a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faceexp.arrays import ByteArray, FloatArray, IntArray
from faceexp.engine.backend import tensorflow

PLAIN, FLIPPED = 0, 1
# Beyond this, rows stay in their memory-mapped file.
RESIDENT_BYTES = 256 * 2**20

Views = Sequence[FloatArray | ByteArray]


def resident(views: Views, train: IntArray, padded: int) -> Any | None:  # noqa: ANN401 - a tensor
    """Return the views of the training images one below the other, (views x padded, ...), or ``None`` if too large.

    Args:
        views: Plain and, maybe, flipped inputs of all images.
        train: Which images are trained on.
        padded: Rows to give each view, so that parts of all seeds and folds have one shape and compile once.
    """
    shape = views[PLAIN].shape[1:]
    if len(views) * padded * int(np.prod(shape)) * views[PLAIN].itemsize > RESIDENT_BYTES:
        return None
    stacked = np.zeros((len(views), padded, *shape), views[PLAIN].dtype)
    for view, inputs in zip(stacked, views, strict=True):
        view[: len(train)] = inputs[train]
    return tensorflow().constant(stacked.reshape(-1, *shape))


@dataclass
class Rows:
    """What gives the inputs of training images by their place in ``train``, each from a view drawn at random.

    Attributes:
        views: Plain and, maybe, flipped inputs of all images.
        train: Which images are trained on.
        seed: Of the draws.
        source: What :func:`resident` gave.
    """

    views: Views
    train: IntArray
    seed: int
    source: Any | None = None
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def most(self, batch_size: int, wanted: int) -> int:
        """Return how many batches to read at a time, at most as many as wanted: fewer where they would be large."""
        if self.source is not None:
            return wanted
        row = int(np.prod(self.views[PLAIN].shape[1:])) * self.views[PLAIN].itemsize
        return max(1, min(wanted, RESIDENT_BYTES // (batch_size * row)))

    def chunk(self, index: IntArray, length: int) -> tuple[Any, IntArray]:
        """Return inputs and which of them the batches are, int32 (length, B).

        Args:
            index: int (n, B), places in ``train``; n is ``length`` at most.
            length: The compiled loop's; batches that are missing are all of row 0, and are not used.
        """
        several = len(self.views) > 1
        view = self._random.integers(len(self.views), size=index.shape) if several else np.zeros_like(index)
        places = np.zeros((length, index.shape[1]), np.int32)
        if self.source is not None:
            places[: len(index)] = view * (len(self.source) // len(self.views)) + index
            return self.source, places
        inputs = np.zeros((places.size, *self.views[PLAIN].shape[1:]), self.views[PLAIN].dtype)
        wanted, drawn = self.train[index.ravel()], view.ravel()
        for number, each in enumerate(self.views):
            (chosen,) = np.nonzero(drawn == number)
            inputs[chosen] = each[wanted[chosen]]
        places[: len(index)] = np.arange(index.size).reshape(index.shape)
        return inputs, places
