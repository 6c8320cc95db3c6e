"""Images of the same pixels are found by their digests; the array of images has its room before it is written."""

from __future__ import annotations

import errno
import io
import os
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceexp.contract import FaceData, StoredImage
from faceexp.data.decode import DIGEST_BYTES, alike, decoded_images
from faceexp.errors import InputError
from faceexp.experiment.schema import Preprocess
from faceexp.store import Store, StoreError


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), max_size=30))
def test_images_of_the_same_digest_are_together(kinds):
    digests = np.array([[kind] * DIGEST_BYTES for kind in kinds], np.uint8).reshape(-1, DIGEST_BYTES)
    places = defaultdict(list)
    for place, kind in enumerate(kinds):
        places[kind].append(place)
    expected = sorted(group for group in places.values() if len(group) > 1)
    assert [rows.tolist() for rows in alike(digests)] == expected


def data_of(pixels: np.ndarray) -> FaceData:
    return FaceData(pixels, np.arange(len(pixels), dtype=np.int32), tuple("abcd"), "x", "x", "x")


def test_digests_are_those_of_the_pixels_that_training_sees(tiny, tmp_path):
    pixels = np.zeros((4, 16, 16), np.uint8)
    pixels[:, 3, 5] = [10, 20, 11, 10]
    store = Store(tmp_path / "store")
    artefact = decoded_images(data_of(pixels), tiny().preprocess, store, lambda *_: None)
    digests = np.load(artefact.path / "digests.npy")
    assert [rows.tolist() for rows in alike(digests)] == [[0, 3]]


@pytest.mark.parametrize(("count", "steps"), [(1, 1), (30, 30), (250, 84), (6_400, 100)])
def test_whoever_waits_sees_from_the_start_how_many_images_are_decoded(tiny, tmp_path, count, steps):
    seen = []
    pixels = np.zeros((count, 16, 16), np.uint8)
    decoded_images(data_of(pixels), tiny().preprocess, Store(tmp_path), lambda *amounts: seen.append(amounts))
    done = [amount for amount, total in seen]
    assert (done[0], done[-1], len(done)) == (0, count, steps + 1)
    assert done == sorted(set(done))
    assert {total for _, total in seen} == {count}


def test_images_inside_larger_files_are_decoded_and_named_where_they_cannot_be(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    encoded = [io.BytesIO() for _ in pixels]
    for file, picture in zip(encoded, pixels, strict=True):
        Image.fromarray(picture).save(file, format="png")
    stored = [StoredImage(f"Ann/{number}.png", file.getvalue) for number, file in enumerate(encoded)]
    data = FaceData(stored, np.array([0, 0, 1], np.int32), ("Ann", "Bo"), "x", "x", "x")
    preprocess = Preprocess(size=(16, 16))
    artefact = decoded_images(data, preprocess, Store(tmp_path / "store"), lambda *_: None)
    np.testing.assert_array_equal(np.load(artefact.path / "images.npy")[..., 0], pixels)
    damaged = FaceData([*stored[:2], StoredImage("Bo/2.png", lambda: b"")], data.labels, data.identities, "y", "x", "x")
    with pytest.raises(InputError, match=r"Bo/2\.png: cannot be decoded \(cannot identify image file\)"):
        decoded_images(damaged, preprocess, Store(tmp_path / "store"), lambda *_: None)


def test_a_full_disk_is_an_error_before_anything_is_decoded(tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr("faceexp.data.images.prepare", lambda *_: pytest.fail("decoded"))
    with pytest.raises(StoreError, match="No space left"):
        decoded_images(data_of(np.zeros((4, 16, 16), np.uint8)), tiny().preprocess, Store(tmp_path), lambda *_: None)
    assert list((tmp_path / "images").iterdir()) == []
