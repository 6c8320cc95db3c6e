"""Images in tar shards, as the library webdataset writes them, as a faceexp plugin."""

from __future__ import annotations

import bisect
import functools
import glob
import hashlib
import itertools
import mmap
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
# Where the name stands in a header, the size, the sum of its bytes, the kind and the format; and what comes before the
# name.
NAME, SIZE, SUM, KIND, FORM, PREFIX = (
    slice(100),
    slice(124, 136),
    slice(148, 156),
    156,
    slice(257, 263),
    slice(345, 500),
)
# A header seen as whole numbers of eight bytes: the one in which the format stands, and how that begins.
FORM_WORD, MAGIC = 32, int.from_bytes(b"ustar", "little")
# Blocks that are looked at together: their four megabytes stay in the processor's cache meanwhile.
WINDOW = 8192
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
        place = np.empty(len(everyone), np.int32)
        place[[samples.people[name] for name in everyone]] = np.arange(len(everyone), dtype=np.int32)
        everybody = place[np.frombuffer(samples.shown, np.int64)]
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


# A file in a shard: its name, its first byte and the number of its bytes.
Member = tuple[str, int, int]


class Files(NamedTuple):
    """Ordinary files that follow each other in a shard; a name that ends with / is that of a folder."""

    names: list[str]
    starts: Sequence[int]
    sizes: Sequence[int]


@dataclass
class Headers:
    """Headers that follow each other.

    Attributes:
        blocks: The block of each.
        files: The blocks of those that belong to ordinary files.
        sizes: The number of bytes of each of these files.
        names: The names of some of these files, by the block of their header: those that another header says.
    """

    blocks: array[int] = field(default_factory=lambda: array("q"))
    files: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    names: dict[int, str] = field(default_factory=dict)


class Shard:
    """A tar file, mapped into memory.

    Nothing is unpacked, so what the names of its members say does no harm. The standard library's tarfile does the
    same, but takes minutes for a million members; a test compares the two. Here most headers are found, followed and
    read thousands at a time (:class:`Window`), and the others one by one.
    """

    def __init__(self, content: mmap.mmap) -> None:
        import numpy as np

        self._content = content
        self._blocks = np.frombuffer(content, np.uint8, len(content) // BLOCK * BLOCK).reshape(-1, BLOCK)
        self._said = dict[str, str]()  # what a header has said of the next member

    def files(self) -> Iterator[Files]:
        """Yield the ordinary files, thousands at a time.

        Raises:
            UnfitFileError: The shard is damaged or compressed, or it holds links or the like.
        """
        import numpy as np

        self._refuse_compressed()
        block: int | None = 0
        released = 0
        while block is not None:
            headers = Headers()
            try:
                block = self._follow(block, headers)
            except UnfitFileError:
                self._names(headers)  # what is wrong may be so because a header before is damaged; that is said then
                raise
            starts = ((np.frombuffer(headers.files, np.int64) + 1) * BLOCK).tolist()
            yield Files(self._names(headers), starts, headers.sizes)
            if block and (block - released) * BLOCK > MAX_MAPPED:
                self._release()
                released = block

    def _refuse_compressed(self) -> None:
        for beginning, program in COMPRESSED.items():
            if self._content[: len(beginning)] == beginning:
                raise UnfitFileError(f"is compressed ({program}); decompress it: images are read where they lie")

    def _release(self) -> None:
        """Let the system take back the memory of what was read, which counts as the process's."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._content.madvise(mmap.MADV_DONTNEED)

    def _follow(self, block: int, headers: Headers) -> int | None:
        """Add the headers from a block on; return where the next one is, or nothing at the end."""
        window = Window(self._blocks, block, len(self._content))
        following: int | None = block
        while following is not None and following < window.stop:
            block = following
            following = None if self._said else window.follow(block, headers)
            if following is None:
                following = self._step(block, headers)
        if block == window.stop:
            whole = len(self._content)
            raise UnfitFileError(f"is cut off: it ends at byte {whole:,} without the mark that ends a tar file")
        return following

    def _step(self, block: int, headers: Headers) -> int | None:
        """Add a header; return where the next one is, or nothing if it is the mark of the end."""
        whole, at = len(self._content), block * BLOCK
        header = self._content[at : at + BLOCK]
        if header == bytes(BLOCK):
            if self._content[at : at + MAX_LABEL_BYTES].strip(b"\0"):
                message = f"goes on behind the mark that ends a tar file (byte {at:,}); make one tar file of it"
                raise UnfitFileError(message)
            return None
        headers.blocks.append(block)
        kind, said, start = header[KIND : KIND + 1], self._said, at + BLOCK
        size = _number(said["size"] if "size" in said and kind in FILES else header[SIZE])
        if size < 0:
            raise _damaged(at)
        if start + size > whole:
            name, there = self._name(block), whole - start
            raise UnfitFileError(f"is cut off: member {name!r} should have {size:,} bytes, and {there:,} are there")
        if kind in FILES and "GNU.sparse.major" not in said:
            if "path" in said:
                headers.names[block] = said["path"]
            headers.files.append(block)
            headers.sizes.append(size)
        elif kind in ABOUT_NEXT:
            said |= self._about_next(kind, start, size)
        elif kind != FOLDER and kind not in IGNORED:
            what = KINDS.get(kind, "a file with gaps" if kind in FILES else "no ordinary file")
            raise UnfitFileError(f"member {self._name(block)!r} is {what}; only ordinary files can be read")
        if kind in FILES or kind == FOLDER:
            said.clear()
        return block + 1 + -(-size // BLOCK)

    def _about_next(self, kind: bytes, start: int, size: int) -> dict[str, str]:
        """Return what is said of the next member: its path, its size, whether it has gaps."""
        if size > MAX_LABEL_BYTES:
            raise _damaged(start - BLOCK)
        content = self._content[start : start + size]
        if kind == LONG_NAME:
            return {"path": content.split(b"\0")[0].decode("utf-8", "backslashreplace")}
        said: dict[str, str] = {}
        at = 0
        while match := PROPERTY.match(content, at):
            at += max(int(match[1]), 1)
            said[match[2].decode("utf-8", "replace")] = content[match.end() : at - 1].decode(
                "utf-8", "backslashreplace"
            )
        return {key: said[key] for key in ("path", "size", "GNU.sparse.major") if key in said}

    def _name(self, block: int) -> str:
        """Return the name of the member whose header this block is."""
        return self._said.get("path") or self._names(Headers(array("q", [block]), array("q", [block])))[0]

    def _names(self, headers: Headers) -> list[str]:
        """Return the names of the files.

        Raises:
            UnfitFileError: A header was changed: its bytes add up to another sum than it says.
        """
        import numpy as np

        blocks, files = np.frombuffer(headers.blocks, np.int64), np.frombuffer(headers.files, np.int64)
        content = self._blocks[blocks]
        wrong = np.flatnonzero(_sums(content) != _stated_sums(content))
        if len(wrong):
            raise _damaged(headers.blocks[wrong[0]] * BLOCK)
        if not len(files):
            return []
        rows = np.searchsorted(blocks, files)
        names = _texts(content[rows, NAME])
        prefixed = np.flatnonzero(content[rows, PREFIX.start])
        # In other formats, what stands there is no part of the name.
        prefixed = prefixed[(content[rows[prefixed], FORM] == list(b"ustar\0")).all(axis=1)]
        for number, prefix in zip(prefixed.tolist(), _texts(content[rows[prefixed], PREFIX]), strict=True):
            names[number] = prefix + b"/" + names[number]
        texts = b"\0".join(names).decode("utf-8", "backslashreplace").split("\0")
        for block, name in headers.names.items():
            texts[bisect.bisect_left(headers.files, block)] = name
        return texts


class Window:
    """Blocks that follow each other, and the usual headers among them, all read at once.

    Usual are headers of ordinary files, and those that say nothing of the next member but its time or the like. What
    looks like one may be part of a file, so it counts only if another header leads to it.

    Attributes:
        stop: The block behind the last one.
    """

    def __init__(self, blocks: Array, first: int, whole: int) -> None:
        import numpy as np

        window = blocks[first : first + WINDOW]
        self.stop = first + len(window)
        # Words are compared where bytes would take longer, and digits lie in a row for each place.
        rows = np.flatnonzero(window.view("<u8")[:, FORM_WORD] >> 8 & 0xFFFFFFFFFF == MAGIC)
        kinds, digits = window[rows, KIND], np.ascontiguousarray(window[rows, SIZE].T)
        ends, digits = (digits[-1] == 0) | (digits[-1] == ord(" ")), digits[:-1] - ord("0")
        # What is no digit has become a number above 7.
        usual = ends & (digits.max(axis=0, initial=0) < 8)
        sizes = 8 ** np.arange(len(digits))[::-1] @ digits
        usual &= (first + rows + 1) * BLOCK + sizes <= whole
        is_file = (kinds == ord("0")) | (kinds == 0) | (kinds == ord("7"))
        about = np.flatnonzero(usual & (kinds == ord("x")) & (sizes <= BLOCK))
        usual &= is_file
        usual[about] = ~_are_of_interest(blocks[first + rows[about] + 1, : sizes[about].max(initial=0)])
        following = rows + 1 + -(-sizes // BLOCK)
        is_last = np.append(~usual[1:] | (following[:-1] != rows[1:]), True)[: len(rows)]
        self._headers, self._following = first + rows, first + following
        self._sizes, self._is_file, self._usual, self._last = sizes, is_file, usual, np.flatnonzero(is_last)

    def follow(self, block: int, headers: Headers) -> int | None:
        """Add usual headers from a block on, as far as they go; return where the next one is, or nothing if none is."""
        number = bisect.bisect_left(self._headers, block)
        if number == len(self._headers) or self._headers[number] != block or not self._usual[number]:
            return None
        last = self._last[bisect.bisect_left(self._last, number)]
        chosen = slice(number, last + 1)
        is_file = self._is_file[chosen]
        headers.blocks.frombytes(self._headers[chosen].tobytes())
        headers.files.frombytes(self._headers[chosen][is_file].tobytes())
        headers.sizes.frombytes(self._sizes[chosen][is_file].tobytes())
        return int(self._following[last])


def _are_of_interest(said: Array) -> Array:
    """Return for each text, uint8 (N, L), whether it says of the next member what matters, bool (N,)."""
    import numpy as np

    whole = said.tobytes()
    if not OF_INTEREST.search(whole):
        return np.zeros(len(said), np.bool_)
    return np.array([bool(OF_INTEREST.search(text.tobytes())) for text in said], np.bool_)


def _texts(letters: Array) -> list[bytes]:
    """Return the texts in uint8 (N, L), each up to the first zero."""
    texts: list[bytes] = letters.view(f"S{letters.shape[1]}").ravel().tolist()
    return [text.partition(b"\0")[0] for text in texts] if b"\0" in b"".join(texts) else texts


def _sums(headers: Array) -> Array:
    """Return the sum of the bytes of each header, int (N,); those of the sum itself count as spaces."""
    import numpy as np

    stated = headers[:, SUM]
    sums: Array = (
        headers.sum(axis=1, dtype=np.uint32).astype(np.int64)
        - stated.sum(axis=1, dtype=np.int64)
        + stated.shape[1] * ord(" ")
    )
    return sums


def _stated_sums(headers: Array) -> Array:
    """Return the sum that each header says, int (N,): octal digits between spaces and zeros."""
    import numpy as np

    stated = np.zeros(len(headers), np.int64)
    for digit in headers[:, SUM].T.astype(np.int64) - ord("0"):
        stated = np.where((digit >= 0) & (digit < 8), stated * 8 + digit, stated)
    return stated


def _damaged(at: int) -> UnfitFileError:
    return UnfitFileError(f"is damaged at byte {at:,}, or no tar file")


def _number(text: bytes | str) -> int:
    """Return a size; -1 if the text is none.

    It stands in a header as octal digits or, if these cannot say it, as bytes behind a mark; in a text as decimal ones.
    """
    try:
        if isinstance(text, str):
            return int(text)
        return int.from_bytes(text[1:], "big") if text[0] == 0x80 else int(text.strip(b" \0"), 8)
    except ValueError:
        return -1


# --- Samples ---


class Place(NamedTuple):
    """A shard that is looked through: its path, and what is in it."""

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
        self._pictures: dict[tuple[str, ...], str | None] = {}  # which of these endings is that of an image
        self._labelled: dict[bytes, int] = {}  # the number of the person whom a label means
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
        place = Place(path, content)
        sample, parts = "", dict[str, Member]()
        names = list[str]()
        for files in Shard(content).files():
            names += files.names
            for member in zip(*files, strict=True):
                name = member[0]
                stem, dot, ending = name[name.rfind("/") + 1 :].partition(".")
                if not stem or not dot:
                    continue  # hidden files, and those without an ending, belong to no sample
                key = name[: -len(ending) - 1]
                if key != sample:
                    self._take(sample, parts, place)
                    sample, parts = key, {}
                parts[ending.lower()] = member
        self._take(sample, parts, place)
        self.shards.extend([number] * (len(self.names) - len(self.shards)))
        if len(set(names)) < len(names):
            for name, count in Counter(names).items():
                if count > 1 and not name.endswith("/"):
                    raise UnfitFileError(f"has member {name!r} twice; write it anew")

    def _take(self, sample: str, parts: dict[str, Member], place: Place) -> None:
        """Add a sample that is complete, or a problem."""
        try:
            endings = tuple(parts)
            picture = self._pictures[endings] if endings in self._pictures else self._picture(endings)
            if picture is None:
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
        name, start, size = parts[picture]
        self.names.append(name)
        self.starts.append(start)
        self.sizes.append(size)
        self.shown.append(person)

    def _picture(self, endings: tuple[str, ...]) -> str | None:
        """Return the ending of a sample's image; nothing, if the sample is about no image at all."""
        pictures = [ending for ending in endings if f".{ending.rpartition('.')[2]}" in image_extensions()]
        if len(pictures) > 1:
            raise _WrongError(f"has {len(pictures)} images ({', '.join(pictures)}); leave one of them")
        if not pictures and self._identity in endings:
            raise _WrongError(f"has a .{self._identity} and no image")
        self._pictures[endings] = pictures[0] if pictures else None
        return self._pictures[endings]

    def _described(self, parts: dict[str, Member], content: mmap.mmap) -> dict[str, object]:
        """Return what the sample's .json says."""
        try:
            described = parse_json(_label(parts["json"], content))
        except ValueError as error:
            raise _WrongError(f"has a .json that cannot be used: {error}") from None
        if not isinstance(described, dict):
            raise _WrongError("has a .json that is no object with keys")
        return described

    def _shown_by(self, sample: str, parts: dict[str, Member], content: mmap.mmap, described: dict[str, object]) -> int:
        """Return the number of the person whom a sample shows."""
        if self._identity == "folder":
            folder = sample.rpartition("/")[0].rpartition("/")[2]
            if folder in ("", "."):
                raise _WrongError("lies in no folder; name one after each person, or set identity to what says it")
            return self._number(folder)
        if self._identity not in parts:
            endings = ", ".join(f".{ending}" for ending in parts)
            raise _WrongError(f"has no .{self._identity} (only {endings}); set identity to what says whom it shows")
        if self._identity == "json":
            return self._number(self._on_one_line(self._named_in(described)))
        label = _label(parts[self._identity], content)
        if label not in self._labelled:
            try:
                text = label.decode().strip()
            except UnicodeDecodeError:
                raise _WrongError(f"has a .{self._identity} that is not UTF-8 text") from None
            name = _whole_number(text) if self._identity == "cls" else self._on_one_line(text)
            self._labelled[label] = self._number(name)
        return self._labelled[label]

    def _number(self, name: str) -> int:
        return self.people.setdefault(name, len(self.people))

    def _on_one_line(self, text: str) -> str:
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


def _whole_number(text: str) -> str:
    if not (text.isdecimal() and text.isascii() and len(text) < 19):
        raise _WrongError('has a .cls that is no whole number from 0; for names, use .txt and identity = "txt"')
    return str(int(text))


def _label(member: Member, content: mmap.mmap) -> bytes:
    name, start, size = member
    if size > MAX_LABEL_BYTES:
        raise _WrongError(f"has {size:,} bytes in {name!r}; {MAX_LABEL_BYTES:,} are the most that are read")
    return content[start : start + size]


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
