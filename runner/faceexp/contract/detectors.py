"""Faces in photos: what a detector is told, what it gives, and the base class of detectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from faceexp.arrays import ByteArray, FloatArray
from faceexp.contract.plugin import Plugin

# What a detector gives beside boxes: nothing, the two eyes, or five points, of which the first two are the eyes.
Points = Literal["none", "eyes", "five"]


@dataclass(frozen=True)
class Face:
    """A face in a photo.

    Attributes:
        left: Of its box, in pixels of the photo from its left edge.
        top: Of its box, in pixels of the photo from its upper edge.
        width: Of its box, in pixels of the photo.
        height: Of its box, in pixels of the photo.
        score: How sure the detector is; the more, the surer.
        landmarks: float (5, 2), x and y of both eyes, the nose and both corners of the mouth, the left one in the photo
            first. The middle of the upper left pixel is (0, 0), as in OpenCV. Nothing where they are not known.
    """

    left: float
    top: float
    width: float
    height: float
    score: float = 1.0
    landmarks: FloatArray | None = None

    @property
    def side(self) -> float:
        """The longer side of its box."""
        return max(self.width, self.height)


@dataclass(frozen=True)
class Hint:
    """What a detector is told of a photo.

    Attributes:
        smallest: The side of the smallest face that is looked for, as a share of the photo's shorter side.
        landmarks: float (5, 2), what the column ``landmarks`` of the data set says of this photo, if it has one.
    """

    smallest: float = 0.1
    landmarks: FloatArray | None = None


class DetectorPlugin(Plugin, ABC):
    """A way to find faces in photos.

    Several threads call ``detect`` and ``eyes`` at once. What they cannot share is kept once for each thread, or behind
    a lock. The same photo gives the same faces, whichever thread asks and whatever was searched before.

    Class variables:
        reference: Where the detector was published.
        points: What it gives beside boxes; see :meth:`gives`.
        columns: Columns of the data set without which it finds nothing. A model that was trained with such a detector
            cannot look at a photo of which nothing is known.
        requirements: What a program without faceexp has to install for it, as ``pip`` wants it.
    """

    reference: ClassVar[str]
    points: ClassVar[Points]
    columns: ClassVar[tuple[str, ...]] = ()
    requirements: ClassVar[tuple[str, ...]] = ()

    def gives(self) -> Points:
        """Return what it gives beside boxes: ``points``, unless an option decides."""
        return self.points

    def prepare(self) -> None:
        """Import and open what ``detect`` needs. It is called once, before any thread calls ``detect``.

        Raises:
            InputError: Something is missing or unusable.
        """

    @abstractmethod
    def detect(self, photo: ByteArray, hint: Hint) -> Sequence[Face]:
        """Return the faces of a photo, uint8 (H, W, 3), in any order.

        Raises:
            InputError: Nothing can be found in this photo; the text is what people read behind its name.
        """

    def eyes(self, photo: ByteArray, face: Face) -> FloatArray | None:  # noqa: ARG002 - those without points need it
        """Return the middles of the eyes of a face that it has found, float (2, 2), or nothing if they are not found.

        Places are as in :class:`Face`. It is asked only for the face that is cropped.
        """
        return None if face.landmarks is None else face.landmarks[:2]
