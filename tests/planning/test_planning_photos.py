"""A folder of photos is looked at: sizes, colours, what cannot be used, what is there twice."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

import faceexp
from faceexp.errors import InputError
from faceexp.planning import photos
from faceexp.planning.photos import look


@pytest.fixture
def folder(face_folder, tmp_path):
    """Twelve people with six grey images of 16 x 16 pixels, to be spoiled."""
    return shutil.copytree(face_folder, tmp_path / "faces")


def seen(folder, on_progress=lambda done, total: None):
    return look(faceexp.plugin("dataset", "image_folder", path=str(folder)).build(seed=0), on_progress)


def test_a_whole_folder(folder):
    steps = []
    found = seen(folder, lambda done, total: steps.append((done, total)))
    assert found.counts.tolist() == [6] * 12
    assert (found.readable, found.coloured, found.shorter_side, found.sizes) == (72, 0, 16, ((16, 16), (16, 16)))
    assert (found.unreadable, found.alike) == ({}, ())
    assert found.faces is not None
    assert (found.faces.searched, found.faces.found) == (40, 0)  # waves are no faces
    assert steps[-1] == (72 + 40, 72 + 40)


def test_what_cannot_be_used_counts_for_nobody(folder):
    (folder / "p00" / "0.png").write_bytes(b"no photo")
    (folder / "p11" / "5.png").write_bytes(b"")
    found = seen(folder)
    assert found.counts.tolist() == [5, *[6] * 10, 5]
    assert sorted(found.unreadable) == [0, 71]
    assert found.unreadable[0] == "cannot be decoded (cannot identify image file)"  # without the path on this machine


def test_the_same_picture_of_two_people_is_named(folder):
    shutil.copy(folder / "p00" / "0.png", folder / "p03" / "1.png")
    shutil.copy(folder / "p05" / "0.png", folder / "p05" / "1.png")  # of one person, which harms nothing
    assert seen(folder).alike == ("p00/0.png = p03/1.png",)


def test_sizes_and_colours_are_those_of_the_files(folder):
    Image.new("RGB", (300, 200), (200, 30, 30)).save(folder / "p01" / "0.png")
    Image.new("RGB", (10, 40), (90, 90, 90)).save(folder / "p01" / "1.png")  # grey, whatever its format
    found = seen(folder)
    assert (found.coloured, found.sizes) == (1, ((16, 16), (300, 200)))


def test_of_very_many_photos_some_are_opened(folder, monkeypatch):
    monkeypatch.setattr(photos, "MOST_OPENED", 13)
    found = seen(folder)
    assert len(found.opened) == 13
    assert set(found.data.labels[found.opened]) == set(range(12))  # everybody is among them
    assert found.counts.sum() == 72


def test_without_a_detector_nobody_looks_for_faces(folder, monkeypatch):
    def missing(self):
        raise InputError("no OpenCV")

    monkeypatch.setattr(type(faceexp.plugin("detector", "haar")), "prepare", missing)
    assert seen(folder).faces is None


def test_a_folder_without_any_photo_that_can_be_used(folder):
    for file in folder.glob("*/*.png"):
        file.write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"none of the 72 photos can be used; the first, .*0\.png, cannot be decoded"):
        seen(folder)


def test_real_faces_fill_photos_that_are_cropped_closely():
    """The ORL images are cropped faces of 92 x 112 pixels."""
    faces = look(faceexp.plugin("dataset", "orl", people=4).build(seed=0), lambda done, total: None).faces
    assert faces is not None
    assert (faces.found, faces.several) == (40, 0)
    assert min(faces.shares) > 0.6
