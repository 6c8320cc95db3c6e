"""Files from outside: kind and size are checked before anything is read."""

import hashlib
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceexp import files
from faceexp.errors import InputError, near
from faceexp.files import (
    UnfitFileError,
    check_file,
    content_digest,
    image_extensions,
    read_bytes,
    read_input,
    readable_name,
)


def test_an_ordinary_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", largest=5) == b"12345"
    assert read_input(tmp_path / "a", largest=5) == b"12345"


def test_a_name_that_is_misspelt_is_told_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "runs" / "team-12345678").mkdir(parents=True)
    (tmp_path / "team.toml").write_text("")
    assert near(tmp_path / "taem.toml") == "did you mean 'team.toml'?"
    # The first folder that does not exist is the one that is misspelt.
    assert near(tmp_path / "rnus" / "team-12345678" / "models") == "did you mean 'runs'?"
    assert near(tmp_path / "runs" / "quite_else") == near(tmp_path / "no\0name") == ""
    with pytest.raises(InputError, match=r"taem\.toml: no such file; did you mean 'team\.toml'\?$"):
        read_input(tmp_path / "taem.toml", 5, "an experiment is a TOML file")
    with pytest.raises(InputError, match=r"else: no such file; an experiment is a TOML file$"):
        read_input(tmp_path / "else", 5, "an experiment is a TOML file")


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


# The digest of a file that holds many images


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large and was written a while ago, and a cache of its own to remember it in."""
    monkeypatch.setattr(files, "MIN_REMEMBERED", 10)
    monkeypatch.setattr(files, "SETTLED", -60.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "large").write_bytes(b"0123456789")
    return tmp_path / "large"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4))
def test_the_digest_of_a_file_is_that_of_its_parts(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, spans: list[tuple[int, int]]
) -> None:
    file = tmp_path_factory.mktemp("digest") / "a"
    file.write_bytes(content)
    assert content_digest(file) == sha256(content)
    assert content_digest(file, spans) == sha256(b"".join(content[start:end] for start, end in spans))


def test_a_large_file_is_read_once(large: Path) -> None:
    """What is remembered is answered, which shows here because it is replaced by something else."""
    assert content_digest(large) == sha256(b"0123456789")
    (memory,) = (large.parent / "cache").rglob("*.json")
    memory.write_text(memory.read_text().replace(sha256(b"0123456789"), "remembered"))
    assert content_digest(large) == "remembered"
    assert content_digest(large, [(0, 9)]) == sha256(b"012345678")


def test_a_change_that_keeps_size_and_time_is_noticed(large: Path) -> None:
    before, status = content_digest(large), large.stat()
    large.write_bytes(b"x123456789")
    os.utime(large, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert large.stat().st_mtime_ns == status.st_mtime_ns
    assert content_digest(large) == sha256(b"x123456789") != before


def test_a_file_that_was_only_just_written_is_not_remembered(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change once more within the same step of the file system's clock."""
    monkeypatch.setattr(files, "SETTLED", 60.0)
    content_digest(large)
    assert not (large.parent / "cache").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"state": 1}', "[]", "\0"])
def test_a_damaged_memory_is_no_memory(large: Path, content: str) -> None:
    content_digest(large)
    (memory,) = (large.parent / "cache").rglob("*.json")
    memory.write_text(content)
    assert content_digest(large) == sha256(b"0123456789")


def test_nothing_has_to_be_remembered(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (large.parent / "cache").write_text("no folder")
    assert content_digest(large) == sha256(b"0123456789")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: "~/.cache")
    assert content_digest(large) == sha256(b"0123456789")
