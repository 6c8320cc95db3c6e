"""The test images of a trial for trackers that ask for them: embeddings, identities and small photos in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faceexp.arrays import ByteArray, FloatArray, IntArray
from faceexp.values import Plan, TrainedTrial

# So many images at most, and so many numbers in their embeddings: what a program that draws them can still show.
MOST_IMAGES, MOST_NUMBERS = 2500, 2**20
# The longer side of a photo, in pixels.
SIDE = 48


@dataclass(frozen=True)
class TrackedFaces:
    """The test images of a trial.

    Attributes:
        embeddings: float32 (n, D).
        identities: The name of the person on each image.
        rows: int (n,), the images among all.
        images: uint8 (N, H, W, C), all images of the data set, which may be mapped into memory.
    """

    embeddings: FloatArray
    identities: tuple[str, ...]
    rows: IntArray
    images: ByteArray

    def write(self, path: Path, *, photos: bool) -> None:
        """Write the file that a tracker reads; see :class:`faceexp.contract.TrackedTrial`.

        Raises:
            OSError: It cannot be written.
        """
        arrays: dict[str, Any] = {"embeddings": self.embeddings, "identities": np.array(self.identities, np.str_)}
        if photos:
            arrays["photos"] = np.stack([_small(self.images[row]) for row in self.rows])
        np.savez(path, **arrays)


def faces_of(trained: TrainedTrial | None, plan: Plan) -> TrackedFaces | None:
    """Return the test images of a trial, of many those of the first people; nothing where it has no embeddings."""
    if trained is None or "test" not in trained.embeddings:
        return None
    embeddings, test = trained.embeddings["test"], trained.split.test
    most = min(MOST_IMAGES, MOST_NUMBERS // max(embeddings.shape[1], 1))
    chosen = np.argsort(plan.labels[test], kind="stable")[:most]
    if not len(chosen):
        return None
    rows = test[chosen]
    identities = tuple(plan.identities[label] for label in plan.labels[rows])
    return TrackedFaces(np.asarray(embeddings[chosen], np.float32), identities, rows, plan.images)


def _small(pixels: ByteArray) -> ByteArray:
    """Return an image whose longer side has no more than so many pixels."""
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((SIDE, SIDE))
    return np.asarray(image, np.uint8).reshape(image.height, image.width, -1)
