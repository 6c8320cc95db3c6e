"""Faces are found in photos, turned upright and cropped; a photo without one says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import faceexp
from faceexp.data import detection
from faceexp.data.detection import NoFaceError, crop, find
from faceexp.data.images import UnreadableImageError, decode, prepare
from faceexp.errors import InputError
from faceexp.experiment.schema import Detect, Preprocess

DETECT = Detect()


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
    upright = prepare(photo, wanted)
    assert (upright.pixels.shape, upright.faces) == ((64, 64, 3), 1)
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif(6))
    np.testing.assert_allclose(decode(tmp_path / "a.png", wanted).pixels, upright.pixels, atol=1)
    scene().save(tmp_path / "none.png")
    with pytest.raises(UnreadableImageError, match="shows no face"):
        decode(tmp_path / "none.png", wanted)


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def test_without_opencv_it_says_what_to_install(monkeypatch, orl):
    detection._opencv.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    monkeypatch.setattr(detection._of_thread, "cascades", {}, raising=False)
    with pytest.raises(InputError, match=r"pip install 'faceexp\[detect\]'"):
        find(orl[0], DETECT)
    detection._opencv.cache_clear()


def test_the_version_of_the_detector_is_known():
    assert detection.version().startswith("4.")
