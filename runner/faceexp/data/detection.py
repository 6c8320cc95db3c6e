"""From a photo to its face: it is found by a detector, brought into place, and cut out.

Either a square around the face is cut out, turned by the eyes where the experiment asks for it, and resized afterwards.
Or five points of the face are laid on those of a template, and the network's image is taken from the photo in one step.

References:
    Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns", IEEE Transactions on
    Pattern Analysis and Machine Intelligence 13 (1991).
    Deng, Guo, Xue and Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR (2019), whose
    images lie on this template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from faceexp.arrays import ByteArray, FloatArray
from faceexp.contract.detectors import DetectorPlugin, Face, Hint
from faceexp.errors import InputError, Problem
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess

# Where the eyes, the nose and the corners of the mouth lie in ArcFace's images of 112 x 112 pixels; their size.
TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
TEMPLATE_SIZE = (112, 112)
# A place in a photo: pixels from the left and from above.
Point = tuple[float, float]


class NoFaceError(Exception):
    """A photo shows no face, several where one is wanted, or one that cannot be brought into place."""


@dataclass(frozen=True)
class Cut:
    """What is cut out of a photo: a rectangle of so many pixels, turned.

    Attributes:
        size: Its width and height in pixels.
        matrix: From a place in the rectangle to one in the photo, as Pillow's affine transformation wants it.
        points: The points of the face by which it was brought into place: five, two eyes or none.
    """

    size: tuple[int, int]
    matrix: tuple[float, float, float, float, float, float]
    points: tuple[Point, ...] = ()

    @property
    def corners(self) -> tuple[Point, ...]:
        """Its corners in the photo, clockwise from the upper left one of the upright face."""
        a, b, c, d, e, f = self.matrix
        width, height = self.size
        return tuple(
            (a * x + b * y + c, d * x + e * y + f) for x, y in ((0, 0), (width, 0), (width, height), (0, height))
        )

    def of(self, photo: Image.Image) -> Image.Image:
        """Return what it holds of a photo."""
        return photo.transform(self.size, Image.Transform.AFFINE, self.matrix, Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class Search:
    """What was found in a photo.

    Attributes:
        pixels: The photo as the detector has got it.
        faces: All faces, the one that is cropped first.
    """

    pixels: ByteArray
    faces: list[Face]


def search(photo: Image.Image, detect: Detect, detector: DetectorPlugin, landmarks: FloatArray | None = None) -> Search:
    """Return the faces of a photo.

    Args:
        photo: Upright, of a mode that Pillow converts to colours.
        detect: What to look for.
        detector: What looks for it.
        landmarks: float (5, 2), what the data set knows of the photo.

    Raises:
        NoFaceError: The detector refuses the photo.
        InputError: The detector itself is at fault.
    """
    pixels = np.asarray(photo.convert("RGB"), dtype=np.uint8)
    try:
        given = detector.detect(pixels, Hint(detect.smallest, landmarks))
        faces = list(given)
        faults = [fault for face in faces if (fault := _fault(face))]
    except InputError as error:
        raise NoFaceError("; ".join(problem.message for problem in error.problems)) from error
    except Exception as error:
        raise InputError(
            Problem(f"{_name(detector)} failed: {type(error).__name__}: {' '.join(str(error).split())}")
        ) from error
    if faults:
        raise InputError(Problem(f"{_name(detector)} {faults[0]}; tell its author"))
    height, width = pixels.shape[:2]

    def order(face: Face) -> tuple[float, ...]:
        across, down = face.left + face.width / 2 - width / 2, face.top + face.height / 2 - height / 2
        aside = across**2 + down**2 if detect.several == "central" else 0.0
        # Of two faces of the same size, always the same one comes first.
        return aside, -face.side, face.top, face.left

    return Search(pixels, sorted(faces, key=order))


def _name(detector: DetectorPlugin) -> str:
    return f"the detector {type(detector).__name__}"


def _fault(face: object) -> str:
    """Return what is wrong with a face as a detector gives it; nothing where it is as promised."""
    if not isinstance(face, Face):
        return f"gives a {type(face).__name__}, not Face(...)"
    numbers = [face.left, face.top, face.width, face.height]
    if face.landmarks is not None:
        if np.shape(face.landmarks) != (5, 2):
            return f"gives landmarks of shape {np.shape(face.landmarks)}, not (5, 2)"
        numbers += np.ravel(face.landmarks).tolist()
    return "" if np.isfinite(numbers).all() and face.side > 0 else f"gives a face that is nowhere: {face}"


def chosen(faces: Sequence[Face], detect: Detect) -> Face:
    """Return the face that is cropped, of those that :func:`search` gives.

    Raises:
        NoFaceError: There is no face, or there are several and ``several = "error"``.
    """
    if not faces:
        raise NoFaceError("shows no face that the detector finds")
    if len(faces) > 1 and detect.several == "error":
        raise NoFaceError(f"shows {len(faces)} faces, and one is wanted")
    return faces[0]


def cut(searched: Search, preprocess: Preprocess, detect: Detect, detector: DetectorPlugin) -> Cut:
    """Return what is cut out of a photo for the face that is chosen.

    Raises:
        NoFaceError: There is no such face, or it cannot be brought into place.
    """
    face = chosen(searched.faces, detect)
    if detect.align == "five_points":
        if face.landmarks is None:
            raise NoFaceError("shows a face whose five points the detector does not find")
        return on_template(np.asarray(face.landmarks, dtype=np.float64), preprocess, detect)
    eyes = detector.eyes(searched.pixels, face) if detect.align == "eyes" else None
    return square(face, None if eyes is None else np.asarray(eyes, dtype=np.float64), detect)


def square(face: Face, eyes: FloatArray | None, detect: Detect) -> Cut:
    """Return the square that a face fills, with its margin, turned so that its eyes are level."""
    turn = 0.0 if eyes is None else float(np.arctan2(*(eyes[1] - eyes[0])[::-1]))
    points = () if eyes is None else tuple((float(x), float(y)) for x, y in eyes)
    centre = (face.left + face.width / 2, face.top + face.height / 2)
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
    return Cut((size, size), matrix, points)


def on_template(landmarks: FloatArray, preprocess: Preprocess, detect: Detect) -> Cut:
    """Return the network's image of a face, whose five points lie as near as possible to those of the template.

    Raises:
        NoFaceError: The five points lie in one place.
    """
    turn, shift = similarity(template(preprocess, detect), landmarks)
    # The template counts from the middle of the first pixel, Pillow from its corner.
    c, f = shift + 0.5 - turn @ np.array([0.5, 0.5])
    matrix = (turn[0, 0], turn[0, 1], c, turn[1, 0], turn[1, 1], f)
    height, width = preprocess.size
    return Cut((width, height), matrix, tuple((float(x), float(y)) for x, y in landmarks))


def template(preprocess: Preprocess, detect: Detect) -> FloatArray:
    """Return where the five points are to lie in the network's image, float (5, 2).

    The template is enlarged until it fills the longer way of the image, and the other way its middle is kept: so the
    one of 112 x 112 becomes that of 112 x 96, as it is used. A margin makes it smaller, around the same middle.
    """
    points = np.array(detect.template or TEMPLATE, dtype=np.float64)
    given = np.array(detect.template_size or TEMPLATE_SIZE, dtype=np.float64)[::-1]
    wanted = np.array(preprocess.size, dtype=np.float64)[::-1]
    scale = float((wanted / given).max()) / (1 + 2 * detect.margin)
    placed: FloatArray = points * scale + (wanted - given * scale) / 2
    return placed


def similarity(source: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the turn with scale, (2, 2), and the shift, (2,), that bring points nearest to others by least squares.

    Args:
        source: float (N, 2); ``source @ turn.T + shift`` is where they come to lie.
        target: float (N, 2).

    Raises:
        NoFaceError: All points of one of them lie in one place.
    """
    middle, goal = source.mean(axis=0), target.mean(axis=0)
    here, there = source - middle, target - goal
    u, weights, v = np.linalg.svd(there.T @ here)
    # A face is never mirrored to fit better.
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    scale = (weights * signs).sum() / max((here**2).sum(), 1e-12)
    if not scale > 1e-9:
        raise NoFaceError("shows a face whose five points lie in one place")
    turn = scale * (u * signs) @ v
    return turn, goal - turn @ middle
