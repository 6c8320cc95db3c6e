"""Images and labels in Parquet files, as the library `datasets` of Hugging Face writes them, as a faceexp plugin."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import operator
import os
import re
import stat
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from faceexp.errors import InputError, Problem, did_you_mean, first_of, plain
from faceexp.files import check_file, explain_os_error, parse_json

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    Array = np.ndarray[Any, np.dtype[Any]]

MAX_SHARD_BYTES = 2**40
MAX_ROWS = 10**8
# All images of a row group are in memory at once.
MAX_GROUP_BYTES = 2**30
# NumPy gives each text the room of the longest: one long remark among a million short ones would fill the memory.
MAX_COLUMN_BYTES = 2**28
# The content of so many files with so many bytes is read for the fingerprint; of more, size and time are looked up.
MOST_FILES_READ, MOST_BYTES_READ = 50_000, 2**30
# Row groups that stay in memory for the next images; two at least, however large.
MAX_HELD_BYTES = 2**29
MAX_NAMED = 3
# Pandas writes the numbers of rows under such names.
INDEX_COLUMN = re.compile(r"__index_level_\d+__")


class ParquetImages(DatasetPlugin):
    """Images inside Parquet files, one a row with its label, as the library ``datasets`` of Hugging Face writes them.

    The images are in a column of bytes, or of ``bytes`` and ``path`` together. In a file whose first row has no bytes,
    the paths of such rows name files inside its folder; a later row without bytes is named when it is decoded. Labels
    are texts, or whole numbers, whose names are taken from what ``datasets`` has written beside them. Several files,
    which have to have the same columns, are read in the order of their names. Other columns of numbers, truth values or
    texts go along with the images; the rest is left out, which the results say.

    Labels and columns are read without the images. These are read one row group after the other: write no more than
    1,000 rows in each, as ``datasets`` does. An image is called after its file, the number of its row and its path.

    The fingerprint follows the content of the files, as long as they are at most 1 GiB together. Of larger data it
    follows the labels, and the sizes of the files and the times of their last change, so that a copy counts as other
    data.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "Parquet files of the user"

    path: AnyPath = option(
        ...,
        "A .parquet file, a folder of them, or a pattern such as faces/train-*.parquet; relative to the experiment "
        "file, ~ is your home.",
    )
    image_column: str = option("image", "The column of images.")
    identity_column: str = option("label", "The column with the name or number of the person.")
    min_images: int = option(1, "Leave out identities with fewer images.", unit="images", ge=1)

    def build(self, seed: int) -> FaceData:
        """Return the images in the order of the files and rows; none is read.

        Raises:
            InputError: A file is missing or damaged, the files differ, or rows lack an image or a label.
        """
        shards = _opened(_files(self.path))
        _check_columns(shards, self.image_column, self.identity_column)
        labels, identities, without_label = _people(shards, self.identity_column)
        pictures, without_image = _Pictures.found(shards, self.image_column)
        folder = str(shards[0].file.parent)
        problems = [
            *_large_groups(shards),
            *first_of(without_label, "and {} more rows without a label", folder),
            *first_of(without_image, "and {} more rows without an image", folder),
        ]
        if problems:
            raise InputError(problems)
        notes, columns = _further(shards, {self.image_column, self.identity_column})

        chosen = choose_people(labels, self.min_images)
        if len(chosen.people) < 2:
            hint = "lower min_images or add images" if self.min_images > 1 else "add images of other people"
            message = f"{too_few_people(len(chosen.people), self.min_images)}; {hint}"
            raise InputError(Problem(message, where=self.path))
        rows = chosen.rows
        names = tuple(identities[person] for person in chosen.people)
        digest = hashlib.sha256(repr((self.image_column, names)).encode())
        digest.update(rows.tobytes() + chosen.labels.tobytes())
        for files in ({shard.name: shard.file for shard in shards}, pictures.files_beside()):
            digest.update(_content(files).encode())
        several = f" and {len(shards) - 1} more" if len(shards) > 1 else ""
        return FaceData(
            images=_Images(pictures, rows),
            labels=chosen.labels,
            identities=names,
            fingerprint=digest.hexdigest(),
            licence=self.licence,
            source=f"file {shards[0].name}{several}",
            notes=(*notes, *chosen.notes),
            columns={name: values[rows] for name, values in columns.items()},
        )


# --- Files ---


@dataclass(frozen=True)
class _Shard:
    """One of the files, of which the end, which says what is in it, was read.

    Attributes:
        file: The file.
        metadata: What its end says. Where that is damaged, asking for its row groups may end the process, so a column
            is read before, which raises an error.
        schema: Its columns.
        names: Their names.
    """

    file: Path
    metadata: parquet.FileMetaData
    schema: pa.Schema
    names: list[str]

    @functools.cached_property
    def name(self) -> str:
        """Its name, as text that can be written anywhere."""
        return readable_name(self.file.name)

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return int(self.metadata.num_rows)

    @functools.cached_property
    def first(self) -> list[int]:
        """The number of the first row of each row group, and that behind the last."""
        sizes = (self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups))
        return list(itertools.accumulate(sizes, initial=0))

    def place(self, row: int) -> str:
        """Return where a row is, as a person is told."""
        return f"{self.file}, row {row + 1}"

    def read(self, column: str, group: int | None = None) -> pa.ChunkedArray:
        """Return a column, or that part of a column of structs which is named behind a dot, of one or all row groups.

        Raises:
            InputError: The file is damaged.
        """
        import pyarrow as pa

        with self._opened() as opened:
            table = opened.read([column]) if group is None else opened.read_row_group(group, [column])
            rows = self.rows if group is None else self.first[group + 1] - self.first[group]
            if len(table) != rows:
                raise pa.ArrowInvalid(f"{len(table)} of {rows} rows in {column!r}")
            return _part(table.column(0))

    def begins_with_nothing(self, column: str) -> bool:
        """Return whether there is nothing in the first row of a column, of which little is read.

        Raises:
            InputError: The file is damaged.
        """
        import pyarrow as pa

        with self._opened() as opened:
            batch = next(opened.iter_batches(1, columns=[column]), None)
            return batch is not None and not _part(pa.chunked_array([batch.column(0)]))[0].is_valid

    @contextmanager
    def _opened(self) -> Iterator[parquet.ParquetFile]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.file, metadata=self.metadata, memory_map=True) as opened:
                yield opened
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(_damaged(self.file, error)) from None


def _part(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values that are known to be right, or those of the only part of structs."""
    import pyarrow as pa

    values.validate(full=True)
    if not pa.types.is_struct(values.type):
        return values
    return pa.chunked_array([chunk.flatten()[0] for chunk in values.chunks], values.type.field(0).type)


def _damaged(file: Path, error: Exception) -> Problem:
    return Problem(
        f"is truncated, damaged or no Parquet file ({plain(str(error))}); write or fetch it again", str(file)
    )


def _files(text: str) -> list[Path]:
    """Return the files that a path, a folder or a pattern means."""
    path = user_path(text)
    try:
        if path.is_dir():
            files = sorted(file for file in path.glob("*.parquet") if not file.name.startswith("."))
            deeper = next(iter(sorted(path.glob("*/*.parquet"))), None)
            hint = f"; there are some in {deeper.parent.name!r}, give that folder" if deeper else ""
            missing = f"holds no file that ends with .parquet{hint}"
        elif not path.exists() and set("*?[") & set(str(path)):
            start = Path(path.anchor)
            files = sorted(file for file in start.glob(str(path.relative_to(start))) if file.is_file())
            missing = "no file is called so; give a file, a folder or a pattern"
        else:
            files, missing = [path], ""
    except (OSError, ValueError) as error:
        message = explain_os_error(error) if isinstance(error, OSError) else "is no name of a file"
        raise InputError(Problem(message, text)) from None
    if not files:
        raise InputError(Problem(missing, str(path)))
    return files


def _opened(files: Sequence[Path]) -> list[_Shard]:
    """Return the files with what their ends say."""
    import pyarrow as pa
    from pyarrow import parquet

    shards: list[_Shard] = []
    problems = []
    for file in files:
        try:
            check_file(file, MAX_SHARD_BYTES)
            file.open("rb").close()
        except OSError as error:
            message = "no such file" if isinstance(error, FileNotFoundError) else explain_os_error(error)
            problems.append(Problem(f"{message}; give a .parquet file, a folder or a pattern", str(file)))
            continue
        try:
            with parquet.ParquetFile(file, memory_map=True) as opened:
                metadata, schema = opened.metadata, opened.schema_arrow
            names = schema.names
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # it raises OSError for damage, too
            problems.append(_damaged(file, error))
            continue
        shards.append(_Shard(file, metadata, schema, names))
    total = sum(shard.rows for shard in shards)
    if total > MAX_ROWS:
        problems.append(Problem(f"{total:,} rows; {MAX_ROWS:,} are the most that are read", str(files[0].parent)))
    if not total and not problems:
        problems.append(Problem("has no rows; each image is one", str(files[0])))
    if problems:
        raise InputError(first_of(problems, "and {} more files that cannot be read", str(files[0].parent)))
    return shards


def _check_columns(shards: Sequence[_Shard], image: str, identity: str) -> None:
    """Refuse files that lack a column, hold something else in it, or differ from the first."""
    problems = [
        Problem(f"has no column {name!r}; {did_you_mean(name, shards[0].names)}", str(shards[0].file))
        for name in (image, identity)
        if name not in shards[0].names
    ]
    if problems:
        raise InputError(problems)
    first, its_kinds = shards[0], _kinds(shards[0].schema)
    for shard in shards:
        where, kinds = str(shard.file), _kinds(shard.schema)
        twice = [name for name, count in Counter(shard.names).items() if count > 1]
        problems += [Problem(f"has the column {name!r} twice", where) for name in twice]
        lacking, more = [
            sorted(some.keys() - others.keys()) for some, others in ((its_kinds, kinds), (kinds, its_kinds))
        ]
        if lacking or more:
            differences = [f"lacks {', '.join(map(repr, lacking))}"] if lacking else []
            differences += [f"has {', '.join(map(repr, more))} besides"] if more else []
            message = f"{' and '.join(differences)}, compared with {first.name}; give files with the same columns"
            problems.append(Problem(message, where))
            continue
        problems += [
            Problem(f"column {name!r} holds {kind}, that of {first.name} {its_kinds[name]}; write one kind", where)
            for name, kind in kinds.items()
            if len({kind, its_kinds[name]} - {"nothing"}) == 2
            and {kind, its_kinds[name]} != {"numbers", "whole numbers"}
        ]
        problems += _of_image_column(shard, image)
        if kinds[identity] not in ("texts", "whole numbers"):
            message = f"column {identity!r} holds {kinds[identity]}; it has to hold names or whole numbers"
            problems.append(Problem(message, where))
        if _class_names(shard, identity) != _class_names(first, identity):
            message = f"names the labels in {identity!r} otherwise than {first.name}; give files of one data set"
            problems.append(Problem(message, where))
    if problems:
        raise InputError(first_of(problems, "and {} more mistakes in columns", str(first.file.parent)))


def _of_image_column(shard: _Shard, image: str) -> list[Problem]:
    """Return why the images cannot be read."""
    where, leaf = str(shard.file), _bytes_leaf(shard.schema, image)
    if leaf is None and _path_leaf(shard.schema, image) is None:
        message = (
            f"column {image!r} holds {plain(str(shard.schema.field(image).type))}; it has to hold the bytes of image "
            "files, alone or as the part 'bytes' beside 'path'"
        )
        return [Problem(message, where)]
    return []


def _large_groups(shards: Sequence[_Shard]) -> Iterator[Problem]:
    """Yield one problem for each file with row groups that are too large to be in memory."""
    for shard in shards:
        for group in range(len(shard.first) - 1):
            size = shard.metadata.row_group(group).total_byte_size
            if size > MAX_GROUP_BYTES:
                message = (
                    f"row group {group + 1} holds {size / 2**30:.1f} GiB, which would all be in memory at once; write "
                    "the file with row_group_size=1000"
                )
                yield Problem(message, str(shard.file))
                break


def _kinds(schema: pa.Schema) -> dict[str, str]:
    """Return what each column holds, in words; those that hold one value a row are texts, numbers or truth values."""
    return {column.name: _kind(column.type) for column in schema if not INDEX_COLUMN.fullmatch(column.name)}


def _kind(kind: pa.DataType) -> str:
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind):
        return "texts"
    if types.is_integer(kind):
        return "whole numbers"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "numbers"
    if types.is_boolean(kind):
        return "truth values"
    return "nothing" if types.is_null(kind) else plain(str(kind))


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _leaf(schema: pa.Schema, image: str, part: str) -> pa.DataType | None:
    import pyarrow as pa

    kind = schema.field(image).type
    place = kind.get_field_index(part) if pa.types.is_struct(kind) else -1
    return kind.field(place).type if place >= 0 else None


def _bytes_leaf(schema: pa.Schema, image: str) -> str | None:
    """Return what Parquet calls the column with the bytes of images, if there is one."""
    if _is_binary(schema.field(image).type):
        return image
    kind = _leaf(schema, image, "bytes")
    return f"{image}.bytes" if kind is not None and _is_binary(kind) else None


def _path_leaf(schema: pa.Schema, image: str) -> str | None:
    """Return what Parquet calls the column with the paths of images, if there is one."""
    kind = _leaf(schema, image, "path")
    return f"{image}.path" if kind is not None and _kind(kind) == "texts" else None


def _class_names(shard: _Shard, identity: str) -> list[str] | None:
    """Return the names of labels that are numbers, if ``datasets`` has written them.

    Raises:
        InputError: What is written there is not what it should be.
    """
    written = (shard.schema.metadata or {}).get(b"huggingface")
    try:
        place: object = parse_json(written) if written else None
    except ValueError as error:
        raise InputError(Problem(f"its metadata 'huggingface' are damaged ({error})", str(shard.file))) from None
    for key in ("info", "features", identity, "names"):
        place = place.get(key) if isinstance(place, dict) else None
    if not isinstance(place, list):
        return None
    wrong = [name for name, count in Counter(map(str, place)).items() if count > 1 or not name.strip()]
    if wrong or not all(isinstance(name, str) for name in place):
        message = f"its metadata 'huggingface' do not give each label in {identity!r} a name of its own"
        raise InputError(Problem(message, str(shard.file)))
    return place


# --- People, images, further columns ---


def _whole(shards: Sequence[_Shard], column: str, kind: pa.DataType) -> pa.Array:
    """Return a column of all files, as one array of this kind."""
    import pyarrow as pa
    import pyarrow.compute as pc

    chunks = [chunk for shard in shards for chunk in pc.cast(shard.read(column), kind, safe=False).chunks]
    return pa.chunked_array(chunks, kind).combine_chunks()


def _people(shards: Sequence[_Shard], column: str) -> tuple[Array, tuple[str, ...], list[Problem]]:
    """Return the label of each row, the names of the identities, some of whom may have no image, and the mistakes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    is_text = _kind(shards[0].schema.field(column).type) == "texts"
    names = None if is_text else _class_names(shards[0], column)
    values = _whole(shards, column, pa.string() if is_text else pa.int64())
    lacks: Array = pc.is_null(values).to_numpy(zero_copy_only=False)
    if is_text:
        lacks = lacks | pc.equal(pc.utf8_trim_whitespace(values.fill_null("")), "").to_numpy(zero_copy_only=False)
    elif names is not None:
        # `datasets` writes -1 where nothing is known.
        lacks = lacks | (values.fill_null(-1).to_numpy() == -1)
    problems = [Problem(f"has no label in {column!r}; remove the row", place) for place in _places(shards, lacks)]
    if names is not None:
        numbers = values.fill_null(-1).to_numpy()
        is_unknown = ~lacks & ((numbers < 0) | (numbers >= len(names)))
        problems += [
            Problem(f"has a label that is none of the {len(names)} in {column!r}, which are counted from 0", place)
            for place in _places(shards, is_unknown)
        ]
        return numbers, tuple(names), problems
    encoded = values.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    labels: Array = np.argsort(order)[encoded.indices.fill_null(0).to_numpy()]
    return labels, tuple(str(found[place]) for place in order), problems


def _places(shards: Sequence[_Shard], is_meant: Array) -> list[str]:
    """Return where the rows are that are meant, of all rows of all files."""
    import numpy as np

    starts = _starts(shards)
    places = ((bisect.bisect_right(starts, row) - 1, row) for row in np.flatnonzero(is_meant).tolist())
    return [shards[owner].place(row - starts[owner]) for owner, row in places]


def _starts(shards: Sequence[_Shard]) -> list[int]:
    """Return the number of the first row of each file, among all rows."""
    return list(itertools.accumulate((shard.rows for shard in shards), initial=0))[:-1]


def _further(shards: Sequence[_Shard], taken: set[str]) -> tuple[list[str], dict[str, Array]]:
    """Return what the notes say, and the columns of numbers, truth values and texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns: dict[str, Array] = {}
    left_out = []
    for name, kind in _kinds(shards[0].schema).items():
        if name in taken:
            continue
        types = [shard.schema.field(name).type for shard in shards]
        kinds = {_kind(each) for each in types} - {"nothing"}
        if not kinds <= {"texts", "whole numbers", "numbers", "truth values"} or name == "landmarks":
            left_out.append(f"{name!r} ({kind})")
            continue
        if kinds <= {"texts"}:
            values = _array_of_texts(_whole(shards, name, pa.string()))
            if values is None:
                left_out.append(f"{name!r} (long texts)")
            else:
                columns[name] = values
            continue
        # A column of numbers may have a fraction in one file, and none in another.
        most = "numbers" if "numbers" in kinds else kinds.pop()
        target = {"truth values": pa.bool_(), "whole numbers": pa.int64(), "numbers": pa.float64()}[most]
        column = _whole(shards, name, target)
        # A whole number or a truth value that is not known has no place in an array of its kind.
        known = pc.cast(column, pa.float64(), safe=False) if column.null_count else column
        columns[name] = known.to_numpy(zero_copy_only=False)
    return [f"the data set leaves out columns: {', '.join(left_out)}"] if left_out else [], columns


def _array_of_texts(texts: pa.Array) -> Array | None:
    """Return texts as NumPy has them, or nothing, if they would fill the memory."""
    import numpy as np
    import pyarrow.compute as pc

    given = texts.fill_null("")
    if 4 * pc.max(pc.utf8_length(given)).as_py() * len(given) > MAX_COLUMN_BYTES:
        return None
    encoded = given.dictionary_encode()
    values: Array = np.array(encoded.dictionary.to_pylist(), dtype=str)[encoded.indices.to_numpy()]
    return values


class _Reader:
    """Reads images for several threads, which go through the rows in about their order."""

    def __init__(self, shards: Sequence[_Shard], leaf: str) -> None:
        self._shards, self._leaf = shards, leaf
        # Each thread is in a row group, which is used again for each of its images, and one is the next.
        self._most = (os.cpu_count() or 1) + 1
        self._lock = threading.Lock()
        self._held: dict[tuple[int, int], pa.ChunkedArray] = {}

    def read(self, shard: int, row: int) -> bytes:
        """Return the bytes of an image.

        Raises:
            OSError: There are none, or the file is damaged.
        """
        first = self._shards[shard].first
        group = bisect.bisect_right(first, row) - 1
        value: bytes | None = self._group(shard, group)[row - first[group]].as_py()
        if value is None:
            raise OSError("the row has no bytes")
        return value

    def _group(self, shard: int, group: int) -> pa.ChunkedArray:
        # One thread reads for all: each row group is read once, and the others would need the same one next.
        with self._lock:
            column = self._held.pop((shard, group), None)
            if column is None:
                try:
                    column = self._shards[shard].read(self._leaf, group)
                except InputError as error:
                    raise OSError(error.problems[0].message) from None
            self._held[shard, group] = column
            while len(self._held) > 2 and (len(self._held) > self._most or self._held_bytes() > MAX_HELD_BYTES):
                del self._held[next(iter(self._held))]  # the one that was not used for longest
            return column

    def _held_bytes(self) -> int:
        return sum(column.nbytes for column in self._held.values())


@dataclass(frozen=True)
class _Pictures:
    """Where the image of each row is.

    Attributes:
        shards: The files.
        starts: The number of the first row of each, among all rows.
        reader: Reads what is inside; nothing, where all images are in files of their own.
        paths: The path that is written beside each image, empty where there is none.
        beside: The files of those rows that have no bytes.
    """

    shards: Sequence[_Shard]
    starts: list[int]
    reader: _Reader | None
    paths: pa.Array
    beside: Mapping[int, Path]

    @classmethod
    def found(cls, shards: Sequence[_Shard], image: str) -> tuple[_Pictures, list[Problem]]:
        """Find all images, and the rows that have none, or one that is missing, outside the folder, or named twice."""
        import numpy as np
        import pyarrow as pa

        bytes_leaf, path_leaf = _bytes_leaf(shards[0].schema, image), _path_leaf(shards[0].schema, image)
        total = sum(shard.rows for shard in shards)
        lacks = np.concatenate([_without_bytes(shard, bytes_leaf) for shard in shards])
        paths = (
            _whole(shards, path_leaf, pa.string()).fill_null("")
            if path_leaf
            else pa.nulls(total, pa.string()).fill_null("")
        )
        starts = _starts(shards)
        beside: dict[int, Path] = {}
        problems: list[Problem] = []
        first: dict[Path, str] = {}
        for row in np.flatnonzero(lacks).tolist():
            owner = bisect.bisect_right(starts, row) - 1
            shard, text = shards[owner], paths[row].as_py()
            place = shard.place(row - starts[owner])
            fault = _fault_of_path(text)
            file = shard.file.parent / os.path.normpath(text)
            if not fault and file in first:
                fault = f"names the image {text!r} again, after {first[file]}; name each once"
            if fault:
                problems.append(Problem(fault, place))
            else:
                beside[row], first[file] = file, place
        missing = [(row, file) for row, file in beside.items() if not _is_file(file)]
        if missing:
            more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
            named = ", ".join(f"{paths[row].as_py()!r} ({first[file]})" for row, file in missing[:MAX_NAMED])
            message = f"images that have no bytes do not exist as files either ({len(missing)}): {named}{more}"
            problems.append(Problem(message, str(shards[0].file.parent)))
        return cls(shards, starts, _Reader(shards, bytes_leaf) if bytes_leaf else None, paths, beside), problems

    def image(self, row: int) -> Path | StoredImage:
        """Return the image of a row."""
        if row in self.beside or self.reader is None:
            return self.beside[row]
        owner = bisect.bisect_right(self.starts, row) - 1
        inside = row - self.starts[owner]
        file = self.paths[row].as_py().replace("\\", "/").rpartition("/")[2]
        name = f"{self.shards[owner].name}/{inside + 1}"
        read = functools.partial(self.reader.read, owner, inside)
        return StoredImage(f"{name}/{file}" if file else name, read)

    def files_beside(self) -> dict[str, Path]:
        """Return the files of the rows that have no bytes, by what the rows call them."""
        return {f"{row} {self.paths[row].as_py()}": file for row, file in self.beside.items()}


class _Images(Sequence[Path | StoredImage]):
    """The images of some rows, made when they are asked for."""

    def __init__(self, pictures: _Pictures, rows: Array) -> None:
        self._pictures, self._rows = pictures, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Path | StoredImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path | StoredImage]: ...
    def __getitem__(self, index: int | slice) -> Path | StoredImage | Sequence[Path | StoredImage]:
        if isinstance(index, slice):
            return _Images(self._pictures, self._rows[index])
        return self._pictures.image(int(self._rows[operator.index(index)]))


def _without_bytes(shard: _Shard, leaf: str | None) -> Array:
    """Return which rows have no bytes, of a file that begins with such a row.

    In other files all rows are taken to have some: to know would be to read all images. One that has none is found when
    it is to be decoded.
    """
    import numpy as np

    if leaf is None:
        return np.ones(shard.rows, bool)
    if not shard.begins_with_nothing(leaf):
        return np.zeros(shard.rows, bool)
    return np.concatenate([shard.read(leaf, group).is_null().to_numpy() for group in range(len(shard.first) - 1)])


def _fault_of_path(text: str) -> str:
    """Return what is wrong with the path of an image that has no bytes."""
    if not text:
        return "has neither bytes nor a path of an image; remove the row"
    inside = Path(os.path.normpath(text))
    if inside.is_absolute() or inside.parts[:1] == ("..",) or "\0" in text:
        return f"its image {text!r} is outside the folder of the Parquet file; only files inside are read"
    return ""


def _is_file(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _content(files: Mapping[str, Path]) -> str:
    """Return what changes with the content of files."""
    status = {name: file.stat() for name, file in files.items()}
    is_read = len(files) <= MOST_FILES_READ and sum(each.st_size for each in status.values()) <= MOST_BYTES_READ
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(f"{name}\0".encode())
        if is_read:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        else:
            digest.update(f"{status[name].st_size} {status[name].st_mtime_ns}\0".encode())
    return digest.hexdigest()
