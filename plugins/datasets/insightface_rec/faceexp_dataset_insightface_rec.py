"""InsightFace's record files (train.rec and train.idx) as a faceexp plugin."""

from __future__ import annotations

import functools
import hashlib
import io
import mmap
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

from faceexp.contract import (
    AnyPath,
    DatasetPlugin,
    FaceData,
    StoredImage,
    choose_people,
    option,
    readable_name,
    too_few_people,
    user_path,
)
from faceexp.errors import InputError, Problem, near
from faceexp.files import MAX_IMAGE_BYTES, UnfitFileError, check_file, content_digest, explain_os_error, read_input

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# What every part of a record begins with. Where a payload holds the same bytes at a multiple of four, they are left
# out, and the record goes on in another part.
MAGIC = 0xCED7230A
# Of a part: the magic number; its kind in the upper three bits and its length in the others.
WORDS = struct.Struct("<II")
LENGTH_BITS = 29
WHOLE, BEGIN, MIDDLE, END = range(4)
# Of a payload: how many labels of 32 bits follow, or 0; the label if none follow; two numbers that are not used here.
HEADER = struct.Struct("<IfQQ")
SMALLEST_RECORD = WORDS.size + HEADER.size
# Whole numbers above this are rounded where a label of 32 bits holds them.
EXACT = 2**24
# Most bytes of an index and of a list: a hundred million records, and five times as many as the largest set has.
MAX_INDEX_BYTES = 2 * 2**30
# A whole number, which some programs write as 3.0 or 3.000000.
NUMBER = re.compile(r"\d{1,15}(\.0*)?")
# Headers that are read at once, and records that are read before the system may take back their memory.
BLOCK = 2**14


class InsightfaceRec(DatasetPlugin):
    """Images and identities in train.rec and train.idx, the RecordIO files of InsightFace and MXNet, such as MS1MV2.

    Images are read where they lie; MXNet is not needed. If record 0 says where the identities lie, each is called by
    its place among them, from 0, and no image is read to list them. Otherwise it is called by its label in the list
    beside the records (train.lst), if there is one, or else in the headers of its images. An image is called
    train.rec/IDENTITY/KEY with its key in the index, so lists of pairs name it by identity and key. If there is a file
    called property, it has to count as many identities. The fingerprint is that of the bytes of the images in use; a
    large file is read once for it, and again only after it was changed.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "Record files of the user"

    path: AnyPath = option(
        ..., "Folder that holds train.rec and train.idx, or the .rec file; relative to the experiment file."
    )
    min_images: int = option(1, "Leave out identities with fewer images.", unit="images", ge=1)
    people: int | None = option(
        None, "Only the first so many identities, to try a large set; all if not given.", unit="identities", ge=2
    )

    def build(self, seed: int) -> FaceData:
        """Return the images without reading them; the index and the records of identities say all that is needed.

        Raises:
            InputError: A file is missing or damaged, or the files do not belong to each other.
        """
        path = _record_file(user_path(self.path))
        try:
            return self._found(path)
        except OSError as error:
            raise InputError(Problem(explain_os_error(error), str(path))) from error

    def _found(self, path: Path) -> FaceData:
        records = Records.opened(path)
        found = _identities(records)
        chosen = choose_people(found.labels, self.min_images, self.people)
        if len(chosen.people) < 2:
            hint = "; lower min_images" if self.min_images > 1 else ""
            raise InputError(Problem(f"{too_few_people(len(chosen.people), self.min_images)}{hint}", str(path)))
        names = tuple(str(name) for name in found.names[chosen.people].tolist())
        images = Images(records, found.rows[chosen.rows], chosen.labels, names)
        return FaceData(
            images=images,
            labels=images.labels,
            identities=names,
            fingerprint=images.fingerprint(),
            licence=self.licence,
            source=f"file {readable_name(path.name)}",
            notes=(*found.notes, *chosen.notes),
        )


def _record_file(given: Path) -> Path:
    """Return the .rec file that an option means: itself, or the one in the folder."""
    hint = "give the folder that holds train.rec and train.idx, or the .rec file"
    if not given.exists():
        raise InputError(Problem(f"no such file or folder; {near(given) or hint}", str(given)))
    path = given
    if given.is_dir():
        inside = sorted(given.glob("*.rec"))
        path = given / "train.rec" if len(inside) != 1 else inside[0]
        if not path.exists():
            message = (
                f"has {len(inside)} .rec files; name one of them in path" if inside else f"has no .rec file; {hint}"
            )
            raise InputError(Problem(message, str(given)))
    elif given.suffix != ".rec":
        raise InputError(Problem(f"is no .rec file; {hint}", str(given)))
    if not path.with_suffix(".idx").exists():
        message = f"has no index beside it; put {path.with_suffix('.idx').name} there, which came with it"
        raise InputError(Problem(message, str(path)))
    return path


# --- Records ---


class Records:
    """A record file, mapped into memory, and its index.

    Attributes:
        path: The record file.
        keys: int64 (N,), the key of each record, in the order of the index.
        starts: int64 (N,), where each record begins.
        ends: int64 (N,), where the next one begins, or the file ends.
    """

    def __init__(self, path: Path, keys: Array, starts: Array, ends: Array) -> None:
        import numpy as np

        self.path, self.keys, self.starts, self.ends = path, keys, starts, ends
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._map, np.uint8)

    @classmethod
    def opened(cls, path: Path) -> Records:
        """Return the records of a file, after its index was compared with its size.

        Raises:
            InputError: The index is damaged, or it is not that of this file.
            OSError: A file cannot be read.
        """
        import numpy as np

        check_file(path, largest=2**62)
        size = path.stat().st_size
        index = path.with_suffix(".idx")
        keys, starts = _read_index(index)
        order = np.argsort(starts, kind="stable")
        ends = np.empty_like(starts)
        ends[order] = np.append(starts[order][1:], size)
        past = np.flatnonzero(starts + SMALLEST_RECORD > size)
        if len(past):
            raise InputError(
                Problem(
                    f"record {keys[past[0]]} begins at byte {starts[past[0]]:,}, but {path.name} ends at byte "
                    f"{size:,}; one of the two is cut off, or they do not belong to each other",
                    f"{index}:{past[0] + 1}",
                )
            )
        overlapping = np.flatnonzero(ends - starts < SMALLEST_RECORD)
        if len(overlapping):
            row = overlapping[0]
            message = f"record {keys[row]} at byte {starts[row]:,} lies inside another one; write the index anew"
            raise InputError(Problem(message, f"{index}:{row + 1}"))
        records = cls(path, keys, starts, ends)
        records.content(int(order[-1]))  # the end of a file is what a broken download lacks
        return records

    def content(self, row: int) -> bytes:
        """Return what a record holds behind its header and labels, an image; any thread may call it.

        Raises:
            UnfitFileError: The record is damaged.
        """
        payload = self._payload(row)
        if row % BLOCK == 0:
            self._release()
        return payload[self._header_size(row, payload) :]

    def _release(self) -> None:
        """Let the system take back the memory of what was read, which counts as the process's."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def labels(self, row: int) -> tuple[float, ...]:
        """Return the labels of a record: that in its header, or those behind it."""
        payload = self._payload(row)
        behind = payload[HEADER.size : self._header_size(row, payload)]
        return struct.unpack(f"<{len(behind) // 4}f", behind) or (HEADER.unpack_from(payload)[1],)

    def _header_size(self, row: int, payload: bytes) -> int:
        if len(payload) < HEADER.size:
            raise self._damaged(row, f"has {len(payload)} bytes, fewer than the header of an image")
        count: int = HEADER.unpack_from(payload)[0]
        if HEADER.size + 4 * count > len(payload):
            raise self._damaged(row, f"is said to hold {count:,} labels, more than its {len(payload):,} bytes")
        return HEADER.size + 4 * count

    def _payload(self, row: int) -> bytes:
        at, end = int(self.starts[row]), int(self.ends[row])
        parts: list[bytes] = []
        kind = BEGIN
        while kind in (BEGIN, MIDDLE):
            if at + WORDS.size > end:
                raise self._damaged(row, "is cut off")
            magic, word = WORDS.unpack_from(self._map, at)
            kind, length = word >> LENGTH_BITS, word & (2**LENGTH_BITS - 1)
            at += WORDS.size
            if magic != MAGIC:
                raise self._damaged(row, "does not begin as a record does")
            if kind not in ((MIDDLE, END) if parts else (WHOLE, BEGIN)):
                raise self._damaged(row, f"has a part of kind {kind} in the wrong place")
            if at + length > end:
                raise self._damaged(
                    row, f"is cut off: it should have {length:,} bytes more, and {end - at:,} are there"
                )
            if length > MAX_IMAGE_BYTES:
                raise self._damaged(row, f"has {length:,} bytes, more than the {MAX_IMAGE_BYTES:,} that are read")
            parts.append(self._map[at : at + length])
            at += length + -length % 4
        return MAGIC.to_bytes(4, "little").join(parts)

    def _damaged(self, row: int, what: str) -> UnfitFileError:
        return UnfitFileError(
            f"record {self.keys[row]} at byte {self.starts[row]:,} {what}; the file or its index is damaged"
        )

    def headers(self, rows: Array) -> tuple[Array, Array]:
        """Return the first two labels of records, float32 (N, 2), NaN where there is none, and which have no content.

        Raises:
            UnfitFileError: A record is damaged.
        """
        import numpy as np

        labels = np.full((len(rows), 2), np.nan, np.float32)
        empty = np.zeros(len(rows), bool)
        beginnings = np.lib.stride_tricks.sliding_window_view(self._bytes, SMALLEST_RECORD)
        pairs = np.lib.stride_tricks.sliding_window_view(self._bytes, 8)
        for first in range(0, len(rows), BLOCK):
            some = rows[first : first + BLOCK]
            starts = self.starts[some]
            words = beginnings[starts].view("<u4")
            kinds, lengths, counts = words[:, 1] >> LENGTH_BITS, words[:, 1] & (2**LENGTH_BITS - 1), words[:, 2]
            needed = HEADER.size + 4 * counts.astype(np.int64)
            plain = (words[:, 0] == MAGIC) & (kinds == WHOLE) & (lengths >= needed)
            plain &= starts + WORDS.size + lengths <= self.ends[some]
            behind = pairs[np.minimum(starts + SMALLEST_RECORD, len(self._bytes) - 8)].view("<f4")
            block = labels[first : first + BLOCK]
            block[:, 0] = np.where(counts > 0, behind[:, 0], words.view("<f4")[:, 3])
            block[:, 1] = np.where(counts > 1, behind[:, 1], np.nan)
            empty[first : first + BLOCK] = plain & (counts > 0) & (lengths == needed)
            # Few are in several parts, or damaged, which then is said.
            for place in np.flatnonzero(~plain):
                own = self.labels(int(some[place]))
                block[place] = (*own, np.nan)[:2]
            self._release()
        return labels, empty


def _read_index(path: Path) -> tuple[Array, Array]:
    """Return keys and places of records, in the order of the lines."""
    import numpy as np

    text = read_input(path, MAX_INDEX_BYTES).decode("ascii", "replace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty file is spoken of below
        try:
            table = np.loadtxt(io.StringIO(text), np.int64, comments=None, ndmin=2)
        except (ValueError, OverflowError):
            table = np.full((1, 1), -1)
    if table.size and (table.shape[1] != 2 or (table < 0).any()):
        line = re.compile(r"\s*(\d{1,18}\s+\d{1,18}\s*)?")
        wrong = (number for number, words in enumerate(io.StringIO(text), 1) if not line.fullmatch(words))
        message = "is not the key of a record and its place, two whole numbers; write the index anew"
        raise InputError(Problem(message, f"{path}:{next(wrong, 1)}"))
    if not table.size:
        raise InputError(Problem("is empty; it needs a line for each record, its key and its place", str(path)))
    keys, starts = np.ascontiguousarray(table.T)
    values, counts = np.unique(keys, return_counts=True)
    if len(values) < len(keys):
        raise InputError(Problem(f"names record {values[counts > 1][0]} twice; write the index anew", str(path)))
    return keys, starts


# --- Whom the images show ---


@dataclass(frozen=True)
class Found:
    """The images of a record file.

    Attributes:
        rows: int64 (N,), which rows of the index hold images.
        labels: int64 (N,), the place of each image's identity in ``names``.
        names: int64 (C,), the numbers that the identities are called by.
        notes: What readers of the results should know.
    """

    rows: Array
    labels: Array
    names: Array
    notes: tuple[str, ...] = ()


def _identities(records: Records) -> Found:
    """Return the images with whom they show; from the records of identities, the list, or the images' headers."""
    import numpy as np

    keys = records.keys
    rows = np.arange(len(keys))
    zero = np.flatnonzero(keys == 0)
    bounds, is_header = records.headers(zero)
    if len(zero) and is_header[0] and np.isfinite(bounds[0]).all():
        first, end = (int(bound) for bound in bounds[0])
        holders = rows[(keys >= first) & (keys < end)]
        # Of a larger set the bounds are rounded. Some programs write the number of people in place of the second one.
        if len(holders) and end <= EXACT:
            found = _of_ranges(records, first, end, holders[np.argsort(keys[holders])])
            return _counted(records.path, found, "the records of identities")
        rows = rows[(keys > 0) & (keys < first)] if first <= EXACT else rows[keys > 0]
    if not len(rows):
        raise InputError(Problem("holds no images, only a header", str(records.path)))
    listed = records.path.with_suffix(".lst")
    if listed.exists():
        given = _of_list(listed, keys[rows])
        notes: tuple[str, ...] = (f"the data set takes the identities from {listed.name}",)
        where = listed.name
    else:
        labels, is_empty = records.headers(rows)
        rows, given = rows[~is_empty], labels[~is_empty, 0]
        notes, where = (), "the headers of the records"
        wrong = np.flatnonzero(~((given >= 0) & (given < 2.0**63) & (given == np.floor(given))))
        if len(wrong):
            message = (
                f"record {keys[rows[wrong[0]]]} has the label {given[wrong[0]]:g}; labels are whole numbers from 0"
            )
            raise InputError(Problem(f"{message}, one for each person", str(records.path)))
    names, places = np.unique(given.astype(np.int64), return_inverse=True)
    return _counted(records.path, Found(rows, places, names, notes), where)


def _of_ranges(records: Records, first: int, end: int, holders: Array) -> Found:
    """Return the images of identities whose records say from which key to which their images go."""
    import numpy as np

    where = str(records.path)
    keys = records.keys
    if len(holders) < end - first:
        missing = np.setdiff1d(np.arange(first, end), keys[holders])[0]
        message = (
            f"record 0 promises identities in records {first} to {end - 1}, but record {missing} is not in the index"
        )
        raise InputError(Problem(message, where))
    ranges, is_range = records.headers(holders)
    is_range &= (ranges[:, 0] >= 1) & (ranges[:, 1] <= first)
    if not is_range.all():
        key = keys[holders[~is_range][0]]
        raise InputError(Problem(f"record {key} should say which images an identity has, and does not", where))
    begins, stops = ranges.astype(np.int64).T
    if (begins >= stops).any():
        identity = int(np.flatnonzero(begins >= stops)[0])
        raise InputError(Problem(f"identity {identity} (record {first + identity}) has no image", where))
    rows = np.flatnonzero((keys > 0) & (keys < first))
    rows = rows[np.argsort(keys[rows])]
    present = keys[rows]
    counts = np.searchsorted(present, stops) - np.searchsorted(present, begins)
    lacking = np.flatnonzero(counts < stops - begins)
    if len(lacking):
        identity = int(lacking[0])
        wanted = np.arange(begins[identity], stops[identity])
        key = np.setdiff1d(wanted, present)[0]
        message = f"identity {identity} (record {first + identity}) should have record {key}, which is not in the index"
        raise InputError(Problem(message, where))
    order = np.argsort(begins, kind="stable")
    shared = np.flatnonzero(stops[order][:-1] > begins[order][1:])
    if len(shared):
        one, other = order[shared[0]], order[shared[0] + 1]
        raise InputError(Problem(f"identities {one} and {other} share record {begins[other]}", where))
    # The identity that begins last before an image has it, or nobody has.
    places = np.searchsorted(begins[order], present, side="right") - 1
    labels = np.where((places >= 0) & (present < stops[order[places]]), order[places], -1)
    nobody = np.flatnonzero(labels < 0)
    if len(nobody):
        message = f"{len(nobody):,} images belong to no identity, the first is record {present[nobody[0]]}"
        raise InputError(Problem(message, where))
    return Found(rows, labels, np.arange(len(holders)))


def _of_list(path: Path, keys: Array) -> Array:
    """Return the label of each record from the list beside the records.

    Its lines are ``key, label, path``, as MXNet writes them, or ``aligned, path, label`` in the order of the records,
    as InsightFace does.
    """
    import numpy as np

    hint = f"remove {path.name} if the records hold the right labels"
    text = read_input(path, MAX_INDEX_BYTES).decode("utf-8", "replace")
    labels: dict[int, int] = {}
    count = 0
    for number, line in enumerate(io.StringIO(text), 1):
        cells = line.rstrip("\n").split("\t")
        if cells == [""]:
            continue
        if len(cells) > 2 and not NUMBER.fullmatch(cells[1]):
            cells = [str(keys[min(count, len(keys) - 1)]), cells[2]]
        if len(cells) < 2 or not all(NUMBER.fullmatch(cell) for cell in cells[:2]):
            message = "is not the key of a record, a label that is a whole number, and a path, with tabs between them"
            raise InputError(Problem(f"{message}; {hint}", f"{path}:{number}"))
        labels[int(cells[0].split(".")[0])] = int(cells[1].split(".")[0])
        count += 1
    missing = [key for key in keys.tolist() if key not in labels]
    if count != len(keys) or missing:
        without = f"; record {missing[0]} is not among them" if missing else ""
        raise InputError(Problem(f"has {count:,} lines for {len(keys):,} images{without}; {hint}", str(path)))
    return np.array([labels[key] for key in keys.tolist()], np.int64)


def _counted(path: Path, found: Found, where: str) -> Found:
    """Return what was found, if the file called property, where there is one, counts as many identities."""
    file = path.with_name("property")
    if not file.exists():
        return found
    text = read_input(file, 10**4).decode("ascii", "replace").strip()
    match = re.match(r"(\d{1,9})\s*(,|$)", text)
    if not match:
        message = "is not the number of identities, height and width, such as 85742,112,112; correct or remove it"
        raise InputError(Problem(message, str(file)))
    if int(match[1]) != len(found.names):
        message = f"counts {int(match[1]):,} identities, but {where} have images of {len(found.names):,}"
        raise InputError(Problem(f"{message}; correct or remove it", str(file)))
    return found


# --- Images ---


class Images(Sequence[StoredImage]):
    """Images in the order of the data set, each made when it is asked for.

    Attributes:
        labels: int32 (N,), the identity of each image.
    """

    def __init__(self, records: Records, rows: Array, labels: Array, names: tuple[str, ...]) -> None:
        self._records, self._rows, self.labels, self._names = records, rows, labels, names

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> StoredImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StoredImage]: ...
    def __getitem__(self, index: int | slice) -> StoredImage | Sequence[StoredImage]:
        if isinstance(index, slice):
            return Images(self._records, self._rows[index], self.labels[index], self._names)
        row = int(self._rows[index])
        return self._image(row, int(self._records.keys[row]), int(self.labels[index]))

    def __iter__(self) -> Iterator[StoredImage]:
        # One by one, a million numbers of NumPy take longer to get than everything else here.
        for first in range(0, len(self), BLOCK):
            rows = self._rows[first : first + BLOCK]
            labels = self.labels[first : first + BLOCK]
            for row, key, label in zip(rows.tolist(), self._records.keys[rows].tolist(), labels.tolist(), strict=True):
                yield self._image(row, key, label)

    def _image(self, row: int, key: int, label: int) -> StoredImage:
        name = f"{self._records.path.name}/{self._names[label]}/{key}"
        return StoredImage(name, functools.partial(self._records.content, row))

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, labels and the bytes of the records that are used, wherever these lie."""
        import numpy as np

        starts, ends = self._records.starts[self._rows], self._records.ends[self._rows]
        order = np.argsort(starts)
        digest = hashlib.sha256("\n".join(self._names).encode())
        for numbers in (self._records.keys[self._rows], self.labels, ends - starts, order):
            digest.update(numbers.astype("<i8").tobytes())
        # Records that follow each other are read as one part.
        starts, ends = starts[order], ends[order]
        gaps = np.flatnonzero(starts[1:] != ends[:-1])
        spans = zip(starts[np.append(0, gaps + 1)].tolist(), ends[np.append(gaps, len(ends) - 1)].tolist(), strict=True)
        digest.update(content_digest(self._records.path, list(spans)).encode())
        return digest.hexdigest()
