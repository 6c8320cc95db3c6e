"""Images of every kind, whole, damaged or made to do harm: each is decoded or refused in one line, in little memory."""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceexp.data.images import UnreadableImageError, decode
from faceexp.experiment.schema import Preprocess

# Pillow warns of much that is odd; what these tests ask is what comes of it.
pytestmark = pytest.mark.filterwarnings("ignore")
# A decoded picture may have 64 million pixels of four bytes, and Pillow may hold a few copies of it. What is refused
# takes less.
MOST_MEGABYTES = 1500
HUGE = 100_000
WAYS = ("whole", "cut", "flipped", "noise behind", "noise before", "another ending", "doubled")


def encoded(form, chance):
    """Return a picture in one of Pillow's formats, if Pillow can write that."""
    mode = chance.choice(["L", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "LA", "F", "I"])
    pixels = np.frombuffer(chance.randbytes(24 * 24 * 3), np.uint8).reshape(24, 24, 3)
    picture = Image.fromarray(pixels).resize((chance.randrange(1, 40), chance.randrange(1, 40)))
    content = io.BytesIO()
    for wanted in (mode, "RGB", "L", "1"):
        try:
            converted = picture.convert("I").convert("I;16") if wanted == "I;16" else picture.convert(wanted)
            converted.save(content, form)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            content = io.BytesIO()
            continue
        return content.getvalue()
    return None


def damaged(content, way, chance):
    data = bytearray(content)
    if way == "cut":
        return bytes(data[: chance.randrange(len(data))])
    if way == "flipped":
        for _ in range(chance.choice([1, 3, 30])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    noise = chance.randbytes(chance.randrange(1, 400))
    return {"noise behind": bytes(data) + noise, "noise before": noise + bytes(data), "doubled": bytes(data) * 2}.get(
        way, bytes(data)
    )


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, content=b"", *more):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


def jpeg(exif):
    content = io.BytesIO()
    Image.new("RGB", (20, 20), (200, 100, 50)).save(content, "jpeg", exif=exif)
    return content.getvalue()


def made_to_harm():
    """Return files that promise more than they hold, or hold more than they say."""
    orientation = Image.Exif()
    orientation[0x0112] = 6
    whole = orientation.tobytes()
    huge = struct.pack("<II", HUGE, HUGE)
    return {
        "bomb.png": png(HUGE, HUGE),
        "just-too-large.png": png(8001, 8000),
        "largest-allowed-but-empty.png": png(8000, 8000),
        "no-width.png": png(0, 10),
        "no-size.png": png(0, 0),
        "too-much-inside.png": png(10, 10, b"\x00" * 50_000_000),
        "text.png": png(10, 10, b"\x00" * 110, chunk(b"zTXt", b"a\x00\x00" + zlib.compress(b"\x00" * 80_000_000))),
        "profile.png": png(10, 10, b"\x00" * 110, chunk(b"iCCP", b"a\x00\x00" + zlib.compress(b"\x00" * 80_000_000))),
        "bomb.bmp": b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + struct.pack("<I", 40) + huge + struct.pack("<HH", 1, 24) + bytes(24),
        "bomb.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\x00\x00" + bytes(6) + b",",
        "bomb.pgm": b"P5 100000 100000 255\n" + bytes(100),
        "negative.pgm": b"P5 -10 -10 255\n" + bytes(100),
        "many-digits.pgm": b"P5 " + b"9" * 5000 + b" 1 255\n",
        "bomb.tga": bytes([0, 0, 2]) + bytes(9) + struct.pack("<HH", 65535, 65535) + bytes([24, 0]),
        "empty.jpg": b"",
        "one-byte.jpg": b"\xff",
        "text.jpg": b"no picture at all",
        "page.jpg": b"<html><body>404</body></html>",
        "turned.jpg": jpeg(whole),
        "exif-cut.jpg": jpeg(whole[:-3]),
        "exif-of-zeros.jpg": jpeg(b"Exif\x00\x00" + bytes(200)),
        "exif-that-points-outside.jpg": jpeg(b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"),
        "exif-that-points-to-itself.jpg": jpeg(b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00"),
        "exif-of-noise.jpg": jpeg(b"Exif\x00\x00MM\x00*" + bytes(range(250))),
        "document.ps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) run\n",
        "archive.png": b"PK\x03\x04" + bytes(200),
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }  # fmt: skip


def files(folder, form, chance):
    """Write all files; those of Pillow's formats are damaged in every way before one comes again."""
    folder.mkdir()
    for name, content in made_to_harm().items():
        (folder / name).write_bytes(content)
    Image.init()
    forms = sorted(Image.SAVE)
    for number in range(form.images - len(list(folder.iterdir()))):
        name, way = forms[number % len(forms)], WAYS[(number // len(forms) + number) % len(WAYS)]
        content = encoded(name, chance("encoded", number))
        if content:
            ending = "jpg" if way == "another ending" else name.lower()
            made = damaged(content, way, chance("damaged", number))
            (folder / f"{number:03}-{way.replace(' ', '-')}.{ending}").write_bytes(made)
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "nowhere.png").symlink_to("nowhere")
    (folder / "itself.png").symlink_to("itself.png")
    with (folder / "sparse.png").open("wb") as sparse:
        sparse.truncate(2**40)
    odd = [folder / name for name in ("no-such.png", "CON.png", "x" * 300 + ".png", "new\nline.png", "nul\x00l.png")]
    return [*sorted(folder.iterdir()), *odd, "/dev/null", "/dev/urandom", "/proc/self/status", "/dev/tty"]


@pytest.fixture(scope="module")
def photos(form, chance, tmp_path_factory):
    if not sys.platform.startswith("linux"):
        pytest.skip("devices and pipes are made here")
    folder = tmp_path_factory.mktemp("images") / "photos"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of formats that Pillow will drop
        return [Path(file) for file in files(folder, form, chance)]


def most_used():
    """Return the most kilobytes of memory that this process has ever used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_every_image_is_decoded_or_refused_in_one_line(photos, color, tell):
    preprocess = Preprocess(size=(16, 16), color=color)
    used_before, decoded = most_used(), 0
    for photo in photos:
        try:
            picture = decode(photo, preprocess)
        except UnreadableImageError as error:
            assert str(error).strip(), photo
            assert "\n" not in str(error), photo
            assert len(str(error)) < 1000, photo
            continue
        except Exception as error:
            error.add_note(f"for {photo}")
            raise
        decoded += 1
        assert picture.pixels.shape == (16, 16, 1 if color == "gray" else 3), photo
        assert picture.pixels.dtype == np.uint8, photo
    # What other tests of this process have used before does not count.
    assert most_used() - used_before < MOST_MEGABYTES * 1024
    tell(f"images decoded in {color}", f"{decoded} of {len(photos)}")
    assert 0 < decoded < len(photos)


def test_a_photo_turned_by_its_exif_is_turned_and_one_with_damaged_exif_is_taken_as_it_is(photos):
    """The pixels count; they are one colour, so that turning shows in the size alone, which is the same here."""
    preprocess = Preprocess(size=(16, 16), color="rgb")
    right = decode(next(photo for photo in photos if photo.name == "turned.jpg"), preprocess).pixels
    for photo in photos:
        if photo.name.startswith("exif-"):
            np.testing.assert_array_equal(decode(photo, preprocess).pixels, right, err_msg=photo.name)


def test_verify_answers_for_every_image_or_refuses_it_in_one_line(form, photos, undisturbed, command, face_folder):
    model = undisturbed().folder / "models" / "npairs-s0-f0"
    whole = face_folder / "p00" / "0.png"
    for photo in photos[:: form.stride]:
        if "\x00" in str(photo):  # no command line can hold it
            continue
        code, out, err = command("verify", model, whole, photo, "--json")
        told = f"{photo}: exit code {code}\n{out}\n{err}"
        assert "Traceback" not in out + err, told
        if code == 2:
            assert (out, err.count("\n")) == ("", 1), told
        else:
            assert code in (0, 1), told
            assert np.isfinite(json.loads(out)["distance"]), told


def test_embed_names_what_it_leaves_out_and_embeds_the_rest(photos, undisturbed, command, tmp_path):
    model = undisturbed().folder / "models" / "npairs-s0-f0"
    output = tmp_path / "e.npz"
    code, out, err = command("embed", model, photos[0].parent, "-o", output)
    assert code in (0, 1, 2), err
    assert "Traceback" not in out + err
    if code != 2:
        with np.load(output, allow_pickle=False) as embedded:
            assert np.isfinite(embedded["embeddings"]).all()
            assert len(embedded["photos"]) == len(embedded["embeddings"]) > 0
