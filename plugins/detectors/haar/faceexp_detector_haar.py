"""The Viola-Jones cascades that OpenCV carries, as a faceexp plugin."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from faceexp.contract import ByteArray, DetectorPlugin, Face, FloatArray, Hint, Points
from faceexp.errors import InputError, Problem

# A larger photo is searched at this size in pixels, which is quicker; a face that is worth comparing is still large
# enough there.
LONGEST_SIDE = 1024
# The detector takes smaller squares than that, in pixels, for faces far too often.
SMALLEST_FACE = 32
_of_thread = threading.local()


class Haar(DetectorPlugin):
    """OpenCV's cascades for frontal faces and for eyes, as in the source study.

    It is quick and needs no weights of its own. But it gives no landmarks, it loses faces that are turned or partly
    covered, and now and then it takes something else for a face.
    """

    reference: ClassVar[str] = (
        'Viola and Jones, "Robust Real-Time Face Detection", International Journal of Computer Vision 57 (2004)'
    )
    points: ClassVar[Points] = "eyes"
    requirements: ClassVar[tuple[str, ...]] = ("opencv-python-headless<5",)

    def prepare(self) -> None:
        """Import OpenCV, which several threads must not do at once.

        Raises:
            InputError: It is missing, or has no such detector.
        """
        opencv()

    def detect(self, photo: ByteArray, hint: Hint) -> Sequence[Face]:
        """Return the faces of a photo, uint8 (H, W, 3)."""
        grey = Image.fromarray(photo).convert("L")
        scale = min(1.0, LONGEST_SIDE / max(grey.size))
        small = (
            grey
            if scale == 1
            else grey.resize([max(1, round(side * scale)) for side in grey.size], Image.Resampling.BOX)
        )
        pixels = np.ascontiguousarray(small, dtype=np.uint8)
        least = max(SMALLEST_FACE, round(min(pixels.shape) * hint.smallest))
        # The detector needs some room around a face. A photo that is cropped closely gets it by repeating its border:
        # an eighth finds the face in 400 of 400 ORL images, against 347 without it.
        around = min(pixels.shape) // 8
        boxes = cascade("haarcascade_frontalface_default.xml").detectMultiScale(
            np.pad(pixels, around, mode="edge"), scaleFactor=1.1, minNeighbors=4, minSize=(least, least)
        )
        faces = []
        for x, y, width, height in boxes:
            side = float(max(width, height)) / scale
            faces.append(Face((float(x) - around) / scale, (float(y) - around) / scale, side, side))
        return faces

    def eyes(self, photo: ByteArray, face: Face) -> FloatArray | None:
        """Return the middles of the eyes of a face, float (2, 2), where just two are found that fit a face."""
        # Eyes are in the upper part of a face; lower down the detector takes nostrils and mouths for them.
        upper = (face.left, face.top + 0.15 * face.side, face.left + face.side, face.top + 0.6 * face.side)
        region = Image.fromarray(photo).convert("L").crop(upper)
        scale = min(1.0, 400 / max(1, region.size[0]))
        if scale < 1:
            region = region.resize([max(1, round(side * scale)) for side in region.size], Image.Resampling.BOX)
        pixels = np.ascontiguousarray(region, dtype=np.uint8)
        least = max(8, round(0.12 * pixels.shape[1]))
        boxes = cascade("haarcascade_eye.xml").detectMultiScale(
            pixels, scaleFactor=1.05, minNeighbors=4, minSize=(least, least)
        )
        centres = [(x + width / 2, y + height / 2) for x, y, width, height in boxes]
        middle = pixels.shape[1] / 2
        left = [eye for eye in centres if eye[0] < middle]
        right = [eye for eye in centres if eye[0] >= middle]
        if len(left) != 1 or len(right) != 1:
            return None
        across, down = right[0][0] - left[0][0], right[0][1] - left[0][1]
        wide_enough = across > 0.25 * pixels.shape[1]
        if not wide_enough or abs(np.arctan2(down, across)) >= np.radians(30):
            return None
        return np.array([(upper[0] + x / scale, upper[1] + y / scale) for x, y in (left[0], right[0])])


def cascade(name: str) -> Any:  # noqa: ANN401 - OpenCV has no types for it
    """Return a detector of this thread; threads cannot share one, since it holds the photo that it searches."""
    if not hasattr(_of_thread, "cascades"):
        _of_thread.cascades = {}
    if name not in _of_thread.cascades:
        cv2 = opencv()
        _of_thread.cascades[name] = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / name))
    return _of_thread.cascades[name]


def opencv() -> Any:  # noqa: ANN401
    """Return OpenCV.

    Raises:
        InputError: It is missing, or has no such detector.
    """
    cv2: Any
    try:
        import cv2
    except ImportError:
        cv2 = None
    if not hasattr(cv2, "CascadeClassifier"):
        raise InputError(
            Problem(
                "photos are cropped to the face with OpenCV 4, of which version 5 has no such detector; "
                "run: pip install 'opencv-python-headless<5'"
            )
        )
    return cv2
