"""Images in tar shards, as the library webdataset writes them, as a faceexp plugin."""

from __future__ import annotations

import functools
import glob
import hashlib
import itertools
import mmap
import re
import struct
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, overload

from faceexp.contract import (
    AnyPath,
    DatasetPlugin,
    FaceData,
    StoredImage,
    choose_people,
    image_extensions,
    option,
    readable_name,
    too_few_people,
    user_path,
)
from faceexp.errors import InputError, Problem, did_you_mean, first_of, near
from faceexp.files import MAX_IMAGE_BYTES, UnfitFileError, check_file, content_digest, explain_os_error, parse_json

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# A tar file is made of blocks. A member has one with its header, then those of its content. A block of zeros ends all.
BLOCK = 512
# Of a header: name, size, kind, format, and what stands in front of the name; where the sum of its bytes stands.
HEADER = struct.Struct("<100s24x12s20xc100x6s82x155s12x")
SUM = slice(148, 156)
# Kinds of members: ordinary files and folders; a longer name and other properties of the next member; what matters to
# links, or to nothing that is read here.
FILES, FOLDER = (b"0", b"\0", b"7"), b"5"
LONG_NAME = b"L"
ABOUT_NEXT = (LONG_NAME, b"x")
IGNORED = (b"K", b"g")
KINDS = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a file with gaps"}
# What is said of the next member: lines of LENGTH KEY=VALUE.
PROPERTY = re.compile(rb"(\d{1,9}) ([^=]+)=")
OF_INTEREST = re.compile(rb" (?:path|size|GNU\.sparse\.major)=")
# How files begin that a program has compressed, whatever they are called.
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4")
# Most bytes of what says whom an image shows, and of a header's extension.
MAX_LABEL_BYTES = 2**20
# Most letters of a text that becomes a column: longer ones are captions, which no group of people is made of.
MAX_LETTERS = 100
# Bytes of a shard that are looked through before the system may take back their memory.
MAX_MAPPED = 2**28
# Most files that a pattern may stand for.
MAX_SHARDS = 100_000


class WebDataset(DatasetPlugin):
    """Images in tar files (shards), as the library webdataset writes them: members of one name make up a sample.

    The name goes up to the first dot: ``0001.jpg``, ``0001.cls`` and ``0001.json`` are one sample if they follow each
    other. Each has one image and says whom it shows; ``identity`` tells where. Of ``0001.json``, keys that are numbers
    or short texts in all samples become columns. Shards are not unpacked, and compressed ones are refused: images are
    read where they lie. An image is called SHARD/MEMBER. The fingerprint is that of the bytes of all shards; a large
    one is read once for it, and again only after it was changed.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "Tar shards of the user"

    path: AnyPath = option(
        ...,
        "Folder of .tar files, one of them, or a pattern such as faces-{000..009}.tar or faces-*.tar; relative to the "
        "experiment file.",
    )
    identity: Literal["cls", "txt", "json", "folder"] = option(
        "cls", "What says whom an image shows: the sample's .cls (a whole number), .txt or .json, or its folder."
    )
    identity_key: str = option("identity", "Key of the .json that says whom an image shows.", min_length=1)
    min_images: int = option(1, "Leave out identities with fewer images.", unit="images", ge=1)
    people: int | None = option(
        None, "Only the first so many identities, to try a large set; all if not given.", unit="identities", ge=2
    )

    def build(self, seed: int) -> FaceData:
        """Return the images in the order of the shards and their members; only headers and labels are read.

        Raises:
            InputError: A shard is missing or damaged, or a sample lacks its image or its identity.
        """
        import numpy as np

        shards = _shards(user_path(self.path))
        samples = Samples(self.identity, self.identity_key)
        for number, shard in enumerate(shards):
            try:
                samples.add(number, shard)
            except OSError as error:
                raise InputError(Problem(explain_os_error(error), str(shard))) from error
        if samples.problems:
            raise InputError(first_of(samples.problems, "and {} more samples"))
        if not samples.names:
            raise InputError(Problem("has no images; each needs a name such as 0001.jpg", str(user_path(self.path))))
        everyone = sorted(samples.people, key=lambda name: (int(name) if self.identity == "cls" else 0, name))
        place = {samples.people[name]: number for number, name in enumerate(everyone)}
        everybody = np.array([place[person] for person in samples.shown], np.int32)
        chosen = choose_people(everybody, self.min_images, self.people)
        if len(chosen.people) < 2:
            hint = "; lower min_images" if self.min_images > 1 else ""
            message = f"{too_few_people(len(chosen.people), self.min_images)}{hint}"
            raise InputError(Problem(message, str(user_path(self.path))))
        used, labels = chosen.rows, chosen.labels
        names = tuple(everyone[person] for person in chosen.people)
        digest = hashlib.sha256("\n".join(names).encode() + b"\0" + used.astype("<i8").tobytes())
        digest.update(labels.astype("<i4").tobytes())
        for shard in shards:
            digest.update(content_digest(shard).encode())
        whole = len(used) == len(samples.names)
        return FaceData(
            images=Images(shards, samples, used),
            labels=labels,
            identities=names,
            fingerprint=digest.hexdigest(),
            licence=self.licence,
            source=f"file {readable_name(shards[0].name)}{f' and {len(shards) - 1} more' if len(shards) > 1 else ''}",
            notes=chosen.notes,
            columns={name: column if whole else column[used] for name, column in samples.columns().items()},
        )


# --- Shards ---


def _shards(given: Path) -> list[Path]:
    """Return the tar files that an option means."""
    hint = "give a folder of .tar files, one of them, or a pattern such as faces-{000..009}.tar"
    patterns = [str(given)] if given.exists() else list(itertools.islice(_alternatives(str(given)), MAX_SHARDS + 1))
    if len(patterns) > MAX_SHARDS:
        raise InputError(Problem(f"stands for more than {MAX_SHARDS:,} files; {hint}", str(given)))
    shards: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            inside = sorted(path.glob("*.tar"))
            if not inside:
                packed = sorted(file.name for file in path.iterdir() if file.name.endswith(COMPRESSED_SUFFIXES))
                message = f"has no .tar file; {f'decompress {packed[0]} and the like' if packed else hint}"
                raise InputError(Problem(message, pattern))
        else:
            inside = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207
            if not inside:
                raise InputError(Problem(f"no such file; {near(path) or hint}", pattern))
        shards.update(dict.fromkeys(inside))
    return list(shards)


def _alternatives(pattern: str) -> Iterator[str]:
    """Yield what a pattern with braces stands for: numbers from to, or names with commas between them."""
    braces = re.search(r"\{(?:(\d{1,9})\.\.(\d{1,9})|([^{}]*,[^{}]*))\}", pattern)
    if not braces:
        yield pattern
        return
    first, last, names = braces.groups()
    inside: Iterator[str] = iter(names.split(",")) if names else _numbers(first, last)
    for text in inside:
        yield from _alternatives(pattern[: braces.start()] + text + pattern[braces.end() :])


def _numbers(first: str, last: str) -> Iterator[str]:
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    return (f"{number:0{width}}" for number in range(int(first), int(last) + 1))


class Member(NamedTuple):
    """A file in a shard, or what is said of the next one: its name, first byte and number of bytes."""

    kind: bytes
    name: str
    start: int
    size: int


class Shard:
    """A tar file, mapped into memory.

    Nothing is unpacked, so what the names of its members say does no harm. The standard library's tarfile does the
    same, but takes minutes for a million members. A test compares the two.
    """

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._places = array("q")  # of headers

    def files(self) -> Iterator[Member]:
        """Yield the ordinary files.

        Raises:
            UnfitFileError: The shard is damaged or compressed, or it holds links or the like.
        """
        self._refuse_compressed()
        at, said = 0, dict[str, str]()
        released = 0
        while member := self._member(at, said):
            kind, name, start, size = member
            at = start + size + -size % BLOCK
            if at - released > MAX_MAPPED:
                self._release()
                released = at
            if kind in ABOUT_NEXT:
                said |= self._about_next(member)
            elif kind in FILES and "GNU.sparse.major" not in said:
                if not name.endswith("/"):
                    yield member
                said = {}
            elif kind == FOLDER:
                said = {}
            elif kind not in IGNORED:
                what = KINDS.get(kind, "a file with gaps" if kind in FILES else "no ordinary file")
                raise UnfitFileError(f"member {name!r} is {what}; only ordinary files can be read")
        if self._content[at : at + MAX_LABEL_BYTES].strip(b"\0"):
            raise UnfitFileError(f"goes on behind the mark that ends a tar file (byte {at:,}); make one tar file of it")
        self._check_sums()

    def _refuse_compressed(self) -> None:
        for beginning, program in COMPRESSED.items():
            if self._content[: len(beginning)] == beginning:
                raise UnfitFileError(f"is compressed ({program}); decompress it: images are read where they lie")

    def _release(self) -> None:
        """Let the system take back the memory of what was read, which counts as the process's."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._content.madvise(mmap.MADV_DONTNEED)

    def _member(self, at: int, said: dict[str, str]) -> Member | None:
        """Return the member whose header is at this place, or nothing at the end."""
        whole = len(self._content)
        if at + BLOCK > whole:
            raise UnfitFileError(f"is cut off: it ends at byte {whole:,} without the mark that ends a tar file")
        name, size, kind, form, prefix = HEADER.unpack_from(self._content, at)
        if not name[0] and self._content[at : at + BLOCK] == bytes(BLOCK):
            return None
        try:
            length = int(said["size"]) if "size" in said and kind in FILES else _number(size)
        except ValueError:
            raise _damaged(at) from None
        if length < 0:
            raise _damaged(at)
        self._places.append(at)
        text = said.get("path") if kind not in ABOUT_NEXT else "of properties"
        if text is None:
            name = name.partition(b"\0")[0]
            if prefix[0] and form == b"ustar\0":
                name = prefix.partition(b"\0")[0] + b"/" + name
            text = name.decode("utf-8", "backslashreplace")
        if at + BLOCK + length > whole:
            there = whole - at - BLOCK
            raise UnfitFileError(f"is cut off: member {text!r} should have {length:,} bytes, and {there:,} are there")
        return Member(kind, text, at + BLOCK, length)

    def _about_next(self, member: Member) -> dict[str, str]:
        """Return what is said of the next member: its path, its size, whether it has gaps."""
        if member.size > MAX_LABEL_BYTES:
            raise _damaged(member.start - BLOCK)
        at, end = member.start, member.start + member.size
        if member.kind == LONG_NAME:
            return {"path": self._content[at:end].split(b"\0")[0].decode("utf-8", "backslashreplace")}
        said: dict[str, str] = {}
        # Most have the time alone, which is of no interest, and there may be one for each member.
        if not OF_INTEREST.search(self._content, at, end):
            return said
        while match := PROPERTY.match(self._content, at, end):
            at += max(int(match[1]), 1)
            said[match[2].decode("utf-8", "replace")] = self._content[match.end() : at - 1].decode(
                "utf-8", "backslashreplace"
            )
        return {key: said[key] for key in ("path", "size", "GNU.sparse.major") if key in said}

    def _check_sums(self) -> None:
        """Refuse a shard of which a header was changed: its bytes add up to another sum than it says."""
        import numpy as np

        blocks = np.frombuffer(self._content, np.uint8, len(self._content) // BLOCK * BLOCK).reshape(-1, BLOCK)
        places = np.frombuffer(self._places, np.int64)
        for first in range(0, len(places), BLOCK):
            some = blocks[places[first : first + BLOCK] // BLOCK]
            # Octal digits between spaces and zeros; for the sum itself, they count as eight spaces.
            stated = np.zeros(len(some), np.int64)
            for digit in some[:, SUM].T.astype(np.int64) - ord("0"):
                stated = np.where((digit >= 0) & (digit < 8), stated * 8 + digit, stated)
            some[:, SUM] = ord(" ")
            wrong = np.flatnonzero(some.sum(axis=1, dtype=np.int64) != stated)
            if len(wrong):
                raise _damaged(places[first + wrong[0]])
            if first % (32 * BLOCK) == 0:
                self._release()


def _damaged(at: int) -> UnfitFileError:
    return UnfitFileError(f"is damaged at byte {at:,}, or no tar file")


def _number(text: bytes) -> int:
    """Return a number of a header: octal digits or, for what these cannot say, bytes behind a mark."""
    if text[0] == 0x80:
        return int.from_bytes(text[1:], "big")
    return int(text.strip(b" \0"), 8)


# --- Samples ---


class Place(NamedTuple):
    """A shard that is looked through: its number, its path, and what is in it."""

    shard: int
    path: Path
    content: mmap.mmap


class Samples:
    """The samples of all shards, and what is wrong with them.

    Attributes:
        names: SHARD/MEMBER of each image.
        shards, starts, sizes: Where it lies.
        shown: The number of the person it shows.
        people: The number of each person, in the order in which they appear.
        problems: What is wrong.
    """

    def __init__(self, identity: str, identity_key: str) -> None:
        self._identity, self._key = identity, identity_key
        self._endings: dict[str, bool] = {}  # whether what is called so is an image
        self.names: list[str] = []
        self.shards, self.starts, self.sizes = array("q"), array("q"), array("q")
        self.shown, self.people = array("q"), dict[str, int]()
        self.problems: list[Problem] = []
        self._columns: dict[str, list[object]] = {}

    def add(self, number: int, path: Path) -> None:
        """Add the samples of a shard.

        Raises:
            OSError: It cannot be read, or it is damaged.
        """
        check_file(path, largest=2**62)
        if not path.stat().st_size:
            raise UnfitFileError("is empty, and no tar file")
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        place = Place(number, path, content)
        sample, parts = "", dict[str, Member]()
        names = []
        for member in Shard(content).files():
            name = member.name
            names.append(name)
            stem, dot, ending = name[name.rfind("/") + 1 :].partition(".")
            if not stem or not dot:
                continue  # hidden files, and those without an ending, belong to no sample
            key = name[: -len(ending) - 1]
            if key != sample:
                self._take(sample, parts, place)
                sample, parts = key, {}
            parts[ending.lower()] = member
        self._take(sample, parts, place)
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise UnfitFileError(f"has member {twice!r} twice; write it anew")

    def _take(self, sample: str, parts: dict[str, Member], place: Place) -> None:
        """Add a sample that is complete, or a problem."""
        try:
            image = self._image(parts)
            if not image:
                return
            described = self._described(parts, place.content) if "json" in parts else {}
            person = self._shown_by(sample, parts, place.content, described)
        except _WrongError as error:
            self.problems.append(Problem(f"sample {sample!r} {error}", str(place.path)))
            return
        for key, value in described.items():
            # A key that an earlier sample lacks cannot become a column.
            values = self._columns.get(key) if self.names else self._columns.setdefault(key, [])
            if values is not None and len(values) == len(self.names):
                values.append(value)
        self.names.append(image.name)
        self.shards.append(place.shard)
        self.starts.append(image.start)
        self.sizes.append(image.size)
        self.shown.append(self.people.setdefault(person, len(self.people)))

    def _image(self, parts: dict[str, Member]) -> Member | None:
        """Return the image of a sample; nothing, if it is about no image at all."""
        pictures = [ending for ending in parts if self._is_image(ending)]
        if len(pictures) > 1:
            raise _WrongError(f"has {len(pictures)} images ({', '.join(pictures)}); leave one of them")
        if not pictures and self._identity in parts:
            raise _WrongError(f"has a .{self._identity} and no image")
        return parts[pictures[0]] if pictures else None

    def _is_image(self, ending: str) -> bool:
        if ending not in self._endings:
            self._endings[ending] = f".{ending.rpartition('.')[2]}" in image_extensions()
        return self._endings[ending]

    def _described(self, parts: dict[str, Member], content: mmap.mmap) -> dict[str, object]:
        """Return what the sample's .json says."""
        try:
            described = parse_json(_label(parts["json"], content))
        except ValueError as error:
            raise _WrongError(f"has a .json that cannot be used: {error}") from None
        if not isinstance(described, dict):
            raise _WrongError("has a .json that is no object with keys")
        return described

    def _shown_by(self, sample: str, parts: dict[str, Member], content: mmap.mmap, described: dict[str, object]) -> str:
        """Return the name of the person whom a sample shows."""
        if self._identity == "folder":
            folder = sample.rpartition("/")[0].rpartition("/")[2]
            if folder in ("", "."):
                raise _WrongError("lies in no folder; name one after each person, or set identity to what says it")
            return folder
        if self._identity not in parts:
            endings = ", ".join(f".{ending}" for ending in parts)
            raise _WrongError(f"has no .{self._identity} (only {endings}); set identity to what says whom it shows")
        if self._identity == "json":
            text = self._named_in(described)
        else:
            try:
                text = _label(parts[self._identity], content).decode().strip()
            except UnicodeDecodeError:
                raise _WrongError(f"has a .{self._identity} that is not UTF-8 text") from None
        if self._identity == "cls":
            if not (text.isdecimal() and text.isascii() and len(text) < 19):
                raise _WrongError('has a .cls that is no whole number from 0; for names, use .txt and identity = "txt"')
            return str(int(text))
        if not text or len(text.splitlines()) > 1:
            raise _WrongError(f"has a .{self._identity} that does not say whom it shows, as a name on one line")
        return text

    def _named_in(self, described: dict[str, object]) -> str:
        if self._key not in described:
            hint = did_you_mean(self._key, described) or "which is empty"
            raise _WrongError(f"has no key {self._key!r} in its .json, {hint}; set identity_key")
        value = described[self._key]
        return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""

    def columns(self) -> dict[str, Array]:
        """Return what all .json files say, by key: truth values, numbers or short texts."""
        columns = {}
        for key, values in self._columns.items():
            is_identity = self._identity == "json" and key == self._key
            column = None if is_identity or key == "landmarks" or not key.strip() else self._column(values)
            if column is not None:
                columns[key] = column
        return columns

    def _column(self, values: list[object]) -> Array | None:
        import numpy as np

        kinds = {type(value) for value in values}
        if len(values) < len(self.names) or kinds == {type(None)}:
            return None
        if kinds == {bool}:
            return np.array(values, np.bool_)
        if kinds == {int}:
            return np.array(values, np.int64)
        if kinds <= {int, float, type(None)}:
            return np.array([np.nan if value is None else value for value in values], np.float64)
        if kinds <= {str, type(None)}:
            texts = [str(value or "") for value in values]
            return np.array(texts) if max(map(len, texts)) <= MAX_LETTERS else None
        return None


class _WrongError(Exception):
    """A sample is not what it has to be; says what is wrong."""


def _label(member: Member, content: mmap.mmap) -> bytes:
    if member.size > MAX_LABEL_BYTES:
        raise _WrongError(
            f"has {member.size:,} bytes in {member.name!r}; {MAX_LABEL_BYTES:,} are the most that are read"
        )
    return content[member.start : member.start + member.size]


# --- Images ---


class Images(Sequence[StoredImage]):
    """Images in the order of the data set, each made when it is asked for."""

    def __init__(self, shards: list[Path], samples: Samples, rows: Array) -> None:
        self._shards, self._samples, self._rows = shards, samples, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> StoredImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StoredImage]: ...
    def __getitem__(self, index: int | slice) -> StoredImage | Sequence[StoredImage]:
        if isinstance(index, slice):
            return Images(self._shards, self._samples, self._rows[index])
        row = int(self._rows[index])
        shard, samples = self._shards[self._samples.shards[row]], self._samples
        read = functools.partial(_read, shard, samples.starts[row], samples.sizes[row])
        return StoredImage(f"{readable_name(shard.name)}/{samples.names[row]}", read)


def _read(shard: Path, start: int, size: int) -> bytes:
    if size > MAX_IMAGE_BYTES:
        raise UnfitFileError(f"has {size:,} bytes; {MAX_IMAGE_BYTES:,} are the most that are read")
    with shard.open("rb") as file:
        file.seek(start)
        content = file.read(size)
    if len(content) < size:
        raise UnfitFileError(f"is cut off, {shard.name} has become shorter")
    return content
