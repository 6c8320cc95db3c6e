"""A model knows the photos of its training again by their files."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from faceexp.contract import FaceData
from faceexp.data.seen_photos import DIGEST_BYTES, count_of, digest_of, file_digests, packed, read_packed, sha256
from faceexp.files import UnfitFileError
from faceexp.store import Store


def data_of(images):
    return FaceData(
        images=images,
        labels=np.zeros(len(images), np.int32),
        identities=("a",),
        fingerprint="f",
        licence="none",
        source="made",
    )


@pytest.fixture
def photos(tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(150)]
    for number, file in enumerate(files):
        file.write_bytes(b"photo %d" % number)
    return files


def test_the_digest_is_the_beginning_of_the_sha_256_of_the_file(tmp_path, photos):
    digests = file_digests(data_of(photos), Store(tmp_path / "store"))
    expected = [hashlib.sha256(b"photo %d" % number).digest()[:8] for number in range(150)]
    assert [row.tobytes() for row in digests] == expected
    assert digest_of(b"photo 7") == expected[7]


def test_files_are_read_once_for_each_data_set(tmp_path, photos):
    store = Store(tmp_path / "store")
    before = file_digests(data_of(photos), store)
    for file in photos:
        file.unlink()
    assert np.array_equal(file_digests(data_of(photos), store), before)


def test_a_file_that_cannot_be_read_has_no_digest(tmp_path, photos):
    photos[3].unlink()
    digests = file_digests(data_of(photos), Store(tmp_path / "store"))
    assert np.flatnonzero(~digests.any(axis=1)).tolist() == [3]


def test_images_that_are_no_files_have_no_digests(tmp_path):
    assert file_digests(data_of(np.zeros((3, 4, 4), np.uint8)), Store(tmp_path / "store")) is None
    assert not (tmp_path / "store").exists()


def test_what_is_packed_is_read_again_and_says_nothing_of_the_order(tmp_path):
    digests = [digest_of(b"%d" % number) for number in (5, 1, 5, 3)]
    file = tmp_path / "seen.bin"
    file.write_bytes(packed(digests))
    assert file.read_bytes() == b"".join(sorted(set(digests)))
    assert read_packed(file, 3, sha256(file.read_bytes())) == set(digests)
    assert (count_of(file.read_bytes()), sha256(b"")[:8]) == (3, "e3b0c442")
    damaged = bytearray(file.read_bytes())
    damaged[9] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(UnfitFileError, match="is damaged"):
        read_packed(file, 3, sha256(packed(digests)))


@pytest.mark.parametrize("count", [0, 2, 4, 10**9])
def test_a_file_of_another_size_is_refused_before_it_is_read(tmp_path, count):
    file = tmp_path / "seen.bin"
    file.write_bytes(bytes(3 * DIGEST_BYTES))
    with pytest.raises(UnfitFileError, match=f"has 24 bytes; {8 * count:,} belong to this model"):
        read_packed(file, count, sha256(file.read_bytes()))
    with pytest.raises(UnfitFileError, match="is a folder"):
        read_packed(tmp_path, count, "")
