"""What two data sets share: people who are named alike, images that are equal, and images that nearly are.

Two images nearly equal each other if one may have been made from the other by coding it as JPEG again, resizing it, or
a small change of brightness or contrast. First their perceptual hashes are compared, 64 signs of low frequencies, which
is fast among very many images; then, for the few pairs that are left, the low frequencies themselves. A crop of another
size, a mirrored or turned image, and another photo of the same person are not found.

References:
    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", Upper Austria University of Applied
    Sciences (2010), for the hash of the discrete cosine transform.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from faceexp.arrays import ByteArray, FloatArray, IntArray
from faceexp.data.face_data import alike_form
from faceexp.data.images import release

Hashes = npt.NDArray[np.uint64]

# Frequencies of each axis that the hash holds. The lowest one is left out: it is brightness, and light from one side.
FREQUENCIES = range(1, 9)
# So many of the 64 signs may differ. Of the images of ORL, coded as JPEG of quality 30 and more, resized by 1/2 to 2,
# or made darker or lighter by 20 of 255, none differed in more; of two different people, none in fewer than 10.
MOST_BITS = 4
# Frequencies of each axis that decide about a pair whose hashes are near, and how far from 1 the cosine of the angle
# between them may be. The same changed images of ORL were within 0.0007; different images of one person beyond 0.007,
# and those of two people beyond 0.10.
FINE = 16
MOST_APART = 0.002
# An image of less contrast than this, in grey values, has no look of its own by which it could be recognised.
LEAST_CONTRAST = 1.0
# Images, and pairs of images, that are looked at together: few enough that they need little memory.
BLOCK = 512
PAIRS = 1 << 22
# The hash is cut into so many pieces of so many bits. If MOST_BITS signs differ, some piece differs in one at most.
PIECES, BITS = 4, 16


def named_alike(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of the names in two lists that may mean the same person.

    Capitals, the form of Unicode, and what stands between words do not count. A name without any letter is a number
    that a data set has given, and says nothing of another data set.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(first):
        places[_words(name)].append(place)
    return [(one, other) for other, name in enumerate(second) if _is_name(name) for one in places.get(_words(name), ())]


def _words(name: str) -> str:
    return re.sub(r"[\W_]+", " ", alike_form(name)).strip()


def _is_name(name: str) -> bool:
    return any(letter.isalpha() for letter in name)


def equal_images(first: ByteArray, second: ByteArray) -> list[tuple[int, int]]:
    """Return the rows of images that have the same digests: for each such row of the second, one of the first.

    Args:
        first: uint8 (N, D), digests of pixels.
        second: uint8 (M, D).
    """
    keys, others = (_keys(digests) for digests in (first, second))
    values, rows = np.unique(keys, return_index=True)
    found = np.flatnonzero(np.isin(others, values))
    return list(zip(rows[np.searchsorted(values, others[found])].tolist(), found.tolist(), strict=True))


def _keys(digests: ByteArray) -> npt.NDArray[Any]:
    return np.ascontiguousarray(digests).view(f"V{digests.shape[1]}")[:, 0]


def perceptual_hashes(images: ByteArray) -> Hashes:
    """Return the perceptual hash of each image, uint64 (N,); 0 for an image that has no look of its own.

    Args:
        images: uint8 (N, H, W, C); those that lie in a file are read block by block.
    """
    hashes = np.zeros(len(images), np.uint64)
    for start in range(0, len(images), BLOCK):
        waves = _waves(images[start : start + BLOCK], FREQUENCIES.stop)
        low = waves[:, FREQUENCIES.start :, FREQUENCIES.start :].reshape(len(waves), -1)
        signs = low > np.median(low, axis=1, keepdims=True)
        has_look = np.abs(low).max(axis=1) >= LEAST_CONTRAST
        # Neighbouring frequencies say similar things. Dealt to different pieces, each piece tells more images apart.
        dealt = np.arange(PIECES * BITS).reshape(BITS, PIECES).T.ravel()
        hashes[start : start + BLOCK] = _as_number(signs[:, dealt]) * has_look
        release(images)
    return hashes


def _as_number(signs: npt.NDArray[np.bool_]) -> Hashes:
    packed: Hashes = np.ascontiguousarray(np.packbits(signs, axis=1)).view(np.uint64)[:, 0]
    return packed


def nearly_equal(first: ByteArray, second: ByteArray, hashes: Hashes, others: Hashes) -> list[tuple[int, int]]:
    """Return the rows of images that nearly are the same: for each such row of the second, one of the first.

    Args:
        first: uint8 (N, H, W, C).
        second: uint8 (M, H, W, C), of the same size.
        hashes: uint64 (N,), their :func:`perceptual_hashes`.
        others: uint64 (M,).
    """
    found: dict[int, int] = {}
    for one, other in near_hashes(hashes, others):
        is_new = ~np.isin(other, list(found))
        one, other = one[is_new], other[is_new]  # noqa: PLW2901 - the pairs that are not decided yet
        for start in range(0, len(one), BLOCK):
            rows, other_rows = one[start : start + BLOCK], other[start : start + BLOCK]
            cosines = np.einsum("nk,nk->n", _looks(first[rows]), _looks(second[other_rows]))
            for place in np.flatnonzero(cosines >= 1 - MOST_APART).tolist():
                found.setdefault(int(other_rows[place]), int(rows[place]))
            release(first)
            release(second)
    return sorted(((row, other_row) for other_row, row in found.items()), key=lambda pair: pair[1])


def near_hashes(hashes: Hashes, others: Hashes) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield blocks of rows of both whose hashes differ in at most :data:`MOST_BITS` signs.

    A hash is looked up by each of its pieces as it is, and with each one of its bits changed. A pair may come up
    several times.
    """
    pieces, other_pieces = (np.ascontiguousarray(each).view(np.uint16).reshape(-1, PIECES) for each in (hashes, others))
    changes = [0, *(1 << bit for bit in range(BITS))]
    for piece in range(PIECES):
        order = np.argsort(pieces[:, piece], kind="stable")
        keys = pieces[order, piece]
        for change in changes:
            wanted = other_pieces[:, piece] ^ np.uint16(change)
            begin, end = (np.searchsorted(keys, wanted, side) for side in ("left", "right"))
            counts = np.where(others == 0, 0, end - begin)
            for start, stop in _blocks(counts):
                of_block = counts[start:stop]
                other = np.repeat(np.arange(start, stop), of_block)
                within = np.arange(of_block.sum()) - np.repeat(np.cumsum(of_block) - of_block, of_block)
                one = order[np.repeat(begin[start:stop], of_block) + within]
                is_near = np.bitwise_count(hashes[one] ^ others[other]) <= MOST_BITS
                yield one[is_near], other[is_near]


def _blocks(counts: IntArray) -> Iterator[tuple[int, int]]:
    """Yield where blocks begin and end that have about :data:`PAIRS` pairs together."""
    number = np.cumsum(counts) // PAIRS
    ends = [*(np.flatnonzero(np.diff(number)) + 1).tolist(), len(counts)]
    yield from zip([0, *ends[:-1]], ends, strict=True)


def _looks(images: ByteArray) -> FloatArray:
    """Return the low frequencies of images but for their brightness, each of length 1, float32 (N, K)."""
    waves = _waves(images, FINE).reshape(len(images), -1)[:, 1:]
    lengths = np.linalg.norm(waves, axis=1, keepdims=True)
    return np.asarray(waves / np.maximum(lengths, np.float32(1e-6)), np.float32)


def _waves(images: ByteArray, count: int) -> FloatArray:
    """Return the lowest frequencies of the discrete cosine transform of grey images, float32 (N, count, count).

    They are in grey values: what a wave of that frequency adds at most.
    """
    from scipy.fft import dct

    grey = images.astype(np.float32).mean(axis=-1)
    # The few lowest rows of the transform are one matrix product, which takes far less time than all of it.
    down, across = (
        dct(np.eye(size, dtype=np.float32), axis=0, norm="forward")[: min(count, size)] for size in grey.shape[1:]
    )
    waves = np.zeros((len(grey), count, count), np.float32)
    waves[:, : len(down), : len(across)] = 4 * (down @ grey @ across.T)
    return waves
