"""The inputs of fine-tuning, features or images: in memory where they are small, else read a few batches at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from faceexp.arrays import ByteArray, FloatArray, IntArray
from faceexp.engine.backend import Tensor, tensorflow

PLAIN, FLIPPED = 0, 1
# Inputs that take more than this stay in their memory-mapped file, so that memory does not grow with the data set. Most
# data sets are far smaller; for them, nothing is read again while a loss trains.
RESIDENT_BYTES = 256 * 2**20

# In the store, the features of all images, float32 (views, N, F).
FEATURES_FILE = "features.npy"

# The same inputs of all images, seen plain and, if images are mirrored in training, mirrored.
Views = Sequence[FloatArray | ByteArray]


def with_mirrored(plain: FloatArray, mirrored: FloatArray | None = None) -> FloatArray:
    """Return the embeddings of images, as they are; or with their mirror images, the sums of both, of length 1."""
    if mirrored is None:
        return plain
    total = plain + mirrored
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.where(lengths > 0, lengths, 1), np.float32)


def views_of(features: Path | None, images: ByteArray, *, flip: bool) -> Views:
    """Return what fine-tuning trains on: cached features, or the images themselves; plain, and maybe mirrored.

    Args:
        features: The folder of the store in which they are kept, if they are.
        images: uint8 (N, H, W, C).
        flip: Whether images are mirrored.
    """
    if features:
        return list(np.load(features / FEATURES_FILE, mmap_mode="r", allow_pickle=False))
    return [images, images[:, :, ::-1]] if flip else [images]


def resident(views: Views, train: IntArray, padded: int) -> Tensor | None:
    """Return the training images' inputs as one tensor, or ``None`` where they are too large for memory.

    The views lie one below the other, so the shape is (views x padded, ...).

    Args:
        views: The inputs of all images.
        train: Which images are trained on.
        padded: To how many rows each view is filled up with zeros. With the same number for all seeds and folds, all
            have the same shape, and the training step is compiled only once.
    """
    shape = views[PLAIN].shape[1:]
    if len(views) * padded * int(np.prod(shape)) * views[PLAIN].itemsize > RESIDENT_BYTES:
        return None
    stacked = np.zeros((len(views), padded, *shape), views[PLAIN].dtype)
    for target, view in zip(stacked, views, strict=True):
        target[: len(train)] = view[train]
    return tensorflow().constant(stacked.reshape(-1, *shape))


@dataclass
class TrainingInputs:
    """The inputs of training images; each time an image is asked for, one of its views is drawn at random.

    Attributes:
        views: The inputs of all images.
        train: Which images are trained on.
        seed: Of the random choices between views.
        source: What :func:`resident` returned: the inputs in memory, or ``None`` where they are read from the views.
    """

    views: Views
    train: IntArray
    seed: int
    source: Tensor | None = None
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def batches_per_read(self, batch_size: int, at_most: int) -> int:
        """Return how many batches to ask for at a time: as many as fit into memory, at least one.

        Args:
            batch_size: Images per batch.
            at_most: More than this are never asked for.
        """
        if self.source is not None:
            return at_most
        row_bytes = int(np.prod(self.views[PLAIN].shape[1:])) * self.views[PLAIN].itemsize
        return max(1, min(at_most, RESIDENT_BYTES // (batch_size * row_bytes)))

    def read(self, index: IntArray, length: int) -> tuple[Tensor, IntArray]:
        """Return inputs, and which of their rows each batch consists of, int32 (length, B).

        Args:
            index: int (n, B), the images of each batch as positions in ``train``; n is at most ``length``.
            length: How many batches the compiled loop takes. Missing batches are filled up with row 0; the loop does
                not use them.
        """
        several = len(self.views) > 1
        view_of = self._random.integers(len(self.views), size=index.shape) if several else np.zeros_like(index)
        places = np.zeros((length, index.shape[1]), np.int32)
        if self.source is not None:
            places[: len(index)] = view_of * (len(self.source) // len(self.views)) + index
            return self.source, places
        inputs = np.zeros((places.size, *self.views[PLAIN].shape[1:]), self.views[PLAIN].dtype)
        images, drawn = self.train[index.ravel()], view_of.ravel()
        for number, view in enumerate(self.views):
            (chosen,) = np.nonzero(drawn == number)
            inputs[chosen] = view[images[chosen]]
        places[: len(index)] = np.arange(index.size).reshape(index.shape)
        return inputs, places
