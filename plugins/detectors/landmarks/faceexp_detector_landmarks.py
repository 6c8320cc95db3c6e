"""Landmarks that a data set gives, as a faceexp plugin: nothing is detected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from faceexp.contract import ByteArray, DetectorPlugin, Face, Hint, Points
from faceexp.errors import InputError, Problem

NAMES = ("left eye", "right eye", "nose", "left corner of the mouth", "right corner of the mouth")
# Where the five points of a face lie on average in a square of one pixel around it, and how far they lie from there:
# those of ArcFace's template of 112 x 112.
MIDDLE = np.array([0.5002, 0.6420])
SPREAD = 0.2076


class Landmarks(DetectorPlugin):
    """The five points of the column ``landmarks`` of the data set; nothing is detected.

    A model that was trained with it cannot look at a photo of which no landmarks are known.
    """

    reference: ClassVar[str] = "Whoever made the landmarks; faceexp does not know"
    points: ClassVar[Points] = "five"
    columns: ClassVar[tuple[str, ...]] = ("landmarks",)

    def detect(self, photo: ByteArray, hint: Hint) -> Sequence[Face]:
        """Return the face whose landmarks are known.

        Raises:
            InputError: They are not known, or one of them lies outside the photo.
        """
        if hint.landmarks is None:
            message = (
                "shows a face whose landmarks nobody knows: the photos of this model are cropped by landmarks of its "
                "data set, which a single photo does not have; for such photos train with another detector"
            )
            raise InputError(Problem(message))
        landmarks = np.array(hint.landmarks, dtype=np.float64)
        if not np.isfinite(landmarks).all():
            raise InputError(Problem("has no landmarks in its data set"))
        height, width = photo.shape[:2]
        # Pixels are counted from their middles: the photo ends half a pixel beyond the last one.
        outside = ((landmarks < -0.5) | (landmarks > np.array([width, height]) - 0.5)).any(axis=1)
        if outside.any():
            first = int(np.argmax(outside))
            x, y = landmarks[first]
            message = f"has a landmark outside: the {NAMES[first]} at ({x:g}, {y:g}) of {width} x {height} pixels"
            raise InputError(Problem(message))
        middle = landmarks.mean(axis=0)
        spread = float(np.sqrt(((landmarks - middle) ** 2).sum(axis=1).mean()))
        side = max(spread / SPREAD, 1.0)
        left, top = middle - side * MIDDLE
        return [Face(float(left), float(top), side, side, landmarks=landmarks)]
