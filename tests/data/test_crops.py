"""What is found in photos before anything trains: counted by kind, named, and cropped as for training."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import faceexp
from faceexp.contract import FaceData
from faceexp.data import crops, images
from faceexp.data.crops import look_at, of_first
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.registry.installed import discover

HAAR = faceexp.plugin("detector", "haar")
PREPROCESS = Preprocess(size=(128, 128), detect=Detect(margin=0.2))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four photos of two people: one face, two faces of ORL side by side, no face, and no photo at all."""
    dataset: Any = faceexp.plugin("dataset", "orl")
    orl = dataset.build(0)
    faces = [Image.open(orl.images[10 * person]).convert("L").resize((184, 224)) for person in range(2)]
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(60, 180, (480, 640)).astype(np.uint8)
    empty = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(6))
    one, two = empty.copy(), empty.copy()
    one.paste(faces[0], (200, 100))
    two.paste(faces[0], (60, 100))
    two.paste(faces[1].resize((138, 168)), (400, 100))
    for name, photo in (("one", one), ("two", two), ("empty", empty)):
        photo.save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no photo")
    paths = [folder / f"{name}.png" for name in ("one", "two", "empty", "broken")]
    return FaceData(paths, np.array([0, 0, 0, 1], np.int32), ("Ann", "Bo"), "digest", "none", "a test")


def looked_at(data, preprocess=PREPROCESS, people=None):
    steps: list[int] = []
    detector = discover().configure("detector", "haar", {}) if preprocess.detect else None
    looked = look_at(data, of_first(data, people), preprocess, steps.append, detector)
    assert steps[-1] == len(looked.photos)
    return looked


def test_photos_are_told_apart_and_named(data):
    looked = looked_at(data)
    assert [(photo.name, photo.kind) for photo in looked.photos] == [
        ("Ann/one.png", "one"),
        ("Ann/two.png", "several"),
        ("Ann/empty.png", "none"),
        ("Bo/broken.png", "unreadable"),
    ]
    assert looked.counts == {"unreadable": 1, "none": 1, "several": 1, "one": 1}
    assert looked.people == 2
    assert [bool(photo.reason) for photo in looked.photos] == [False, False, True, True]
    assert looked.photos[3].reason.startswith("cannot be decoded")


def test_the_crop_is_what_the_network_gets(data):
    for photo, path in zip(looked_at(data).photos[:2], data.images, strict=False):
        assert photo.drawing is not None
        assert photo.drawing.crop is not None
        np.testing.assert_array_equal(
            np.asarray(photo.drawing.crop.convert("L")), images.decode(path, PREPROCESS, HAAR).pixels[..., 0]
        )


def test_boxes_and_points_lie_on_the_face(data):
    drawing = looked_at(data).photos[0].drawing
    assert drawing is not None
    (face,) = drawing.faces
    assert 200 < face.left + face.side / 2 < 384
    assert all(200 < x < 384 and 100 < y < 324 for x, y in drawing.points)
    assert len(drawing.points) == 2
    sides = np.linalg.norm(np.diff([*drawing.corners, drawing.corners[0]], axis=0), axis=1)
    np.testing.assert_allclose(sides, 1.4 * face.side, rtol=0.01)  # a margin of 0.2 on each side
    np.testing.assert_allclose(np.mean(drawing.corners, axis=0), (face.left + face.side / 2, face.top + face.side / 2))
    assert drawing.scale == 128 / 640
    assert drawing.photo.size == (128, 96)


def test_a_photo_of_several_is_of_no_use_where_one_is_wanted(data):
    detect = Detect(several="error")
    photo = looked_at(data, Preprocess(detect=detect)).photos[1]
    assert (photo.kind, photo.reason) == ("several", "shows 2 faces, and one is wanted")
    assert photo.drawing is not None
    assert photo.drawing.crop is None
    assert len(photo.drawing.faces) == 2


def test_without_detection_photos_are_taken_whole(data):
    looked = looked_at(data, Preprocess(size=(32, 32)))
    assert not looked.detects
    assert looked.counts == {"unreadable": 1, "whole": 3}
    drawing = looked.photos[0].drawing
    assert drawing is not None
    assert (drawing.faces, drawing.corners) == ((), ())
    assert drawing.crop is not None
    pixels = images.decode(data.images[0], Preprocess(size=(32, 32))).pixels[..., 0]
    np.testing.assert_array_equal(np.asarray(drawing.crop.convert("L")), np.kron(pixels, np.ones((4, 4), np.uint8)))


def test_only_the_first_people(data):
    assert [photo.name for photo in looked_at(data, people=1).photos] == ["Ann/one.png", "Ann/two.png", "Ann/empty.png"]


def test_files_are_checked_before_they_are_decoded(data, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    (tmp_path / "folder.png").mkdir()
    paths = [data.images[0], tmp_path / "folder.png", tmp_path / "missing.png"]
    others = FaceData(paths, np.zeros(3, np.int32), ("Ann",), "digest", "none", "a test")
    too_large, no_file, missing = (photo.reason for photo in looked_at(others).photos)
    assert too_large.startswith("has 307,200 pixels, more than the 100")
    assert no_file == "is a folder, not an ordinary file"
    assert missing == "does not exist"


def test_of_many_photos_all_are_counted_and_some_are_kept(monkeypatch):
    monkeypatch.setattr(crops, "MOST_TROUBLED", 3)
    monkeypatch.setattr(crops, "MOST_OTHERS", 5)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 16, 16)).astype(np.uint8)
    many = FaceData(pixels, np.repeat(np.arange(20, dtype=np.int32), 10), tuple(map(str, range(20))), "d", "n", "t")
    whole = looked_at(many, Preprocess(size=(16, 16)))
    assert whole.counts == {"whole": 200}
    kept = [index for index, photo in enumerate(whole.photos) if photo.drawing]
    assert kept == [0, 50, 100, 149, 199]
    faceless = looked_at(many)
    assert Counter(photo.kind for photo in faceless.photos if photo.drawing) == {"none": 3}
    assert faceless.counts == {"none": 200}
