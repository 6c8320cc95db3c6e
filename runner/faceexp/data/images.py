"""From image files to arrays of pixels, by the same code in training, evaluation and use."""

from __future__ import annotations

import io
import mmap
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from faceexp.arrays import ByteArray, FloatArray
from faceexp.contract import DetectorPlugin, StoredImage
from faceexp.data import detection
from faceexp.errors import InputError, Problem
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.files import MAX_IMAGE_BYTES, UnfitFileError, check_file, explain_os_error, photo_formats

T = TypeVar("T")
# A small file can claim to hold a huge picture, which would fill the memory: its size is checked before it is decoded.
MAX_PIXELS = 64 * 10**6
# By the number that a camera records in EXIF: what turns its photo upright.
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def decoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Yield threads that decode photos while Pillow keeps quiet.

    Pillow warns of odd metadata and large pictures; where that matters, decoding raises an error. The filter is set
    here and not in the threads, which share it.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.filterwarnings("ignore", module="PIL")
        yield pool


class UnreadableImageError(Exception):
    """An image file cannot be turned into pixels."""


class FaceNotFoundError(UnreadableImageError):
    """A photo does not show the face that is looked for, or not as it is wanted.

    Attributes:
        size: Height and width of the photo.
    """

    def __init__(self, message: str, size: tuple[int, int]) -> None:
        self.size = size
        super().__init__(message)


@dataclass(frozen=True)
class Picture:
    """An image as the experiment wants it.

    Attributes:
        pixels: uint8 (H, W, C).
        faces: How many faces the picture shows; 1 where no detector was used.
        size: Height and width of the upright photo from which it was made.
    """

    pixels: ByteArray
    faces: int = 1
    size: tuple[int, int] = (0, 0)


def decode(
    source: Path | StoredImage,
    preprocess: Preprocess,
    detector: DetectorPlugin | None = None,
    landmarks: FloatArray | None = None,
) -> Picture:
    """Return the picture of an image file, or of an image inside a larger file.

    Raises:
        UnreadableImageError: See :func:`opened`; or the face that is looked for is not there.
    """
    return opened(source, lambda image: prepare(image, preprocess, detector, landmarks))


def opened(source: Path | StoredImage, use: Callable[[Image.Image], T]) -> T:
    """Return what is made of an image file, or of an image inside a larger file; it is checked before it is decoded.

    Raises:
        UnreadableImageError: The file is missing, no ordinary file, too large, truncated or no photo, or ``use`` says
            that it is of no use.
    """
    try:
        content = _checked(source)
    except FileNotFoundError:
        is_link = isinstance(source, Path) and source.is_symlink()
        raise UnreadableImageError("is a link that leads nowhere" if is_link else "does not exist") from None
    except OSError as error:
        raise UnreadableImageError(explain_os_error(error)) from None
    try:
        with Image.open(content, formats=photo_formats()) as image:
            _check_pixels(image.size)
            return use(image)
    except (UnreadableImageError, InputError):  # what is at fault of a detector, and not of the photo
        raise
    except UnidentifiedImageError as error:  # its own text names the path once more, or an object in memory
        raise UnreadableImageError("cannot be decoded (cannot identify image file)") from error
    except Exception as error:  # Pillow's decoders raise nearly everything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(f"cannot be decoded ({reason})") from error


def _checked(source: Path | StoredImage) -> Path | io.BytesIO:
    """Return what Pillow opens: a file of an acceptable kind and size, or bytes that are not too many."""
    if isinstance(source, Path):
        check_file(source, MAX_IMAGE_BYTES)
        return source
    content = source.read()
    if len(content) > MAX_IMAGE_BYTES:
        raise UnfitFileError(f"has {len(content):,} bytes; {MAX_IMAGE_BYTES:,} are the most that are read")
    return io.BytesIO(content)


def _check_pixels(size: tuple[int, int]) -> None:
    pixels = size[0] * size[1]
    if pixels > MAX_PIXELS:
        raise UnreadableImageError(f"has {pixels:,} pixels, more than the {MAX_PIXELS:,} that are decoded")


def prepare(
    image: Image.Image,
    preprocess: Preprocess,
    detector: DetectorPlugin | None = None,
    landmarks: FloatArray | None = None,
) -> Picture:
    """Return a picture as the experiment wants it: upright, its face alone, resized, grey or colour.

    Args:
        image: The picture as it was opened.
        preprocess: How the experiment wants it.
        detector: What finds the face, made ready; the experiment names it if ``preprocess.detect`` is given.
        landmarks: float (5, 2), what the data set knows of the picture.

    Raises:
        UnreadableImageError: Its pixels are of an unknown range, or the face that is looked for is not there.
    """
    photo, faces = upright(image), 1
    size = (photo.height, photo.width)
    if preprocess.detect:
        photo, faces = _face(photo, preprocess, preprocess.detect, detector, landmarks)
    return Picture(resized(photo, preprocess), faces, size)


def resized(photo: Image.Image, preprocess: Preprocess) -> ByteArray:
    """Return the pixels of a photo, or of the face that was cut out of it, as the network gets them."""
    height, width = preprocess.size
    pixels = photo.convert("L" if preprocess.color == "gray" else "RGB")
    if pixels.size != (width, height):
        pixels = pixels.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=None)
    array = np.asarray(pixels, dtype=np.uint8)
    return array.reshape(height, width, 1 if preprocess.color == "gray" else 3)


def _face(
    photo: Image.Image,
    preprocess: Preprocess,
    detect: Detect,
    detector: DetectorPlugin | None,
    landmarks: FloatArray | None,
) -> tuple[Image.Image, int]:
    if detector is None:
        raise InputError(Problem("a face is to be found, and nobody has given the detector"))
    try:
        searched = detection.search(photo, detect, detector, landmarks)
        taken = detection.cut(searched, preprocess, detect, detector)
    except detection.NoFaceError as error:
        raise FaceNotFoundError(str(error), (photo.height, photo.width)) from error
    return cropped(photo, taken, preprocess), len(searched.faces)


def cropped(photo: Image.Image, taken: detection.Cut, preprocess: Preprocess) -> Image.Image:
    """Return what is cut out of a photo.

    By five points, it is the network's image already. It is taken from the colours that the network wants: of a photo
    with a palette, Pillow would take the nearest pixels.
    """
    is_final = preprocess.detect is not None and preprocess.detect.align == "five_points"
    return taken.of(photo.convert("L" if preprocess.color == "gray" else "RGB") if is_final else photo)


def upright(image: Image.Image) -> Image.Image:
    """Return a picture as the detector gets it: upright, of 8 bits.

    Raises:
        UnreadableImageError: Its pixels are of an unknown range.
    """
    sixteen = _has_sixteen_bits(image)
    return _eight_bits(_upright(image), sixteen=sixteen)


def _upright(image: Image.Image) -> Image.Image:
    """Return a picture turned as its EXIF says; one whose EXIF is damaged is taken as it is, since its pixels count."""
    image.load()
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow raises nearly everything on damaged EXIF
        turn = None
    return image if turn is None else image.transpose(turn)


def _has_sixteen_bits(image: Image.Image) -> bool:
    """Return whether a picture that is not loaded yet has 16 bits for each value.

    Pillow shows grey ones as such or as if they had 32 bits, as it does with all large values of the PGM format; of
    colours it keeps the upper 8 bits.
    """
    layouts = [image.mode, *(str(tile[3]) for tile in getattr(image, "tile", ()))]
    return any(";16" in layout for layout in layouts) or (image.format, image.mode) == ("PPM", "I")


def _eight_bits(image: Image.Image, *, sixteen: bool) -> Image.Image:
    """Return a picture that Pillow converts to grey or colour as one would expect.

    Of values of 16 bits the upper 8 are kept. Where all are below 256, they were meant as they are or the picture is
    black, and nobody can tell which. Nor can anybody tell the range of 32 bits or of floating-point numbers.
    """
    if image.mode.startswith("I"):
        if not sixteen:
            raise UnreadableImageError("has grey values of 32 bits, whose range is not known; save it with 8 or 16")
        # Pillow's own conversion would turn all but the darkest pixels to white.
        upper = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return _not_black(upper)
    if image.mode == "F":
        raise UnreadableImageError("has floating-point pixels, whose range is not known; save it with 8 or 16 bits")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    return _not_black(image) if sixteen else image


def _not_black(upper: Image.Image) -> Image.Image:
    colours = np.asarray(upper.convert("RGB"))
    if not colours.any():
        raise UnreadableImageError("has values of 16 bits that are all below 256; save it with 8 bits")
    return upper


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
