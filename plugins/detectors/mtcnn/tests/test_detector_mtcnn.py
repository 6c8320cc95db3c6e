"""MTCNN finds faces and five points on them, in silence, and no face is lost that is larger than what is looked for."""

from __future__ import annotations

import sys
from typing import Any

import faceexp_detector_mtcnn
import numpy as np
import pytest
from faceexp_detector_mtcnn import Mtcnn
from PIL import Image, ImageFilter

import faceexp
from faceexp.contract import Hint
from faceexp.data.detection import search
from faceexp.errors import InputError
from faceexp.experiment.detect import Detect
from faceexp.testing import DetectorContract
from faceexp.testing.detector import made_photos


@pytest.fixture(scope="module")
def orl():
    """Real faces: the first image of six people of ORL."""
    dataset: Any = faceexp.plugin("dataset", "orl")
    return [Image.open(dataset.build(0).images[10 * person]).convert("RGB") for person in range(6)]


def scene(*faces, size=(640, 480)):
    """Return a photo of cloudy background with faces on it, each with its place and height."""
    clouds = np.random.default_rng(0).integers(60, 180, (size[1], size[0], 3)).astype(np.uint8)
    photo = Image.fromarray(clouds).filter(ImageFilter.GaussianBlur(6))
    for face, place, height in faces:
        photo.paste(face.resize((round(height * face.width / face.height), height)), place)
    return np.asarray(photo)


class TestMtcnnContract(DetectorContract):
    @pytest.fixture
    def plugin(self):
        return Mtcnn()

    @pytest.fixture
    def searches(self, orl):
        return [*made_photos(), (np.asarray(orl[0]), Hint()), (scene((orl[1], (60, 100), 200)), Hint())]


def test_the_points_lie_where_they_belong_in_a_face(orl):
    for photo in orl:
        (face,) = Mtcnn().detect(np.asarray(photo), Hint())
        assert face.landmarks is not None
        eye, other, nose, mouth, corner = face.landmarks
        assert eye[0] < nose[0] < other[0]
        assert max(eye[1], other[1]) < nose[1] < min(mouth[1], corner[1])
        assert mouth[0] < corner[0]
        x, y = face.landmarks.mean(axis=0)
        assert face.left < x < face.left + face.width
        assert face.top < y < face.top + face.height


def test_a_face_is_found_where_it_is_whatever_the_size_of_the_photo(orl):
    small = Mtcnn().detect(scene((orl[0], (300, 100), 250)), Hint())
    large = Mtcnn().detect(scene((orl[0], (1500, 500), 1250), size=(3200, 2400)), Hint())
    assert (len(small), len(large)) == (1, 1)
    # Pixels are counted from their middles, so that a place five times as far is not just five times the number.
    np.testing.assert_allclose((large[0].landmarks + 0.5) / 5 - 0.5, small[0].landmarks, atol=4)


@pytest.mark.parametrize("smallest", [0.02, 0.1, 0.3, 0.6])
def test_a_large_face_is_found_whatever_the_smallest_may_be(orl, smallest):
    # The package itself loses it where its own number for that is not 20.
    assert len(Mtcnn().detect(np.asarray(orl[0]), Hint(smallest))) == 1


def test_faces_smaller_than_what_is_looked_for_do_not_count(orl):
    photo = scene((orl[0], (40, 100), 100), (orl[1], (300, 80), 300))
    assert [len(Mtcnn().detect(photo, Hint(smallest))) for smallest in (0.1, 0.4, 0.9)] == [2, 1, 0]


@pytest.mark.parametrize(("several", "place"), [("largest", 0), ("central", 1)])
def test_of_several_people_the_largest_or_the_most_central_is_taken(orl, several, place):
    faces = [(orl[0], (20, 60), 280), (orl[1], (285, 170), 150), (orl[2], (500, 300), 120)]
    searched = search(Image.fromarray(scene(*faces)), Detect(several=several), Mtcnn())
    assert len(searched.faces) == 3
    middle = searched.faces[0].left + searched.faces[0].width / 2
    left, right = faces[place][1][0], faces[place][1][0] + faces[place][2] * 92 / 112
    assert left < middle < right


def test_it_says_nothing_on_the_way(orl, capfd):
    Mtcnn().prepare()
    Mtcnn().detect(np.asarray(orl[0]), Hint())
    assert capfd.readouterr() == ("", "")


def test_all_share_one_network():
    assert faceexp_detector_mtcnn.networks() is faceexp_detector_mtcnn.networks()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    faceexp_detector_mtcnn.networks.cache_clear()
    with pytest.raises(InputError, match="run: pip install mtcnn"):
        Mtcnn().prepare()
