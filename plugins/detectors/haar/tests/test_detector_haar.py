"""Faces are found in photos by OpenCV's cascades, turned upright and cropped; a photo without one says so."""

from __future__ import annotations

import sys
from typing import Any

import faceexp_detector_haar
import numpy as np
import pytest
from faceexp_detector_haar import Haar
from PIL import Image, ImageFilter

import faceexp
from faceexp.contract import Hint
from faceexp.data import detection
from faceexp.data.detection import NoFaceError
from faceexp.data.images import UnreadableImageError, decode, prepare
from faceexp.errors import InputError
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.testing import DetectorContract
from faceexp.testing.detector import made_photos

DETECT = Detect()


class TestHaarContract(DetectorContract):
    @pytest.fixture
    def plugin(self):
        return Haar()

    @pytest.fixture
    def searches(self, orl):
        photo = scene((orl[0], (60, 100), 120), (orl[1], (350, 80), 260)).convert("RGB")
        return [*made_photos(), (np.asarray(photo), Hint())]


def find(photo, detect):
    return detection.search(photo, detect, Haar()).faces


def crop(photo, detect):
    """Return the square around the face, before it is resized, and how many faces there are."""
    searched = detection.search(photo, detect, Haar())
    cut = detection.cut(searched, Preprocess(detect=detect), detect, Haar())
    return cut.of(photo), len(searched.faces)


@pytest.fixture(scope="module")
def orl():
    """Real faces: the first image of ten people of ORL."""
    dataset: Any = faceexp.plugin("dataset", "orl")
    data = dataset.build(0)
    return [Image.open(data.images[10 * person]).convert("L") for person in range(10)]


def scene(*faces, size=(640, 480), seed=0):
    """Return a photo of cloudy background with faces on it, each with its place and height."""
    clouds = np.random.default_rng(seed).integers(60, 180, (size[1], size[0])).astype(np.uint8)
    photo = Image.fromarray(clouds).filter(ImageFilter.GaussianBlur(6))
    for face, place, height in faces:
        photo.paste(face.resize((round(height * face.width / face.height), height)), place)
    return photo


def middle(box):
    return box.left + box.side / 2, box.top + box.side / 2


def test_faces_that_fill_the_picture_are_found(orl):
    assert [len(find(face, DETECT)) for face in orl] == [1] * 10


def test_a_face_in_a_larger_scene_is_found_where_it_is(orl):
    for seed, face in enumerate(orl[:4]):
        (box,) = find(scene((face, (400, 200), 150), seed=seed), DETECT)
        x, y = middle(box)
        assert 400 < x < 400 + 123
        assert 200 < y < 350
        assert 70 < box.side < 150


def test_huge_photos_are_searched_small_and_boxes_are_in_their_own_pixels(orl):
    photo = scene((orl[0], (2000, 1000), 900), size=(4000, 3000))
    (box,) = find(photo, DETECT)
    assert 2000 < middle(box)[0] < 2739
    assert box.side > 450


def test_the_largest_of_several_is_taken_or_refused(orl):
    photo = scene((orl[0], (60, 100), 120), (orl[1], (350, 80), 260))
    boxes = find(photo, DETECT)
    assert [middle(box)[0] > 350 for box in boxes] == [True, False]
    face, count = crop(photo, DETECT)
    assert count == 2
    assert face.width == pytest.approx(boxes[0].side, abs=2)
    with pytest.raises(NoFaceError, match="shows 2 faces, and one is wanted"):
        crop(photo, Detect(several="error"))


def test_a_photo_without_a_face_says_so():
    for seed in range(3):
        with pytest.raises(NoFaceError, match="shows no face"):
            crop(scene(seed=seed), DETECT)


@pytest.mark.parametrize("angle", [-15, 15])
def test_a_tilted_head_is_turned_upright(orl, angle):
    photo = scene((orl[0], (250, 150), 220))
    straight, _ = crop(photo, DETECT)
    tilted = photo.rotate(angle, Image.Resampling.BILINEAR, center=(340, 260))

    def like_straight(**options):
        face, _ = crop(tilted, Detect(**options))
        rows = [np.asarray(image.resize((48, 48)), dtype=float)[8:40, 8:40] for image in (straight, face)]
        return np.corrcoef(rows[0].ravel(), rows[1].ravel())[0, 1]

    assert like_straight(align=True) > like_straight(align=False) + 0.05


def test_a_margin_keeps_more_around_the_face(orl):
    photo = scene((orl[0], (250, 150), 220))
    tight, wide = (crop(photo, Detect(margin=margin, align=False))[0] for margin in (0.0, 0.5))
    assert wide.width == pytest.approx(2 * tight.width, abs=2)
    inner = wide.crop([round(side * tight.width) for side in (0.5, 0.5, 1.5, 1.5)])
    difference = np.asarray(inner.resize((40, 40)), float) - np.asarray(tight.resize((40, 40)), float)
    assert np.abs(difference).mean() < 3


def test_preprocessing_finds_faces_too_in_colour_and_whichever_way_up(orl, tmp_path):
    photo = scene((orl[0], (250, 150), 220)).convert("RGB")
    wanted = Preprocess(size=(64, 64), color="rgb", detect=DETECT)
    upright = prepare(photo, wanted, Haar())
    assert (upright.pixels.shape, upright.faces) == ((64, 64, 3), 1)
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif(6))
    np.testing.assert_allclose(decode(tmp_path / "a.png", wanted, Haar()).pixels, upright.pixels, atol=1)
    scene().save(tmp_path / "none.png")
    with pytest.raises(UnreadableImageError, match="shows no face"):
        decode(tmp_path / "none.png", wanted, Haar())


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def test_without_opencv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="run: pip install 'opencv-python-headless<5'"):
        Haar().prepare()


def test_each_thread_has_a_detector_of_its_own():
    cascade = faceexp_detector_haar.cascade("haarcascade_eye.xml")
    assert faceexp_detector_haar.cascade("haarcascade_eye.xml") is cascade


# As it was before there were other detectors


def crop_of_before(photo, margin, *, align):
    """Return the crop of the largest face as faceexp made it when it had this detector alone."""
    grey = photo.convert("L")
    pixels = np.asarray(grey)
    around = min(pixels.shape) // 8
    boxes = faceexp_detector_haar.cascade("haarcascade_frontalface_default.xml").detectMultiScale(
        np.pad(pixels, around, mode="edge"),
        scaleFactor=1.1,
        minNeighbors=4,
        minSize=(max(32, round(0.1 * min(pixels.shape))),) * 2,
    )
    left, top, side, _ = max(boxes.tolist(), key=lambda box: (box[2], -box[1], -box[0]))
    left, top, turn = left - around, top - around, 0.0
    if align:
        region = np.asarray(grey.crop((left, top + 0.15 * side, left + side, top + 0.6 * side)))
        least = max(8, round(0.12 * region.shape[1]))
        eyes = faceexp_detector_haar.cascade("haarcascade_eye.xml").detectMultiScale(
            region, scaleFactor=1.05, minNeighbors=4, minSize=(least, least)
        )
        centres = sorted((x + width / 2, y + height / 2) for x, y, width, height in eyes)
        if len(centres) == 2 and centres[0][0] < region.shape[1] / 2 <= centres[1][0]:
            (x0, y0), (x1, y1) = centres
            if x1 - x0 > 0.25 * region.shape[1] and abs(np.arctan2(y1 - y0, x1 - x0)) < np.radians(30):
                turn = np.arctan2(y1 - y0, x1 - x0)
    half, cos, sin = side * (0.5 + margin), np.cos(turn), np.sin(turn)
    x, y, size = left + side / 2, top + side / 2, round(2 * half)
    scale = 2 * half / size
    matrix = (
        *(scale * cos, -scale * sin, x - half * cos + half * sin),
        *(scale * sin, scale * cos, y - half * sin - half * cos),
    )
    return photo.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


@pytest.mark.parametrize(("margin", "align"), [(0.0, True), (0.25, True), (0.1, False)])
def test_crops_are_to_the_last_bit_those_of_before(orl, margin, align):
    scenes = [scene((face, (200, 90), 180 + 20 * seed), seed=seed) for seed, face in enumerate(orl[:5])]
    preprocess = Preprocess(size=(48, 40), color="rgb", detect=Detect(margin=margin, align=align))
    for photo in [*orl, *scenes, *(each.rotate(8).convert("RGB") for each in scenes)]:
        expected = crop_of_before(photo, margin, align=align).convert("RGB").resize((40, 48), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(prepare(photo, preprocess, Haar()).pixels, np.asarray(expected))
