"""Files from outside: kind and size are checked before anything is read."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceexp.errors import InputError
from faceexp.files import UnfitFileError, check_file, image_extensions, read_bytes, read_input, readable_name


def test_an_ordinary_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", largest=5) == b"12345"
    assert read_input(tmp_path / "a", largest=5) == b"12345"


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123456")
    with pytest.raises(UnfitFileError, match=r"^has 6 bytes; 5 are the most that are read$"):
        read_bytes(tmp_path / "a", largest=5)


def test_a_file_that_says_it_is_empty_is_not_read_for_ever() -> None:
    """The system's files have 0 bytes until they are read."""
    with pytest.raises(UnfitFileError, match="has more than 10 bytes"):
        read_bytes(Path("/proc/self/maps"), largest=10)


def test_what_is_no_ordinary_file_is_named(tmp_path: Path) -> None:
    """Reading any of these would wait for ever, fill the memory, or fail."""
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    kinds = {
        tmp_path: "a folder",
        tmp_path / "pipe": "a pipe",
        tmp_path / "s": "a socket",
        Path("/dev/zero"): "a device",
    }
    for path, kind in kinds.items():
        with pytest.raises(UnfitFileError, match=f"^is {kind}, not an ordinary file$"):
            check_file(path, largest=100)
    listener.close()


def test_what_cannot_be_read_is_one_line_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    reasons = {
        tmp_path / "missing": "no such file; name another",
        tmp_path / "loop": "cannot be read: Too many levels of symbolic links; name another",
        tmp_path / "file" / "below": "cannot be read: Not a directory; name another",
        tmp_path / ("x" * 300): "cannot be read: File name too long; name another",
        Path("null\0character"): "is no name of a file; name another",
    }
    for path, reason in reasons.items():
        with pytest.raises(InputError) as raised:
            read_input(path, largest=100, hint="name another")
        assert [(problem.where, problem.message) for problem in raised.value.problems] == [(str(path), reason)]


def test_photos_are_what_pillow_decodes_by_itself() -> None:
    """It lists more: what it only recognises, what it only writes, and what it starts another program for."""
    assert image_extensions() >= {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"}
    others = {".h5", ".hdf", ".mpg", ".mpeg", ".grib", ".bufr", ".fits", ".ps", ".eps", ".pdf", ".wmf", ".emf", ".ico"}
    assert not image_extensions() & others


@given(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_any_name_of_a_file_becomes_a_text_that_can_be_written(name: bytes) -> None:
    text = readable_name(os.fsdecode(name))
    text.encode()
    try:
        assert text == name.decode()
    except UnicodeDecodeError:
        assert "\\x" in text
