"""Files that come from outside: their kind and size are looked at before anything is read.

A device, a pipe or a file of many gigabytes would hang the program or fill the memory if it were read as it is.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import math
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from faceexp.errors import InputError, Problem, near

# The formats in which photos of people are kept and which Pillow decodes by itself. It lists others that it only
# recognises, such as HDF5 and MPEG, or for which it starts another program, such as PostScript.
PHOTO_FORMATS = frozenset(
    "AVIF BMP DIB GIF JPEG JPEG2000 MPO PCD PCX PNG PPM PSD QOI SGI SUN TGA TIFF WEBP".split()  # noqa: SIM905 - easier to read
)
# The size of a file from outside is checked before it is read: a photo of a face has far fewer bytes.
MAX_IMAGE_BYTES = 64 * 2**20
# Reading so few bytes takes less than a tenth of a second, which is not worth a file that remembers their digest.
MIN_REMEMBERED = 64 * 2**20
# Seconds after which a file counts as written: the clock of a file system has steps, and what is written within one of
# them, after the file was read, would leave its times as they were.
SETTLED = 2.0
# Bytes of a large file that are read at once.
CHUNK = 2**20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


# The JSON of this project and of Keras is about ten levels deep, and ten more for each model inside a model.
MAX_LEVELS = 100
# No measurement is so large; what is computed from larger numbers, such as their squares, may be infinite.
LARGEST_NUMBER = 1e100


@dataclass(frozen=True)
class NamesPath:
    """Says in the type of an option that its text is a path, and what has to be there before anything begins."""

    wanted: Literal["file", "folder", "anything"]


# What an option of an experiment file is whose text is a path: relative to the file that names it, in the end absolute.
InputFile = Annotated[str, Field(min_length=1), NamesPath("file")]
InputFolder = Annotated[str, Field(min_length=1), NamesPath("folder")]
# It may be missing, such as a folder that is made when it is needed.
AnyPath = Annotated[str, Field(min_length=1), NamesPath("anything")]


class UnfitFileError(OSError):
    """A file exists and must not be read: it is no ordinary file, or it is too large. Its text says which."""


def check_file(path: Path, largest: int) -> None:
    """Refuse what must not be read; the file itself is not opened.

    Args:
        path: The file.
        largest: The most bytes that it may have.

    Raises:
        UnfitFileError: It is no ordinary file, or it has more bytes.
        OSError: It does not exist, or it cannot be reached.
    """
    try:
        status = path.stat()
    except ValueError:  # the operating system knows no name that holds a null character
        raise UnfitFileError("is no name of a file") from None
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise UnfitFileError(f"is {_KINDS.get(kind, 'no ordinary file')}, not an ordinary file")
    if status.st_size > largest:
        raise UnfitFileError(f"has {status.st_size:,} bytes; {largest:,} are the most that are read")


def read_bytes(path: Path, largest: int) -> bytes:
    """Return the content of an ordinary file that is not larger than it may be.

    Raises:
        UnfitFileError: See :func:`check_file`.
        OSError: It does not exist, or it cannot be read.
    """
    check_file(path, largest)
    with path.open("rb") as file:
        # A file may grow while it is read, and some of the system's files say that they are empty.
        content = file.read(largest + 1)
    if len(content) > largest:
        raise UnfitFileError(f"has more than {largest:,} bytes, which are the most that are read")
    return content


def explain_os_error(error: OSError) -> str:
    """Return what went wrong with a file, without the number and the path that Python puts beside it."""
    if isinstance(error, UnfitFileError):
        return str(error)
    return f"cannot be read: {error.strerror or error}"


def read_input(path: Path, largest: int, hint: str = "") -> bytes:
    """Return the content of a file that a user has named.

    Args:
        path: The file.
        largest: The most bytes that it may have.
        hint: What the user should do if the file cannot be read.

    Raises:
        InputError: It does not exist, it cannot be read, it is no ordinary file, or it is too large.
    """
    try:
        return read_bytes(path, largest)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        message = "no such file" if is_missing else explain_os_error(error)
        hint = (near(path) if is_missing else "") or hint
        raise InputError(Problem(f"{message}; {hint}" if hint else message, str(path))) from None


def text_of(content: bytes, where: str, hint: str) -> str:
    """Return the text of a file that a user has named, in UTF-8 with or without a byte order mark.

    Args:
        content: What the file holds.
        where: What the user called it.
        hint: What the file has to be.

    Raises:
        InputError: It is no such text.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(Problem(f"is not UTF-8 text; {hint}", where)) from None


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line that is not empty; empty lines count for the numbers alone.

    Only what editors count as the end of a line is one: separators of Unicode may be in a name.
    """
    return ((number, line) for number, line in enumerate(io.StringIO(text, newline=None), 1) if line.strip())


def readable_name(name: str) -> str:
    r"""Return the name of a file or folder as text that can be written anywhere, such as the name of an identity.

    A name that is not UTF-8, because an archive was made on an older system, holds characters that no file and no
    terminal takes. Its bytes are written as ``\xf6`` instead. All other names stay as they are.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@functools.cache
def photo_formats() -> tuple[str, ...]:
    """Return the photo formats that the installed Pillow decodes, in the order in which it tries them."""
    from PIL import Image

    Image.init()
    return tuple(name for name in tuple(Image.OPEN) if name in PHOTO_FORMATS)


@functools.cache
def image_extensions() -> frozenset[str]:
    """Return the extensions, in lower case with their dot, of the photo formats that the installed Pillow decodes."""
    from PIL import Image

    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in photo_formats())


def at_home(text: str) -> str:
    """Return the text of a path that a user has written, in which ``~`` is the user's home.

    A ``~name`` without such a user is left as it is, where ``Path.expanduser`` would raise: it is then a file that is
    missing.
    """
    return os.path.expanduser(text)  # noqa: PTH111 - as the docstring says


def user_path(text: str) -> Path:
    """Return the absolute path that a user means by an option's text; see :func:`at_home`.

    Absolute, because images are decoded later, maybe by a process that started in another folder.
    """
    return Path(at_home(text)).absolute()


def files_fingerprint(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 over names of images and the SHA-256 of their content, which is read in chunks.

    A file that cannot be read, or that must not be, counts by its name: whoever decodes the images says what is wrong
    with it.

    Args:
        files: The file of each image by a name that is the same on every machine, such as its path inside the data
            set's folder; in the order of the images.
    """
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(os.fsencode(name) + b"\0")
        try:
            check_file(path, MAX_IMAGE_BYTES)
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError:
            digest.update(b"unreadable")
    return digest.hexdigest()


def content_digest(path: Path, spans: Sequence[tuple[int, int]] | None = None) -> str:
    """Return the SHA-256 of a file that holds many images, or of parts of it; a large one is not read each time.

    It is the digest of the content and nothing else, so it is the same for copies and on other machines. That of a
    large file is remembered in the user's cache, together with the file's size, its number on the disk, the time of its
    content and the time of its last change. The system sets the latter whenever anything is written, and programs
    cannot set it back: a file that differs from the remembered one in none of these is the same.

    Args:
        path: The file.
        spans: First byte of each part and the first one behind it; the whole file if not given.

    Raises:
        OSError: It cannot be read.
    """
    status = path.stat()
    state = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    parts = [(0, status.st_size)] if spans is None else spans
    memory = _digest_file(path, parts) if sum(end - start for start, end in parts) >= MIN_REMEMBERED else None
    if memory:
        with contextlib.suppress(OSError, ValueError):
            remembered = parse_json(read_bytes(memory, CHUNK))
            if isinstance(remembered, dict) and remembered.get("state") == state and remembered.get("digest"):
                return str(remembered["digest"])
    is_settled = status.st_ctime < time.time() - SETTLED
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start, end in parts:
            file.seek(start)
            while start < end and (block := file.read(min(CHUNK, end - start))):
                digest.update(block)
                start += len(block)  # noqa: PLW2901 - it is where the part is read on
    if memory and is_settled:
        # Nothing is lost where nothing can be remembered: the file is read again the next time.
        with contextlib.suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            draft = memory.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps({"state": state, "digest": digest.hexdigest()}), encoding="ascii")
            draft.replace(memory)
    return digest.hexdigest()


def _digest_file(path: Path, parts: Sequence[tuple[int, int]]) -> Path | None:
    """Return where the digest of these parts is remembered; nothing, if the user has no home."""
    import platformdirs

    name = hashlib.sha256(os.fsencode(path.absolute()) + repr(parts).encode()).hexdigest()
    with contextlib.suppress(RuntimeError):
        cache = Path(platformdirs.user_cache_dir("faceexp"))
        if cache.is_absolute():
            return cache / "digests" / f"{name}.json"
    return None


def parse_json(content: bytes) -> object:
    """Return the data of a JSON file, which hold no surprise for whoever uses them.

    Refused are a key that is there twice, numbers that are infinite, no number, or do not fit into 64 bits, text that
    cannot be written, and data of more than :data:`MAX_LEVELS` levels.

    Raises:
        ValueError: It is no such JSON; the text says why, and at which key.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from None
    try:
        data = _DECODER.decode(text)
        _check_data(data, "", MAX_LEVELS)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"it has more than {MAX_LEVELS} levels") from None
    return data


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object, of which no key may be there twice: programs differ in which of the two they take."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return content


def _whole_number(digits: str) -> int | float:
    """Return a whole number, or infinity for one that does not fit into 64 bits."""
    number = int(digits) if len(digits) < 20 else math.inf
    return number if abs(number) < 2**63 else math.inf


# Made once: some data sets have a million small files of JSON.
_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_int=_whole_number)


def _check_data(value: object, key: str, levels: int) -> None:
    """Refuse data that are too deep, and numbers and text that nobody could use."""
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError(f"it has more than {MAX_LEVELS} levels")
        for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(place, str) and _fault(place):
                raise ValueError(f"{key or 'it'} {_fault(place)}")
            # A run has a hundred thousand numbers, which need the name of their key only where they are at fault.
            if isinstance(inner, dict | list) or _fault(inner):
                _check_data(inner, f"{key}.{place}" if key else str(place), levels - 1)
    elif fault := _fault(value):
        raise ValueError(f"{key or 'it'} {fault}")


def _fault(value: object) -> str:
    """Return what is wrong with a number or a text, or nothing."""
    if isinstance(value, float):
        # No comparison with what is no number is true.
        return "" if abs(value) <= LARGEST_NUMBER else "is infinite, too large, or no number"
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "holds half of a character"
    return ""
