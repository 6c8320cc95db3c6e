"""What two data sets share, compared with plain loops, and with images that were changed as files are in practice."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceexp.data import overlap
from faceexp.data.overlap import equal_images, named_alike, near_hashes, nearly_equal, perceptual_hashes

SIDE = 48


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Ann Lee", "ann_lee", True),
        ("Ann.Lee", "ANN-LEE ", True),
        ("Jose\u0301", "José", True),
        ("s1", "s1", True),
        ("s1", "s11", False),
        ("Ann", "Anna", False),
        # Numbers that two collections have given to their people have nothing to do with each other.
        ("0001", "0001", False),
        ("12-3", "12-3", False),
    ],
)
def test_names_are_alike_but_for_their_spelling(one, other, alike):
    assert named_alike(["Somebody Else", one], [other, "Nobody"]) == ([(1, 0)] if alike else [])


def test_everybody_who_is_named_alike_is_found():
    assert named_alike(["a", "b", "A"], ["B", "a_", "c"]) == [(1, 0), (0, 1), (2, 1)]


def test_equal_images_are_those_with_the_same_digest():
    first, second = np.array([[1, 2], [3, 4], [1, 2]], np.uint8), np.array([[9, 9], [1, 2], [3, 4]], np.uint8)
    assert equal_images(first, second) == [(0, 1), (1, 2)]
    assert equal_images(first, second[:1]) == []


@pytest.fixture(scope="module")
def photos():
    """Forty pictures of large and small shapes, as Pillow has them: there is no face in them, but as much to see."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(40):
        coarse = random.uniform(40, 215, (9, 9)).astype(np.uint8)
        smooth = Image.fromarray(coarse).resize((92, 112), Image.Resampling.BICUBIC)
        noise = random.normal(0, 6, (112, 92))
        pictures.append(Image.fromarray(np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)))
    return pictures


def as_trained(pictures):
    return np.stack([np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for picture in pictures])[
        ..., None
    ]


def coded(picture, quality):
    content = io.BytesIO()
    picture.save(content, "jpeg", quality=quality)
    return Image.open(io.BytesIO(content.getvalue()))


def lighter(picture, by):
    return Image.fromarray(np.clip(np.asarray(picture, int) + by, 0, 255).astype(np.uint8))


CHANGES = {
    "jpeg 50": lambda picture: coded(picture, 50),
    "jpeg 90": lambda picture: coded(picture, 90),
    "half": lambda picture: picture.resize((46, 56), Image.Resampling.BICUBIC),
    "double": lambda picture: picture.resize((184, 224), Image.Resampling.BICUBIC),
    "lighter": lambda picture: lighter(picture, 10),
    "darker": lambda picture: lighter(picture, -10),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_image_that_was_coded_resized_or_lit_again_is_found(photos, change):
    first, second = as_trained(photos), as_trained([CHANGES[change](photo) for photo in photos[10:]])
    found = nearly_equal(first, second, perceptual_hashes(first), perceptual_hashes(second))
    assert found == [(row + 10, row) for row in range(30)]


def test_other_images_are_not_taken_for_the_same(photos):
    images = as_trained(photos)
    hashes = perceptual_hashes(images)
    assert nearly_equal(images[:20], images[20:], hashes[:20], hashes[20:]) == []


def test_images_with_near_hashes_are_told_apart_by_their_finer_frequencies(photos):
    first = as_trained(photos[:5])
    stripes = (20 * np.sin(np.arange(SIDE) * np.pi * 12.5 / SIDE)).astype(int)
    second = np.clip(first.astype(int) + stripes[:, None, None], 0, 255).astype(np.uint8)
    hashes, others = perceptual_hashes(first), perceptual_hashes(second)
    assert np.bitwise_count(hashes ^ others).min() <= overlap.MOST_BITS
    assert nearly_equal(first, second, hashes, others) == []


def test_an_image_without_any_contrast_equals_nothing():
    flat = np.full((2, SIDE, SIDE, 1), 128, np.uint8)
    hashes = perceptual_hashes(flat)
    assert hashes.tolist() == [0, 0]
    assert nearly_equal(flat, flat, hashes, hashes) == []


def test_colour_counts_as_grey(photos):
    grey = as_trained(photos[:3])
    np.testing.assert_array_equal(perceptual_hashes(np.repeat(grey, 3, axis=-1)), perceptual_hashes(grey))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_near_hashes_are_those_of_a_plain_loop(seed, number, others):
    random = np.random.default_rng(seed)
    first = random.integers(1, 2**63, number, dtype=np.uint64)
    second = first[random.integers(0, number, others)].copy()
    for row in range(others):
        for bit in random.choice(64, random.integers(0, 8), replace=False):
            second[row] ^= np.uint64(1) << np.uint64(bit)
    expected = {
        (i, j)
        for i in range(number)
        for j in range(others)
        if int(first[i] ^ second[j]).bit_count() <= overlap.MOST_BITS and second[j]
    }
    found = {
        pair for one, other in near_hashes(first, second) for pair in zip(one.tolist(), other.tolist(), strict=True)
    }
    assert found == expected


def test_blocks_of_pairs_lose_none(monkeypatch):
    hashes = np.full(50, 7, np.uint64)
    monkeypatch.setattr(overlap, "PAIRS", 64)
    blocks = [len(one) for one, _ in near_hashes(hashes, hashes)]
    pairs = {
        pair for one, other in near_hashes(hashes, hashes) for pair in zip(one.tolist(), other.tolist(), strict=True)
    }
    assert len(pairs) == 50 * 50
    assert max(blocks) <= 64 + 50
