"""From image files to arrays of pixels, by the same code in training, evaluation and use."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from faceexp.arrays import ByteArray
from faceexp.data import detection
from faceexp.errors import Problem
from faceexp.experiment.schema import Detect, Preprocess

# The size of a file from outside is checked before it is decoded: a small file can claim to hold a huge picture, which
# would fill the memory.
MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 10**6


class UnreadableImageError(Exception):
    """An image file cannot be turned into pixels."""


@dataclass(frozen=True)
class Picture:
    """An image as the experiment wants it.

    Attributes:
        pixels: uint8 (H, W, C).
        faces: How many faces the picture shows; 1 where no detector was used.
    """

    pixels: ByteArray
    faces: int = 1


def decode(path: Path, preprocess: Preprocess) -> Picture:
    """Return a file's picture.

    Raises:
        UnreadableImageError: The file is missing, too large, truncated or no image, or the face that is looked for is
            not there.
    """
    try:
        _check_size(path.stat().st_size, MAX_FILE_BYTES, "bytes")
        with Image.open(path) as image:
            _check_size(image.size[0] * image.size[1], MAX_PIXELS, "pixels")
            return prepare(image, preprocess)
    except UnreadableImageError:
        raise
    except FileNotFoundError:
        raise UnreadableImageError("does not exist") from None
    except Exception as error:  # Pillow's decoders raise nearly everything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(f"cannot be decoded ({reason})") from error


def _check_size(size: int, limit: int, unit: str) -> None:
    if size > limit:
        raise UnreadableImageError(f"has {size:,} {unit}, more than the {limit:,} that are decoded")


def prepare(image: Image.Image, preprocess: Preprocess) -> Picture:
    """Return a picture as the experiment wants it: upright, its face alone, resized, grey or colour.

    Raises:
        UnreadableImageError: Its pixels are of an unknown range, or the face that is looked for is not there.
    """
    height, width = preprocess.size
    upright = _eight_bits(ImageOps.exif_transpose(image))
    faces = 1
    if preprocess.detect:
        upright, faces = _face(upright, preprocess.detect)
    pixels = upright.convert("L" if preprocess.color == "gray" else "RGB")
    if pixels.size != (width, height):
        pixels = pixels.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=None)
    array = np.asarray(pixels, dtype=np.uint8)
    return Picture(array.reshape(height, width, 1 if preprocess.color == "gray" else 3), faces)


def _face(photo: Image.Image, detect: Detect) -> tuple[Image.Image, int]:
    try:
        return detection.crop(photo, detect)
    except detection.NoFaceError as error:
        raise UnreadableImageError(str(error)) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture that Pillow converts to grey or colour as one would expect."""
    if image.mode.startswith("I"):
        # 16 bits per pixel; Pillow's own conversion would turn all but the darkest pixels to white.
        return Image.fromarray((np.clip(np.asarray(image), 0, 0xFFFF) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise UnreadableImageError("has floating-point pixels, whose range is not known")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    return image


def shape(preprocess: Preprocess) -> tuple[int, int, int]:
    """Return (H, W, C) of preprocessed images."""
    return (*preprocess.size, 1 if preprocess.color == "gray" else 3)


def release(array: np.ndarray[Any, Any]) -> None:
    """Let the system take back the memory that holds an array's file; it is read again where it is needed.

    A process counts what it has read of its files among its memory. Nothing happens to an array that is in no file.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def unreadable(source: Path | str, error: UnreadableImageError) -> Problem:
    """Return the problem of an image that cannot be used."""
    return Problem(f'{error}; replace or remove it, or set on_unreadable = "skip" in [preprocess]', str(source))
