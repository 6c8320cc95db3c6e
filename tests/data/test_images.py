"""Image files become arrays of pixels, or one clear sentence."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceexp.contract import StoredImage
from faceexp.data import images
from faceexp.data.images import UnreadableImageError, prepare, shape, unreadable
from faceexp.experiment.schema import Preprocess

GRAY, RGB = Preprocess(size=(12, 10)), Preprocess(size=(12, 10), color="rgb")
# 12 rows of 10 pixels, darker on top and left: every orientation of it looks different.
RAMP = (np.arange(12)[:, None] * 15 + np.arange(10)[None, :] * 7).astype(np.uint8)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)


def decode(path, preprocess):
    return images.decode(path, preprocess).pixels


def saved(folder: Path, image: Image.Image, suffix: str, **options) -> Path:
    path = folder / f"picture.{suffix}"
    image.save(path, **options)
    return path


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int) -> bytes:
    """Return a small PNG that claims any size."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "pgm", "tiff", "gif", "webp"])
def test_lossless_formats_keep_every_grey_value(tmp_path, suffix):
    path = saved(tmp_path, Image.fromarray(RAMP), suffix, **({"lossless": True} if suffix == "webp" else {}))
    pixels = decode(path, GRAY)
    assert pixels.dtype == np.uint8
    assert pixels.shape == shape(GRAY) == (12, 10, 1)
    # WebP has no grey: it goes through colours and back.
    np.testing.assert_allclose(pixels[:, :, 0], RAMP, atol=1 if suffix == "webp" else 0)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff"])
def test_lossless_formats_keep_every_colour(tmp_path, suffix):
    pixels = decode(saved(tmp_path, Image.fromarray(COLOURS), suffix), RGB)
    assert pixels.shape == shape(RGB) == (12, 10, 3)
    np.testing.assert_array_equal(pixels, COLOURS)


def test_jpeg_is_near(tmp_path):
    pixels = decode(saved(tmp_path, Image.fromarray(RAMP), "jpg", quality=95), GRAY)
    np.testing.assert_allclose(pixels[:, :, 0].astype(int), RAMP, atol=6)


def test_colours_become_grey_by_brightness_and_grey_becomes_three_equal_channels(tmp_path):
    grey = decode(saved(tmp_path, Image.fromarray(COLOURS), "png"), GRAY)[:, :, 0]
    np.testing.assert_allclose(grey, COLOURS @ [0.299, 0.587, 0.114], atol=1)
    rgb = decode(saved(tmp_path, Image.fromarray(RAMP), "png"), RGB)
    np.testing.assert_array_equal(rgb, np.repeat(RAMP[:, :, None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
@pytest.mark.parametrize("preprocess", [GRAY, RGB], ids=["gray", "rgb"])
def test_sixteen_bits_keep_their_upper_eight(tmp_path, suffix, preprocess):
    deep = RAMP.astype(np.uint16) * 257
    pixels = decode(saved(tmp_path, Image.fromarray(deep), suffix), preprocess)
    np.testing.assert_array_equal(pixels, np.repeat(RAMP[:, :, None], pixels.shape[2], axis=2))


def test_palettes_and_transparency(tmp_path):
    palette = Image.fromarray(RAMP).convert("P")
    np.testing.assert_array_equal(decode(saved(tmp_path, palette, "png"), GRAY)[:, :, 0], RAMP)
    clear = np.dstack([COLOURS, np.full((12, 10), 128, np.uint8)])
    np.testing.assert_array_equal(decode(saved(tmp_path, Image.fromarray(clear), "png"), RGB), COLOURS)
    pale = Image.merge("LA", [Image.fromarray(RAMP), Image.new("L", (10, 12), 7)])
    np.testing.assert_array_equal(decode(saved(tmp_path, pale, "png"), GRAY)[:, :, 0], RAMP)
    black_and_white = Image.fromarray(np.where(RAMP > 100, 255, 0).astype(np.uint8)).convert("1")
    assert set(np.unique(decode(saved(tmp_path, black_and_white, "png"), GRAY))) == {0, 255}


def test_a_palette_with_transparent_entries(tmp_path):
    palette = Image.fromarray(RAMP).convert("P")
    path = saved(tmp_path, palette, "png", transparency=bytes(range(256)))
    np.testing.assert_array_equal(decode(path, GRAY)[:, :, 0], RAMP)
    np.testing.assert_array_equal(decode(path, RGB)[:, :, 1], RAMP)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(tmp_path, orientation):
    undo = {  # what a camera held that way records
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(undo(RAMP))), "png", exif=exif)
    np.testing.assert_array_equal(decode(path, GRAY)[:, :, 0], RAMP)


def test_resizing_is_to_height_and_width(tmp_path):
    halves = np.zeros((40, 60), np.uint8)
    halves[:, 30:] = 200
    pixels = decode(saved(tmp_path, Image.fromarray(halves), "png"), Preprocess(size=(8, 20)))[:, :, 0]
    assert pixels.shape == (8, 20)
    assert (pixels[:, :9] == 0).all()
    assert (pixels[:, 11:] == 200).all()


def test_prepare_takes_what_is_no_file():
    np.testing.assert_array_equal(prepare(Image.fromarray(RAMP), GRAY).pixels[:, :, 0], RAMP)


def test_missing_file(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"^does not exist$"):
        decode(tmp_path / "none.png", GRAY)


@pytest.mark.parametrize("content", [b"", b"hello, this is text", bytes(range(256)) * 9, b"\x89PNG\r\n\x1a\n"])
def test_no_image(tmp_path, content):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r"^cannot be decoded \(cannot identify image file.*\)$"):
        decode(path, GRAY)


def test_an_image_inside_a_larger_file_is_decoded_like_its_own_file(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOURS), "png")
    stored = StoredImage("faces.tar#Ann/1.png", path.read_bytes)
    np.testing.assert_array_equal(decode(stored, RGB), decode(path, RGB))


def test_bytes_of_an_image_are_checked_as_a_file_is(monkeypatch):
    def unreadable_record() -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", 100)
    for read, reason in {
        unreadable_record: r"cannot be read: Input/output error",
        lambda: b"no image": r"cannot be decoded \(cannot identify image file\)",
        lambda: bytes(101): r"has 101 bytes; 100 are the most that are read",
    }.items():
        with pytest.raises(UnreadableImageError, match=f"^{reason}$"):
            decode(StoredImage("1", read), GRAY)


def test_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"^is a folder, not an ordinary file$"):
        decode(tmp_path, GRAY)


def test_what_is_no_ordinary_file_is_not_opened(tmp_path):
    """Opening a pipe would wait for ever, and a device may have no end."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "dead.png").symlink_to("nowhere.png")
    for name, reason in {
        "pipe": "is a pipe, not an ordinary file",
        "device": "is a device, not an ordinary file",
        "loop": "cannot be read: Too many levels of symbolic links",
        "dead": "is a link that leads nowhere",
    }.items():
        with pytest.raises(UnreadableImageError, match=f"^{reason}$"):
            decode(tmp_path / f"{name}.png", GRAY)


def test_only_photo_formats_are_decoded_whatever_the_file_is_called(tmp_path, monkeypatch):
    """Pillow would start Ghostscript for PostScript, which is a program of its own."""
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was started"))
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(UnreadableImageError, match="cannot identify image file"):
        decode(path, GRAY)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "pgm", "tiff", "gif", "webp"])
def test_truncated_files_say_so_in_one_line(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImageError, match=r"^cannot be decoded \([^\n]+\)$"):
        decode(path, GRAY)


def test_damage_in_the_middle(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOURS), "png")
    content = bytearray(path.read_bytes())
    content[60:80] = b"\xff" * 20
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        decode(path, GRAY)


def test_any_damage_is_one_kind_of_error(tmp_path):
    """Flip bytes all over a file: there are pixels, or the one error."""
    random = np.random.default_rng(0)
    for suffix in ("png", "jpg", "bmp", "pgm", "tiff", "gif"):
        whole = saved(tmp_path, Image.fromarray(RAMP), suffix).read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            for place in random.integers(0, len(whole), 4):
                damaged[place] = random.integers(256)
            path = tmp_path / f"damaged.{suffix}"
            path.write_bytes(bytes(damaged))
            try:
                assert decode(path, GRAY).shape == (12, 10, 1)
            except UnreadableImageError as error:
                assert "\n" not in str(error)


def test_files_of_too_many_bytes(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.fromarray(RAMP), "bmp")
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", 1000)
    with pytest.raises(UnreadableImageError, match=r"^has 1,\d\d\d bytes; 1,000 are the most that are read$"):
        decode(path, GRAY)


def test_pictures_of_too_many_pixels(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.fromarray(RAMP), "png")
    monkeypatch.setattr(images, "MAX_PIXELS", 119)
    with pytest.raises(UnreadableImageError, match=r"^has 120 pixels, more than the 119 that are decoded$"):
        decode(path, GRAY)
    monkeypatch.setattr(images, "MAX_PIXELS", 120)
    assert decode(path, GRAY).shape == (12, 10, 1)


@pytest.mark.parametrize("side", [8_001, 12_000, 60_000])
def test_a_small_file_that_claims_a_huge_picture_is_not_decoded(tmp_path, monkeypatch, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    assert path.stat().st_size < 200
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UnreadableImageError, match=r"pixels"):
        decode(path, GRAY)


def test_unreadable_names_the_file_and_the_way_out():
    problem = unreadable(Path("a/b.png"), UnreadableImageError("does not exist"))
    assert str(problem) == (
        'a/b.png: does not exist; replace or remove it, or set on_unreadable = "skip" in [preprocess]'
    )


def test_float_pictures_are_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(RAMP.astype(np.float32) / 255), "tiff")
    with pytest.raises(UnreadableImageError, match=r"range"):
        decode(path, GRAY)


@pytest.mark.parametrize("suffix", ["tiff", "png"])
def test_sixteen_bits_that_are_all_small_are_refused(tmp_path, suffix):
    """Their upper 8 bits would be black, although somebody meant grey values from 0 to 255."""
    path = saved(tmp_path, Image.fromarray(RAMP.astype(np.uint16)), suffix)
    with pytest.raises(UnreadableImageError, match=r"^has values of 16 bits that are all below 256; save it with 8"):
        decode(path, GRAY)


@pytest.mark.parametrize(("factor", "is_readable"), [(257, True), (1, False)])
def test_colours_of_sixteen_bits(tmp_path, factor, is_readable):
    """A PNG with 16 bits for each colour, which Pillow cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in COLOURS.astype(np.uint16) * factor)
    header = struct.pack(">IIBBBBB", 10, 12, 16, 2, 0, 0, 0)
    path = tmp_path / "deep.png"
    parts = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    if is_readable:
        np.testing.assert_array_equal(decode(path, RGB), COLOURS)
    else:
        with pytest.raises(UnreadableImageError, match="16 bits that are all below 256"):
            decode(path, RGB)


@pytest.mark.parametrize("factor", [1, 257, 2**16])
def test_grey_values_of_thirty_two_bits_are_refused(tmp_path, factor):
    """NumPy writes such files from an array of whole numbers; what is white in them is not known."""
    path = saved(tmp_path, Image.fromarray(RAMP.astype(np.int32) * factor), "tiff")
    with pytest.raises(UnreadableImageError, match=r"^has grey values of 32 bits, whose range is not known; save it"):
        decode(path, GRAY)


TAGS = b"Exif\0\0II*\0\x08\0\0\0"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of the very damage that is tested
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0this is no TIFF header",
        b"Exif\0\0Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0",
        TAGS + b"\x01\0\x12\x01\x03\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        TAGS + b"\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
        TAGS + b"\x01\0\x12\x01\x02\0\x02\0\0\0a\0\0\0\0\0\0\0",
    ],
    ids=["empty", "rubbish", "doubled", "cut", "far", "orientation 99", "orientation a text"],
)
def test_damaged_exif_costs_no_pixels(tmp_path, suffix, exif):
    exact = {"lossless": True} if suffix == "webp" else {}
    bare = decode(saved(tmp_path, Image.fromarray(COLOURS), suffix, **exact), RGB)
    np.testing.assert_array_equal(
        decode(saved(tmp_path, Image.fromarray(COLOURS), suffix, exif=exif, **exact), RGB), bare
    )


def test_animations_give_their_first_picture(tmp_path):
    buffer = io.BytesIO()
    first, second = Image.fromarray(RAMP), Image.fromarray(RAMP[::-1])
    first.save(buffer, "GIF", save_all=True, append_images=[second])
    path = tmp_path / "two.gif"
    path.write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(decode(path, GRAY)[:, :, 0], RAMP)


def test_what_is_released_is_read_again(tmp_path):
    """Written, too: the file has it."""
    written = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.uint8, shape=(100, 100))
    written[:] = np.arange(100)
    images.release(written)
    np.testing.assert_array_equal(written[7], np.arange(100))
    read = np.load(tmp_path / "x.npy", mmap_mode="r")
    images.release(read[3:])
    np.testing.assert_array_equal(read[50], np.arange(100))
    plain = np.ones(3)
    images.release(plain)
    assert plain.all()
