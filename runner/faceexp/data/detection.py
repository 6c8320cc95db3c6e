"""From a photo to its face: it is detected, aligned by the eyes where the experiment asks for it, and cropped.

The detector is the Viola-Jones cascade for frontal faces that OpenCV carries, as in the source study.

References:
    Viola and Jones, "Robust Real-Time Face Detection", International Journal of Computer Vision 57 (2004).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray
    from faceexp.experiment.schema import Detect

# A larger photo is searched at this size in pixels, which is quicker; a face that is worth comparing is still large
# enough there.
LONGEST_SIDE = 1024
# The detector takes smaller squares than that, in pixels, for faces far too often.
SMALLEST_FACE = 32
_of_thread = threading.local()
# A place in a photo: pixels from the left and from above.
Point = tuple[float, float]


class NoFaceError(Exception):
    """A photo shows no face, or several where one is wanted."""


@dataclass(frozen=True)
class Box:
    """A square around a face, in pixels of the photo."""

    left: float
    top: float
    side: float


@dataclass(frozen=True)
class Tilt:
    """How the line of the eyes is turned.

    Attributes:
        angle: In radians; 0 where two eyes are not found.
        eyes: Their middles, in pixels of the photo: the two by which the face is turned, or none.
    """

    angle: float = 0.0
    eyes: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Square:
    """What is cut out of a photo: a square of so many pixels, turned.

    Attributes:
        size: Pixels of its side.
        matrix: From a place in the square to one in the photo, as Pillow's affine transformation wants it.
    """

    size: int
    matrix: tuple[float, float, float, float, float, float]

    @property
    def corners(self) -> tuple[Point, ...]:
        """Its corners in the photo, clockwise from the upper left one of the upright face."""
        a, b, c, d, e, f = self.matrix
        places = ((0, 0), (self.size, 0), (self.size, self.size), (0, self.size))
        return tuple((a * x + b * y + c, d * x + e * y + f) for x, y in places)

    def cut(self, photo: Image.Image) -> Image.Image:
        """Return what it holds of a photo."""
        size = (self.size, self.size)
        return photo.transform(size, Image.Transform.AFFINE, self.matrix, Image.Resampling.BILINEAR)


def crop(photo: Image.Image, detect: Detect) -> tuple[Image.Image, int]:
    """Return the square that the largest face fills, with its margin, and how many faces the photo shows.

    Args:
        photo: Upright, of a mode that Pillow converts to grey.
        detect: What to look for.

    Raises:
        NoFaceError: There is no face, or there are several and ``several = "error"``.
    """
    grey = photo.convert("L")
    faces = find(grey, detect)
    face = chosen(faces, detect)
    return square(face, tilt(grey, face, detect), detect).cut(photo), len(faces)


def chosen(faces: list[Box], detect: Detect) -> Box:
    """Return the face that is cropped, of those that :func:`find` gives.

    Raises:
        NoFaceError: There is no face, or there are several and ``several = "error"``.
    """
    if not faces:
        raise NoFaceError("shows no face that the detector finds")
    if len(faces) > 1 and detect.several == "error":
        raise NoFaceError(f"shows {len(faces)} faces, and one is wanted")
    return faces[0]


def square(face: Box, tilt: Tilt, detect: Detect) -> Square:
    """Return what is cut out of a photo for a face."""
    turn = tilt.angle
    centre = (face.left + face.side / 2, face.top + face.side / 2)
    half = face.side * (0.5 + detect.margin)
    # One transformation from the photo to the crop: turning first would blur twice.
    cos, sin = np.cos(turn), np.sin(turn)
    size = max(1, round(2 * half))
    scale = 2 * half / size
    matrix = (
        scale * cos,
        -scale * sin,
        centre[0] - half * cos + half * sin,
        scale * sin,
        scale * cos,
        centre[1] - half * sin - half * cos,
    )
    return Square(size, matrix)


def find(grey: Image.Image, detect: Detect) -> list[Box]:
    """Return the faces of a grey photo, the largest first."""
    scale = min(1.0, LONGEST_SIDE / max(grey.size))
    small = (
        grey if scale == 1 else grey.resize([max(1, round(side * scale)) for side in grey.size], Image.Resampling.BOX)
    )
    pixels = np.ascontiguousarray(small, dtype=np.uint8)
    least = max(SMALLEST_FACE, round(min(pixels.shape) * detect.smallest))
    # The detector needs some room around a face. A photo that is cropped closely gets it by repeating its border: an
    # eighth finds the face in 400 of 400 ORL images, against 347 without it.
    around = min(pixels.shape) // 8
    boxes = _cascade("haarcascade_frontalface_default.xml").detectMultiScale(
        np.pad(pixels, around, mode="edge"), scaleFactor=1.1, minNeighbors=4, minSize=(least, least)
    )
    faces = [
        Box((float(x) - around) / scale, (float(y) - around) / scale, float(max(width, height)) / scale)
        for x, y, width, height in boxes
    ]
    # Of two faces of the same size, always the same one comes first.
    return sorted(faces, key=lambda box: (-box.side, box.top, box.left))


def tilt(grey: Image.Image, face: Box, detect: Detect) -> Tilt:
    """Return how the line of the eyes is turned, where the experiment wants to know it."""
    if not detect.align:
        return Tilt()
    # Eyes are in the upper part of a face; lower down the detector takes nostrils and mouths for them.
    upper = (face.left, face.top + 0.15 * face.side, face.left + face.side, face.top + 0.6 * face.side)
    region = grey.crop(upper)
    scale = min(1.0, 400 / max(1, region.size[0]))
    if scale < 1:
        region = region.resize([max(1, round(side * scale)) for side in region.size], Image.Resampling.BOX)
    pixels = np.ascontiguousarray(region, dtype=np.uint8)
    least = max(8, round(0.12 * pixels.shape[1]))
    boxes: ByteArray = _cascade("haarcascade_eye.xml").detectMultiScale(
        pixels, scaleFactor=1.05, minNeighbors=4, minSize=(least, least)
    )
    centres = [(x + width / 2, y + height / 2) for x, y, width, height in boxes]
    middle = pixels.shape[1] / 2
    left = [eye for eye in centres if eye[0] < middle]
    right = [eye for eye in centres if eye[0] >= middle]
    if len(left) != 1 or len(right) != 1:
        return Tilt()
    across, down = right[0][0] - left[0][0], right[0][1] - left[0][1]
    angle = float(np.arctan2(down, across))
    wide_enough = across > 0.25 * pixels.shape[1]
    if not wide_enough or abs(angle) >= np.radians(30):
        return Tilt()
    return Tilt(
        angle, tuple((float(upper[0] + x / scale), float(upper[1] + y / scale)) for x, y in (left[0], right[0]))
    )


def _cascade(name: str) -> Any:  # noqa: ANN401 - OpenCV has no types for it
    """Return a detector of this thread; threads cannot share one, since it holds the photo that it searches."""
    if not hasattr(_of_thread, "cascades"):
        _of_thread.cascades = {}
    if name not in _of_thread.cascades:
        cv2 = _opencv()
        _of_thread.cascades[name] = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / name))
    return _of_thread.cascades[name]


@cache
def _opencv() -> Any:  # noqa: ANN401
    cv2: Any
    try:
        import cv2
    except ImportError:
        cv2 = None
    if not hasattr(cv2, "CascadeClassifier"):
        raise InputError(
            Problem(
                "[preprocess.detect] needs OpenCV 4, of which version 5 has no such detector; "
                "run: pip install 'faceexp[detect]'"
            )
        )
    return cv2


def version() -> str:
    """Return the version of OpenCV, which decides which faces are detected."""
    return str(_opencv().__version__)
