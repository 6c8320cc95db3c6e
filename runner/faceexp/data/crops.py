"""What detection makes of the photos of a data set, before anything trains: faces, eyes, crops, and photos without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from PIL import Image

from faceexp.arrays import FloatArray
from faceexp.contract import DetectorPlugin, Face, FaceData
from faceexp.data import detection, detectors, images
from faceexp.data.detection import Point
from faceexp.data.face_data import image_name
from faceexp.errors import plain
from faceexp.experiment.schema import Preprocess
from faceexp.registry.installed import ConfiguredPlugin

# ``unreadable`` is what cannot be decoded, ``whole`` a photo in which nothing is looked for.
Kind = Literal["unreadable", "none", "several", "one", "whole"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Pixels of the longer side of a photo and of a crop as they are kept to be shown.
SHOWN_SIDE = 128
# Photos that are kept to be shown: so many of each kind that asks for attention, and so many of the others, which are
# taken evenly from the whole data set. All photos are counted.
MOST_TROUBLED = 60
MOST_OTHERS = 120
# Photos that a thread looks at before it asks for more; a large one takes a tenth of a second.
AT_ONCE = 8


@dataclass(frozen=True)
class Drawing:
    """A photo to be shown.

    Attributes:
        photo: Upright, small, in colour.
        crop: What the network gets, small; nothing where it gets nothing.
        scale: Pixels of ``photo`` for each pixel of the photo; what follows is in pixels of the photo.
        faces: All faces that were found, the one that is cropped first.
        points: The points of the face by which it is brought into place: five, two eyes or none.
        corners: Of what is cut out.
    """

    photo: Image.Image
    crop: Image.Image | None
    scale: float
    faces: tuple[Face, ...] = ()
    points: tuple[Point, ...] = ()
    corners: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Looked:
    """What was found in one photo.

    Attributes:
        name: Its person and its file.
        reason: Why the network cannot have it, if it cannot.
        drawing: How it is shown; nothing where it cannot be decoded, or where enough others are shown.
    """

    name: str
    kind: Kind
    reason: str = ""
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Crops:
    """What was found in the photos of a data set.

    Attributes:
        people: How many people they show.
        photos: In the order of the data set.
        detects: Whether faces were looked for.
    """

    people: int
    photos: tuple[Looked, ...]
    detects: bool

    @property
    def counts(self) -> dict[Kind, int]:
        """How many photos there are of each kind, in the order of ``KINDS``."""
        counted = Counter(photo.kind for photo in self.photos)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    def of(self, kind: Kind) -> list[Looked]:
        """Return the photos of one kind."""
        return [photo for photo in self.photos if photo.kind == kind]


def of_first(data: FaceData, people: int | None) -> list[int]:
    """Return the images of so many people, the first of the data set; of all, if no number is given."""
    wanted = len(data.identities) if people is None else people
    indices: list[int] = np.flatnonzero(data.labels < wanted).tolist()
    return indices


def look_at(
    data: FaceData,
    indices: list[int],
    preprocess: Preprocess,
    progress: Callable[[int], None],
    configured: ConfiguredPlugin | None = None,
) -> Crops:
    """Return what detection finds in the photos, decoded with the same checks and by the same code as for training.

    Args:
        data: The data set.
        indices: Which of its images are looked at.
        preprocess: How its images become arrays.
        progress: Is called with how many photos are done.
        configured: The detector that the experiment names, if it names one.
    """
    evenly = np.linspace(0, len(indices) - 1, min(MOST_OTHERS, len(indices)))
    others = {indices[int(place)] for place in evenly.round()}
    photos: list[Looked] = []
    drawn: Counter[Kind] = Counter()

    detector = detectors.ready(configured, data.columns)

    def look_at_block(start: int) -> list[Looked]:
        return [_look(data, index, preprocess, detector) for index in indices[start : start + AT_ONCE]]

    with images.decoding_threads() as pool:
        starts = range(0, len(indices), AT_ONCE)
        for start, block in zip(starts, pool.map(look_at_block, starts), strict=True):
            for index, looked in zip(indices[start : start + AT_ONCE], block, strict=True):
                ordinary = looked.kind in ("one", "whole")
                is_shown = index in others if ordinary else drawn[looked.kind] < MOST_TROUBLED
                drawn[looked.kind] += is_shown
                photos.append(looked if is_shown else replace(looked, drawing=None))
            progress(len(photos))
    return Crops(len(np.unique(data.labels[indices])), tuple(photos), preprocess.detect is not None)


def _look(data: FaceData, index: int, preprocess: Preprocess, detector: DetectorPlugin | None) -> Looked:
    source, name = data.images[index], image_name(data, index)
    known = data.columns.get("landmarks")
    landmarks = None if known is None else known[index]
    try:
        if isinstance(source, np.ndarray):
            return _seen(name, images.upright(Image.fromarray(source)), preprocess, detector, landmarks)
        return images.opened(source, lambda image: _seen(name, images.upright(image), preprocess, detector, landmarks))
    except images.UnreadableImageError as error:
        return Looked(name, "unreadable", plain(str(error)))


def _seen(
    name: str,
    photo: Image.Image,
    preprocess: Preprocess,
    detector: DetectorPlugin | None,
    landmarks: FloatArray | None,
) -> Looked:
    detect = preprocess.detect
    scale = min(1.0, SHOWN_SIDE / max(photo.size))
    if detect is None or detector is None:
        return Looked(name, "whole", drawing=Drawing(_small(photo, scale), _crop(photo, preprocess), scale))
    drawing = Drawing(_small(photo, scale), None, scale)
    try:
        searched = detection.search(photo, detect, detector, landmarks)
    except detection.NoFaceError as error:
        return Looked(name, "none", str(error), drawing)
    count = len(searched.faces)
    kind: Kind = "none" if not count else "one" if count == 1 else "several"
    drawing = replace(drawing, faces=tuple(searched.faces))
    try:
        taken = detection.cut(searched, preprocess, detect, detector)
    except detection.NoFaceError as error:
        return Looked(name, kind, str(error), drawing)
    crop = _crop(images.cropped(photo, taken, preprocess), preprocess)
    return Looked(name, kind, drawing=replace(drawing, crop=crop, points=taken.points, corners=taken.corners))


def _small(photo: Image.Image, scale: float) -> Image.Image:
    return photo.convert("RGB").resize([max(1, round(side * scale)) for side in photo.size], Image.Resampling.BOX)


def _crop(face: Image.Image, preprocess: Preprocess) -> Image.Image:
    """Return what the network gets. A small picture is enlarged pixel by pixel, so that one sees how little it is."""
    pixels = images.resized(face, preprocess)
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    scale = SHOWN_SIDE / max(picture.size)
    size = [max(1, round(side * scale)) for side in picture.size]
    return picture.convert("RGB").resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX)
