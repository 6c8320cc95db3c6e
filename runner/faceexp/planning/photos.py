"""What a folder of photos holds, as far as an experiment has to know it: every photo is opened once, some are searched.

Nothing here decides anything; :mod:`faceexp.planning.suggest` does.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from faceexp.arrays import IntArray
from faceexp.contract import FaceData
from faceexp.data import detection, detectors, images
from faceexp.data.face_data import image_name
from faceexp.errors import InputError
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.files import photo_formats
from faceexp.registry.installed import discover

# Of more photos than this, as many are opened, evenly spread over the people; a run opens all of them anyway.
MOST_OPENED = 2000
# Photos in which faces are looked for, which takes far longer than to open them.
MOST_SEARCHED = 40
# A photo becomes so many pixels for the comparison with others, and to see whether it has colours.
SMALL = Preprocess(size=(32, 32), color="rgb")


@dataclass(frozen=True)
class Faces:
    """What the detector makes of some photos.

    Attributes:
        searched: Photos that were searched.
        shares: The side of the largest face as a share of the photo's shorter side, for each photo with a face.
        several: Photos that show several faces.
    """

    searched: int
    shares: tuple[float, ...]
    several: int

    @property
    def found(self) -> int:
        """Photos with a face."""
        return len(self.shares)

    @property
    def share(self) -> float:
        """The median share; 0 where no face was found."""
        return statistics.median(self.shares) if self.shares else 0.0


@dataclass(frozen=True)
class Photos:
    """What the photos of a folder are like.

    Attributes:
        data: The data set, as its plugin has built it.
        opened: The places in the data set of the photos that were opened.
        unreadable: Why a photo cannot be used, by its place.
        shorter_side: The median of the photos' shorter sides, in pixels.
        sizes: The smallest and the largest photo, as width and height.
        coloured: How many have colours.
        alike: Photos of different people that are one and the same, by name.
        faces: What the detector makes of some of them, or ``None`` if there is no detector.
    """

    data: FaceData
    opened: IntArray
    unreadable: dict[int, str]
    shorter_side: int
    sizes: tuple[tuple[int, int], tuple[int, int]]
    coloured: int
    alike: tuple[str, ...]
    faces: Faces | None

    @property
    def readable(self) -> int:
        """How many of the photos that were opened can be used."""
        return len(self.opened) - len(self.unreadable)

    @property
    def counts(self) -> IntArray:
        """Photos of each person, without those that are known to be unreadable."""
        usable = np.setdiff1d(np.arange(len(self.data.labels)), np.array(sorted(self.unreadable), dtype=np.int64))
        return np.bincount(self.data.labels[usable], minlength=len(self.data.identities))


@dataclass(frozen=True)
class _Glance:
    size: tuple[int, int]
    coloured: bool
    digest: bytes


def look(data: FaceData, on_progress: Callable[[int, int], None]) -> Photos:
    """Open the photos of a data set, and search some of them for faces.

    Args:
        data: The data set.
        on_progress: Is called with how many photos were looked at, and of how many.

    Raises:
        InputError: Not one of them can be used.
    """
    paths = [Path(source) for source in data.images if isinstance(source, Path)]
    opened = _spread(np.arange(len(paths)), MOST_OPENED)
    total = len(opened) + min(MOST_SEARCHED, len(opened))
    glances: dict[int, _Glance] = {}
    unreadable: dict[int, str] = {}
    with images.decoding_threads() as pool:
        outcomes = pool.map(_glance, [paths[index] for index in opened])
        for number, (index, outcome) in enumerate(zip(opened.tolist(), outcomes, strict=True), 1):
            if isinstance(outcome, str):
                unreadable[index] = outcome
            else:
                glances[index] = outcome
            on_progress(number, total)
        if not glances:
            first = next(iter(unreadable.items()))
            raise InputError(f"none of the {len(opened)} photos can be used; the first, {paths[first[0]]}, {first[1]}")
        chosen = [paths[index] for index in _spread(np.array(sorted(glances)), MOST_SEARCHED)]
        faces = _faces(pool, chosen, lambda number: on_progress(len(opened) + number, total))
    on_progress(total, total)
    sizes = sorted((glance.size for glance in glances.values()), key=lambda size: (size[0] * size[1], size))
    return Photos(
        data=data,
        opened=opened,
        unreadable=unreadable,
        shorter_side=round(statistics.median(min(size) for size in sizes)),
        sizes=(sizes[0], sizes[-1]),
        coloured=sum(glance.coloured for glance in glances.values()),
        alike=tuple(_alike(data, glances)),
        faces=faces,
    )


def _spread(places: IntArray, most: int) -> IntArray:
    """Return at most so many of some places, evenly spread."""
    return places[np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(np.int64))]


def _glance(path: Path) -> _Glance | str:
    """Return what a photo is like, or why it cannot be used."""
    try:
        pixels = images.decode(path, SMALL).pixels
        with Image.open(path, formats=photo_formats()) as image:
            size = image.size
    except images.UnreadableImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    is_grey = bool((pixels == pixels[..., :1]).all())
    return _Glance(size, not is_grey, hashlib.blake2b(pixels.tobytes(), digest_size=16).digest())


def _faces(pool: ThreadPoolExecutor, paths: Sequence[Path], on_progress: Callable[[int], None]) -> Faces | None:
    """Return what the detector finds in some photos, or nothing where no detector is installed."""
    usual = Detect()
    try:
        detector = detectors.ready(discover().configure("detector", usual.plugin, usual.options))
    except InputError:
        return None
    if detector is None:
        return None

    def search(path: Path) -> list[float]:
        """Return how large the faces of a photo are, the largest first, as shares of its shorter side."""
        with Image.open(path, formats=photo_formats()) as image:
            photo = ImageOps.exif_transpose(image).convert("RGB")
        return [face.side / min(photo.size) for face in detection.search(photo, usual, detector).faces]

    shares: list[float] = []
    several = 0
    for number, found in enumerate(pool.map(search, paths), 1):
        shares += found[:1]
        several += len(found) > 1
        on_progress(number)
    return Faces(len(paths), tuple(shares), several)


def _alike(data: FaceData, glances: dict[int, _Glance]) -> list[str]:
    """Return the photos of different people that look the same, each group in one text."""
    places: dict[bytes, list[int]] = defaultdict(list)
    for index, glance in glances.items():
        places[glance.digest].append(index)
    return [
        " = ".join(image_name(data, index) for index in group)
        for group in places.values()
        if len({int(data.labels[index]) for index in group}) > 1
    ]
