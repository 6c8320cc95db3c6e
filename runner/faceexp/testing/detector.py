"""What every detector has to keep."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
import pytest

from faceexp.arrays import ByteArray, FloatArray
from faceexp.contract import DetectorPlugin, Face, Hint, Points
from faceexp.errors import InputError
from faceexp.testing.plugin import PluginContract, assert_process_stays

# A photo, uint8 (H, W, 3), with what a detector is told of it.
Searches = Sequence[tuple[ByteArray, Hint]]
# Threads that ask at once, and how often each photo is searched then.
THREADS, ROUNDS = 4, 3


class DetectorContract(PluginContract):
    """What every detector has to keep; the subclass gives a fixture ``plugin``, and better ones of ``searches``.

    The photos of this suite show no face: a fixture ``searches`` with photos that show some says more.
    """

    @pytest.fixture
    def searches(self) -> Searches:
        """Return the photos to search: noise and slopes of several shapes, one of them of a single pixel."""
        return made_photos()

    def test_gives_faces(self, plugin: DetectorPlugin, searches: Searches) -> None:
        """Check that each answer is a sequence of ``Face`` whose numbers are finite, with boxes that are not empty."""
        for faces in _searched(plugin, searches):
            for face in faces:
                assert isinstance(face, Face), f"a face is a {type(face).__name__}, not Face(...)"
                box = (face.left, face.top, face.width, face.height)
                assert np.isfinite([*box, face.score]).all(), f"{face} has numbers that are not finite"
                assert min(face.width, face.height) > 0, f"{face} has an empty box"

    def test_gives_the_points_that_it_promises(self, plugin: DetectorPlugin, searches: Searches) -> None:
        """Check that each face has the landmarks that ``gives()`` promises, and no others, and that eyes are two."""
        promised = plugin.gives()
        assert promised in get_args(Points), f"gives() gives {promised!r}"
        for (photo, _), faces in zip(searches, _searched(plugin, searches), strict=True):
            for face in faces:
                shape = None if face.landmarks is None else np.shape(face.landmarks)
                wanted = (5, 2) if promised == "five" else None
                assert shape == wanted, f"landmarks are of shape {shape} where gives() says {promised!r}"
                eyes = plugin.eyes(photo, face)
                assert eyes is None or promised != "none", f"there are eyes where gives() says {promised!r}"
                for points in (face.landmarks, eyes):
                    assert points is None or np.isfinite(points).all(), f"{points} are not finite"
                assert eyes is None or np.shape(eyes) == (2, 2), f"eyes are of shape {np.shape(eyes)}"

    def test_leaves_the_photo_alone(self, plugin: DetectorPlugin, searches: Searches) -> None:
        """Compare each photo before and after: what is cropped is cut from it."""
        for photo, hint in searches:
            given = np.array(photo)
            for face in _searched(plugin, [(given, hint)])[0]:
                plugin.eyes(given, face)
            assert np.array_equal(given, photo), "it changes the photo that it is given"

    def test_leaves_the_process_as_it_was(self, plugin: DetectorPlugin, searches: Searches) -> None:
        """Search the photos: settings of NumPy and of Python must stay as they are, random numbers included."""
        assert_process_stays(lambda: _searched(plugin, searches))

    def test_the_photo_alone_decides(self, plugin: DetectorPlugin, searches: Searches) -> None:
        """Search the photos again, the last one first: the same faces, whatever was searched before."""
        forwards, backwards = _searched(plugin, searches), _searched(plugin, searches[::-1])[::-1]
        for here, there in zip(forwards, backwards, strict=True):
            assert _numbers(here) == _numbers(there), "the same photo gives other faces the second time"

    def test_several_threads_may_ask(self, plugin: DetectorPlugin, searches: Searches) -> None:
        """Search the photos in several threads at once: the same faces as in one."""
        alone = [_numbers(faces) for faces in _searched(plugin, searches)]
        with ThreadPoolExecutor(THREADS) as pool:
            together = list(pool.map(lambda search: _searched(plugin, [search])[0], [*searches] * ROUNDS))
        for number, faces in enumerate(together):
            assert _numbers(faces) == alone[number % len(alone)], "several threads get other faces than one alone"


def made_photos() -> Searches:
    """Return photos without faces: noise and slopes of several shapes."""
    rng = np.random.default_rng(0)
    shapes = ((96, 96), (64, 200), (250, 60), (1, 1), (40, 33))
    noise = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    slope = np.broadcast_to(np.linspace(0, 255, 120, dtype=np.uint8)[:, None, None], (120, 90, 3))
    return [(photo, Hint()) for photo in (*noise, slope.copy())]


def _searched(plugin: DetectorPlugin, searches: Searches) -> list[list[Face]]:
    """Return the faces of each photo; none where the detector refuses it in words."""
    plugin.prepare()
    answers = []
    for photo, hint in searches:
        try:
            answers.append(list(plugin.detect(photo, hint)))
        except InputError:
            answers.append([])
    return answers


def _numbers(faces: Sequence[Face]) -> list[tuple[float, ...]]:
    """Return what faces consist of, in an order of their own, to be compared."""
    return sorted(
        (face.left, face.top, face.width, face.height, face.score, *np.ravel(_points(face)).tolist()) for face in faces
    )


def _points(face: Face) -> FloatArray:
    return np.zeros((0, 2)) if face.landmarks is None else np.asarray(face.landmarks)
