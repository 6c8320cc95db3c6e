"""What a program may give as a photo: a path, bytes of a file, an open file, a Pillow image, or an array of pixels."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from faceexp.contract import DetectorPlugin
from faceexp.data.images import Picture, UnreadableImageError, decode, prepare
from faceexp.errors import InputError
from faceexp.experiment.schema import Preprocess

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray

    Photo: TypeAlias = str | Path | bytes | BinaryIO | Image.Image | ByteArray

TAKEN = "a path, a Pillow image, the bytes of a file, an open file, or an array of whole numbers from 0 to 255"


def name_of(photo: object, otherwise: str) -> str:
    """Return what a photo is called in messages: its path, or else the given text."""
    return os.fsdecode(photo) if isinstance(photo, str | os.PathLike) else otherwise


def photos_of(given: Photo | Iterable[Photo]) -> list[Photo]:
    """Return a list of photos; a single photo is a list of one.

    Raises:
        InputError: It is neither a photo nor a list of photos.
    """
    if isinstance(given, np.ndarray) and given.ndim < 4:
        if given.size == 0 and given.ndim == 1:
            return []
        return [given]  # one picture, and not as many as it has rows
    if isinstance(given, str | os.PathLike | bytes | bytearray | Image.Image) or hasattr(given, "read"):
        return [given]  # type: ignore[list-item]  # what was asked for above
    try:
        return list(given)
    except TypeError:
        raise InputError(f"{type(given).__name__} is no photo; give {TAKEN}, or a list of these") from None


def picture_of(photo: Photo, preprocess: Preprocess, detector: DetectorPlugin | None) -> Picture:
    """Return a photo as the network takes it.

    Raises:
        UnreadableImageError: It is no photo, or it cannot be used.
    """
    if isinstance(photo, str | os.PathLike):
        return decode(Path(photo), preprocess, detector)
    if isinstance(photo, bytes | bytearray):
        return _decode_bytes(bytes(photo), preprocess, detector)
    if isinstance(photo, np.ndarray):
        return prepare(_from_array(photo), preprocess, detector)
    if isinstance(photo, Image.Image):
        try:
            return prepare(photo, preprocess, detector)
        except (UnreadableImageError, InputError):
            raise
        except Exception as error:  # its pixels may be read only now, from a file that is damaged or closed
            raise UnreadableImageError(f"cannot be decoded ({' '.join(str(error).split())})") from error
    if hasattr(photo, "read"):
        try:
            content = photo.read()
        except (OSError, ValueError) as error:
            raise UnreadableImageError(f"cannot be read ({error})") from None
        if isinstance(content, bytes):
            return _decode_bytes(content, preprocess, detector)
        raise UnreadableImageError("is a file of text; open it with 'rb'")
    raise UnreadableImageError(f"is no photo but {type(photo).__name__}; give {TAKEN}")


def _decode_bytes(content: bytes, preprocess: Preprocess, detector: DetectorPlugin | None) -> Picture:
    # Through a file, so that the content of a file is checked and decoded by the same code wherever it comes from.
    with tempfile.TemporaryDirectory(prefix="faceexp-") as folder:
        file = Path(folder, "photo")
        file.write_bytes(content)
        return decode(file, preprocess, detector)


def _from_array(pixels: np.ndarray[Any, Any]) -> Image.Image:
    """Return the picture of an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); the fourth channel is transparency.

    Raises:
        UnreadableImageError: It has another shape, or other numbers than those from 0 to 255.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise UnreadableImageError(f"is an array of shape {pixels.shape}; give (H, W) or (H, W, 3)")
    if pixels.dtype.kind not in "iu":
        message = f"is an array of {pixels.dtype}, whose range is not known; give whole numbers from 0 to 255"
        raise UnreadableImageError(message)
    if pixels.dtype != np.uint8:
        if pixels.min() < 0 or pixels.max() > 255:
            raise UnreadableImageError(f"has pixels from {pixels.min()} to {pixels.max()}; give numbers from 0 to 255")
        pixels = pixels.astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))
