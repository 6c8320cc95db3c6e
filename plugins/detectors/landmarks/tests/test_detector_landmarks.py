"""Landmarks of a data set stand for a face, and what is wrong with them is told in words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from faceexp_detector_landmarks import Landmarks
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.contract import FaceData, Hint
from faceexp.data.decode import decoded_images
from faceexp.data.detection import TEMPLATE
from faceexp.data.detectors import ready
from faceexp.errors import InputError
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.registry.installed import discover
from faceexp.store import Store
from faceexp.testing import DetectorContract
from faceexp.testing.detector import made_photos

POINTS = np.array(TEMPLATE)
BLANK = np.zeros((112, 112, 3), np.uint8)


class TestLandmarksContract(DetectorContract):
    @pytest.fixture
    def plugin(self):
        return Landmarks()

    @pytest.fixture
    def searches(self):
        return [*made_photos(), (BLANK, Hint(landmarks=POINTS)), (BLANK, Hint(landmarks=POINTS / 2))]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 5), st.floats(0, 50), st.floats(0, 50))
def test_the_box_is_where_the_template_would_be(scale, x, y):
    photo = np.zeros((700, 700, 3), np.uint8)
    (face,) = Landmarks().detect(photo, Hint(landmarks=POINTS * scale + [x, y]))
    np.testing.assert_allclose(
        [face.left, face.top, face.width, face.height], [x, y, 112 * scale, 112 * scale], atol=0.05 * scale
    )
    np.testing.assert_array_equal(face.landmarks, POINTS * scale + [x, y])


def moved(point, place):
    return [place if index == point else each for index, each in enumerate(POINTS.tolist())]


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (moved(2, [112.0, 50.0]), "has a landmark outside: the nose at (112, 50) of 112 x 112 pixels"),
        (moved(0, [-1.0, 50.0]), "has a landmark outside: the left eye at (-1, 50) of 112 x 112 pixels"),
        (moved(4, [np.nan, 50.0]), "has no landmarks in its data set"),
        (None, "shows a face whose landmarks nobody knows: the photos of this model are cropped by landmarks of its"),
    ],
)
def test_what_is_wrong_with_landmarks_is_told(landmarks, message):
    with pytest.raises(InputError) as caught:
        Landmarks().detect(BLANK, Hint(landmarks=None if landmarks is None else np.array(landmarks)))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("place", [(-0.5, 20.0), (111.5, 20.0), (20.0, 111.49)])
def test_the_edges_of_the_photo_belong_to_it(place):
    assert Landmarks().detect(BLANK, Hint(landmarks=np.array(moved(1, list(place)))))


def test_data_without_the_column_are_refused_before_anything_is_read():
    with pytest.raises(InputError, match=r"takes the column 'landmarks' of the data set, which has none"):
        ready(discover().configure("detector", "landmarks", {}), {"sex": [1]})


def test_each_photo_is_cropped_by_its_own_landmarks(tmp_path):
    """Noise on black: the landmarks of each photo say where the noise is."""
    places = np.random.default_rng(1).integers(0, 80, (6, 2))
    pixels = np.zeros((6, 200, 200), np.uint8)
    for number, (x, y) in enumerate(places):
        pixels[number, y : y + 112, x : x + 112] = np.random.default_rng(number).integers(1, 256, (112, 112))
    columns = {"landmarks": POINTS + places[:, None].astype(float)}
    data = FaceData(pixels, np.arange(6, dtype=np.int32), tuple("abcdef"), "f", "x", "x", columns=columns)
    preprocess = Preprocess(size=(112, 112), detect=Detect(plugin="landmarks", align="five_points"))
    detector = discover().configure("detector", "landmarks", {})
    store = Store(tmp_path)
    artefact = decoded_images(data, preprocess, store, lambda *_: None, detector)
    for (x, y), photo, image in zip(places, pixels, np.load(artefact.path / "images.npy"), strict=True):
        assert np.abs(image[..., 0].astype(int) - photo[y : y + 112, x : x + 112]).max() <= 1
    columns["landmarks"][2, 0] = 500
    other = dataclasses.replace(data, fingerprint="g")
    with pytest.raises(InputError, match="image 2.*has a landmark outside: the left eye at"):
        decoded_images(other, preprocess, store, lambda *_: None, detector)
