"""Images that a table names, with whom they show and what else is known of them, as a faceexp plugin."""

from __future__ import annotations

import csv
import hashlib
import io
import operator
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

from faceexp.contract import (
    DatasetPlugin,
    FaceData,
    InputFile,
    InputFolder,
    choose_people,
    files_fingerprint,
    option,
    readable_name,
    too_few_people,
    user_path,
)
from faceexp.errors import InputError, Problem, did_you_mean, first_of, plain
from faceexp.files import check_file, explain_os_error, read_input

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, np.dtype[Any]]

# A table of ten million images has fewer bytes.
MAX_TABLE_BYTES = 2**31
# NumPy gives each text the room of the longest: one long remark among a million short ones would fill the memory.
MAX_COLUMN_BYTES = 2**28
# The content of so many images with so many bytes is read for the fingerprint; of more, size and time are looked up.
MOST_IMAGES_READ, MOST_BYTES_READ = 50_000, 2**30
MAX_NAMED = 3
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
LANDMARKS = tuple(f"{axis}{point}" for point in range(1, 6) for axis in "xy")
# Two points are also how boxes are written, so that their names alone do not tell landmarks.
OF_LANDMARKS_ALONE = frozenset(LANDMARKS[4:])
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
# What a path may be written in several ways with.
ODD_PATH = r"(^|/)\.{1,2}(/|$)|//|/$|\\"
ABSOLUTE_PATH = r"^(/|\\|[A-Za-z]:)" if os.name == "nt" else "^/"
# Pandas writes the numbers of rows under such names, or under none.
INDEX_COLUMN = re.compile(r"|__index_level_\d+__")


class ImageList(DatasetPlugin):
    """Images that a CSV or Parquet table names, with whom they show and what else is known of them.

    Each row is an image. A CSV file is UTF-8 text whose first line names the columns. Its values are separated by
    commas, semicolons or tabs; spaces around them do not count, nor do empty lines, nor columns without a name.

    Further columns, such as sex, age, ethnicity, camera, template or quality, go along with the images: a column of a
    CSV file is one of numbers if all its values are, and what is empty is not known. Ten columns, ``x1,y1`` to
    ``x5,y5``, are landmarks in pixels: eyes, nose, corners of the mouth. One left of or above its image is refused;
    whether one is beyond the other edges is left to whoever opens the image.

    With ``identity_column = ""`` the table does not say whom the images show. Then each counts as somebody of its own,
    until a list of templates (``template_list`` of a protocol) tells more, as for IJB.

    The fingerprint follows the content of the images, as long as they are at most 50,000 and 1 GiB. Of more images it
    follows the sizes and the times of their last change, so that a copy of such data counts as other data.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "A table of the user"

    path: InputFile = option(..., "The table, .csv or .parquet; relative to the experiment file, ~ is your home.")
    path_column: str = option("path", "The column with the path of each image.")
    identity_column: str = option(
        "identity", 'The column with the name or number of the person; "" where nobody knows whom the images show.'
    )
    root: InputFolder | None = option(
        None, "Folder that the paths in the table are relative to; that of the table if not given."
    )
    min_images: int = option(1, "Leave out identities with fewer images.", unit="images", ge=1)

    def build(self, seed: int) -> FaceData:
        """Return the images in the order of the table; each is looked up, none is decoded.

        Raises:
            InputError: The table cannot be read or lacks something; or images are missing or named twice.
        """
        file = user_path(self.path)
        table = _read(file)
        needed = [self.path_column, *([self.identity_column] if self.identity_column else [])]
        problems = [
            *(_lacks(table, name) for name in needed if name not in table.columns),
            *_mistaken_landmarks(table),
        ]
        if problems:
            raise InputError(problems)
        names = table.texts(self.path_column)
        root = user_path(self.root) if self.root else file.parent
        names = _one_way(names, str(root))
        people, labels, identities = _people(table, self.identity_column) if self.identity_column else _nobody(names)
        landmarks, faults = _landmarks(table)
        taken = {*needed, *(() if landmarks is None else LANDMARKS)}
        looked_up = _look_up(names, root)
        problems = [
            *_empty(table, self.path_column, names),
            *(_empty(table, self.identity_column, people) if self.identity_column else ()),
            *looked_up.problems(table, names, root),
            *_twice(table, names),
            *faults,
        ]
        if problems:
            raise InputError(problems)

        columns = {} if landmarks is None else {"landmarks": landmarks}
        for name in (name for name in table.columns if name not in taken):
            values = _values(table, name)
            if values is not None:
                columns[name] = values
        chosen = choose_people(labels, self.min_images)
        if len(chosen.people) < 2:
            hint = "lower min_images or add images" if self.min_images > 1 else "add images of other people"
            message = f"{too_few_people(len(chosen.people), self.min_images)}; {hint}"
            raise InputError(Problem(message, where=self.path))
        rows, labels = chosen.rows, chosen.labels
        if chosen.notes:
            names = names.take(rows)
            columns = {name: values[rows] for name, values in columns.items()}
        identities = tuple(identities[person] for person in chosen.people)
        images = _Paths(root, names)
        digest = hashlib.sha256(repr(identities).encode())
        digest.update(labels.tobytes())
        if landmarks is not None:
            digest.update(columns["landmarks"].tobytes())
        digest.update(_content(names, images, looked_up.sizes[rows], looked_up.times[rows]).encode())
        return FaceData(
            images=images,
            labels=labels,
            identities=identities,
            fingerprint=digest.hexdigest(),
            licence=self.licence,
            source=f"table {readable_name(file.name)}",
            notes=(*table.notes, *chosen.notes),
            columns=columns,
            people_known=bool(self.identity_column),
        )


class _Paths(Sequence[Path]):
    """The paths of images, made when they are asked for: a million of them would take half a gigabyte."""

    def __init__(self, root: Path, names: pa.Array) -> None:
        self._root, self._names = root, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        if isinstance(index, slice):
            return _Paths(self._root, self._names[index])
        name: str = self._names[operator.index(index)].as_py()
        return self._root / name


# --- From files to columns ---


@dataclass
class _Table:
    """What a file holds.

    Attributes:
        file: The file.
        columns: Its columns by name, each an array of Arrow without gaps in the numbers of rows.
        place: Where a row is, as a person is told.
        is_text: Whether all values were read as texts, so that it is not known which are numbers.
        notes: What was left out.
    """

    file: Path
    columns: dict[str, pa.Array]
    place: Callable[[int], str]
    is_text: bool
    notes: list[str] = field(default_factory=list)

    def texts(self, name: str) -> pa.Array:
        """Return a column of texts, empty where there is nothing.

        Raises:
            InputError: It holds something else.
        """
        import pyarrow as pa

        column = self.columns[name]
        if not pa.types.is_string(column.type):
            message = f"column {name!r} holds {column.type}, not texts; write them as texts"
            raise InputError(Problem(message, str(self.file)))
        texts: pa.Array = column.fill_null("")
        return texts


def _read(file: Path) -> _Table:
    """Return the table in a file, whose first bytes say what it is."""
    try:
        check_file(file, MAX_TABLE_BYTES)
        with file.open("rb") as opened:
            is_parquet = opened.read(4) == b"PAR1" or file.suffix.lower() == ".parquet"
    except OSError as error:
        message = "no such file" if isinstance(error, FileNotFoundError) else explain_os_error(error)
        raise InputError(Problem(f"{message}; give a CSV or Parquet file", str(file))) from None
    table = _read_parquet(file) if is_parquet else _read_csv(file)
    if not len(next(iter(table.columns.values()), ())):
        raise InputError(Problem("has no rows; name at least one image each of two people", str(file)))
    return table


def _read_csv(file: Path) -> _Table:
    """Return a table of texts, without the lines that are empty."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    content = read_input(file, MAX_TABLE_BYTES, "give a CSV file")
    _check_characters(content, file)
    header, separator = _header(content, file)
    faulty: list[arrow_csv.InvalidRow] = []

    def leave_out(row: arrow_csv.InvalidRow) -> str:
        faulty.append(row)
        return "skip"

    # By their places, since what the columns are called may be anything. More than one thread would not count rows.
    places = [str(place) for place in range(len(header))]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(content),
            read_options=arrow_csv.ReadOptions(use_threads=False, column_names=places, skip_rows=1),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator, ignore_empty_lines=False, invalid_row_handler=leave_out
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string())),
        )
    except pa.ArrowException as error:
        message = f"is no CSV ({plain(str(error))}); look for a quotation that does not end"
        raise InputError(Problem(message, str(file))) from None
    columns = {
        name: pc.ascii_trim_whitespace(table.column(place).combine_chunks().fill_null(""))
        for name, place in zip(header, places, strict=True)
        if not INDEX_COLUMN.fullmatch(name)
    }
    problems = [Problem(_of_faulty(row, separator), f"{file}:{row.number}") for row in faulty if row.text.strip()]
    # Only what stands in one line has the number of its row.
    quoted = columns if b'"' in content else {}
    across = [name for name, column in quoted.items() if pc.any(pc.match_substring(column, "\n")).as_py()]
    problems += [Problem(f"a value in column {name!r} goes over several lines", str(file)) for name in across]
    if problems:
        raise InputError(first_of(problems, "and {} more lines that are no rows", str(file)))
    is_row = np.ones(len(table) + len(faulty), bool)
    is_row[[row.number - 2 for row in faulty]] = False
    lines = np.flatnonzero(is_row) + 2
    is_empty = np.ones(len(table), bool)
    for column in columns.values():
        if not is_empty.any():
            break
        is_empty &= pc.equal(column, "").to_numpy(zero_copy_only=False)
    if is_empty.any():
        lines = lines[~is_empty]
        columns = {name: column.filter(pa.array(~is_empty)) for name, column in columns.items()}
    return _Table(file, columns, lambda row: f"{file}:{lines[row]}", is_text=True)


def _header(content: bytes, file: Path) -> tuple[list[str], str]:
    """Return the names of the columns, and what stands between them: that which makes most columns."""
    first = re.split(rb"[\r\n]", content[:100_000], maxsplit=1)[0]
    line = first.decode("utf-8-sig", "replace")
    if not line.strip() or "\0" in line:
        message = "the first line is empty" if not line.strip() else "is no text"
        raise InputError(Problem(f"{message}; it has to name the columns, such as path,identity", f"{file}:1"))
    rows = {separator: next(csv.reader([line], delimiter=separator)) for separator in SEPARATORS}
    separator = max(rows, key=lambda candidate: len(rows[candidate]))
    names = [name.strip() for name in rows[separator]]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise InputError([Problem(f"names the column {name!r} twice", f"{file}:1") for name in twice])
    return names, separator


def _of_faulty(row: Any, separator: str) -> str:  # noqa: ANN401 - pyarrow has no types
    """Return what is wrong with a row that has not as many values as there are columns."""
    if "\n" in row.text.strip():
        return "begins a quotation that does not end in this line"
    values = f"{row.actual_columns} value{'s' if row.actual_columns != 1 else ''}"
    return (
        f"has {values}, but the first line names {row.expected_columns} columns; a value that holds a "
        f"{SEPARATORS[separator]} has to be in quotation marks"
    )


def _check_characters(content: bytes, file: Path) -> None:
    """Refuse what is not UTF-8, with the first line that is not."""
    import numpy as np
    import pyarrow as pa

    # Arrow looks at the bytes where they are, while decoding would make a second text of all of them.
    ends = pa.py_buffer(np.array([0, len(content)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(content)]).validate(full=True)
    except pa.ArrowInvalid:
        lines = enumerate(content.split(b"\n"), 1)
        line = next((number for number, text in lines if not _is_utf8(text)), 1)
        raise InputError(Problem("is not UTF-8 text; save it as CSV in UTF-8", f"{file}:{line}")) from None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_parquet(file: Path) -> _Table:
    """Return the plain columns of a Parquet file; others are left out, which the notes say."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    columns, left_out = {}, []
    try:
        with parquet.ParquetFile(file, memory_map=True) as opened:
            names = [name for name in opened.schema_arrow.names if not INDEX_COLUMN.fullmatch(name)]
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise InputError([Problem(f"has the column {name!r} twice", str(file)) for name in twice])
            for name in names:
                kind = opened.schema_arrow.field(name).type
                if pa.types.is_dictionary(kind):
                    kind = kind.value_type
                if pa.types.is_large_string(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind):
                    kind = pa.string()
                elif pa.types.is_decimal(kind) or pa.types.is_float16(kind):
                    kind = pa.float64()
                if pa.types.is_primitive(kind) or pa.types.is_string(kind):
                    column = pc.cast(opened.read([name]).column(0).combine_chunks(), kind)
                    column.validate(full=True)
                    if len(column) != opened.metadata.num_rows:
                        raise pa.ArrowInvalid(f"{len(column)} of {opened.metadata.num_rows} rows in {name!r}")
                    columns[name] = column
                else:
                    left_out.append(f"{name!r} ({plain(str(kind))})")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        message = f"is truncated, damaged or no Parquet file ({plain(str(error))}); write it again"
        raise InputError(Problem(message, str(file))) from None
    notes = [f"the data set leaves out columns that hold more than one value an image: {', '.join(left_out)}"]
    return _Table(file, columns, lambda row: f"{file}, row {row + 1}", is_text=False, notes=notes if left_out else [])


# --- From columns to what a data set gives ---


def _lacks(table: _Table, name: str) -> Problem:
    return Problem(f"has no column {name!r}; {did_you_mean(name, table.columns)}", str(table.file))


def _people(table: _Table, name: str) -> tuple[pa.Array, Array, tuple[str, ...]]:
    """Return the identities as texts, the label of each row, and the names in their order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.columns[name]
    if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)):
        message = f"column {name!r} holds {column.type}; it has to hold names or whole numbers"
        raise InputError(Problem(message, str(table.file)))
    encoded = column.dictionary_encode(null_encoding="encode")
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=lambda place: (values[place] is not None, values[place]))
    labels = np.argsort(order)[encoded.indices.to_numpy()]
    texts = pc.cast(column, pa.string()).fill_null("")
    return texts, labels, tuple("" if values[place] is None else str(values[place]) for place in order)


def _nobody(names: pa.Array) -> tuple[pa.Array, Array, tuple[str, ...]]:
    """Return the same where nobody knows whom the images show: each is somebody of its own."""
    import numpy as np

    return names, np.arange(len(names)), tuple(names.to_pylist())


def _one_way(names: pa.Array, root: str) -> pa.Array:
    """Return the paths as they are written in one way: without what leads back, and relative inside the root."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    is_odd = pc.match_substring_regex(names, ODD_PATH).to_numpy(zero_copy_only=False)
    if is_odd.any():
        plain_names = names.to_pylist()
        for row in np.flatnonzero(is_odd):
            plain_names[row] = os.path.normpath(plain_names[row])
        names = pa.array(plain_names, pa.string())
    start = os.path.join(os.path.normpath(root), "")  # noqa: PTH118 - the separator at its end counts
    inside = pc.utf8_slice_codeunits(names, len(start))
    return pc.if_else(pc.starts_with(names, start), inside, names)


def _empty(table: _Table, name: str, texts: pa.Array) -> list[Problem]:
    rows = _rows_where(_equal(texts, ""))
    problems = [
        Problem(f"has nothing in column {name!r}; fill it in or remove the row", table.place(row)) for row in rows
    ]
    return first_of(problems, f"and {{}} more rows with nothing in column {name!r}", str(table.file))


def _equal(texts: pa.Array, text: str) -> pa.Array:
    import pyarrow.compute as pc

    return pc.equal(pc.utf8_trim_whitespace(texts), text)


def _rows_where(is_true: pa.Array) -> list[int]:
    import numpy as np

    rows: list[int] = np.flatnonzero(is_true.to_numpy(zero_copy_only=False)).tolist()
    return rows


@dataclass(frozen=True)
class _LookedUp:
    """What the file system says of the images: int64 (N,) sizes in bytes and times of the last change, and faults."""

    sizes: Array
    times: Array
    missing: list[int]
    no_files: list[int]

    def problems(self, table: _Table, names: pa.Array, root: Path) -> Iterator[Problem]:
        """Yield one problem of the images that do not exist, and one of those that are something else."""
        kinds = (
            (self.missing, "does not exist", "do not exist"),
            (self.no_files, "is no ordinary file", "are no ordinary files"),
        )
        for rows, one, several in kinds:
            if rows:
                first = [f"{names[row].as_py()!r} ({table.place(row)})" for row in rows[:MAX_NAMED]]
                more = f" and {len(rows) - MAX_NAMED} more" if len(rows) > MAX_NAMED else ""
                backslashes = os.sep == "/" and any("\\" in names[row].as_py() for row in rows[:MAX_NAMED])
                hint = "write paths with / in place of \\" if backslashes else "set root if that is another folder"
                what = one if len(rows) == 1 else several
                yield Problem(
                    f"{len(rows)} of {len(names)} images {what}: {', '.join(first)}{more}; paths are relative to "
                    f"{root}, {hint}",
                    str(table.file),
                )


def _look_up(names: pa.Array, root: Path) -> _LookedUp:
    """Look up every image; those without a name are no fault of their own."""
    import numpy as np
    import pyarrow.compute as pc

    is_absolute = pc.match_substring_regex(names, ABSOLUTE_PATH)
    files = pc.if_else(is_absolute, names, pc.binary_join_element_wise(str(root), names, "/"))
    sizes, times = (np.zeros(len(names), np.int64) for _ in range(2))
    missing, no_files = [], []
    for row, file in enumerate(files.to_pylist()):
        try:
            status = os.stat(file)  # noqa: PTH116 - a million of Path take time
        except (OSError, ValueError):
            missing.append(row)
            continue
        if not stat.S_ISREG(status.st_mode):
            no_files.append(row)
        sizes[row], times[row] = status.st_size, status.st_mtime_ns
    is_named = pc.not_equal(names, "").to_numpy(zero_copy_only=False)
    return _LookedUp(sizes, times, *([row for row in rows if is_named[row]] for rows in (missing, no_files)))


def _twice(table: _Table, names: pa.Array) -> list[Problem]:
    """Return a problem for each row whose image another row has named."""
    import numpy as np
    import pyarrow.compute as pc

    encoded = names.dictionary_encode()
    if len(encoded.dictionary) == len(names):
        return []
    places = encoded.indices.to_numpy()
    first = np.unique(places, return_index=True)[1]
    is_named = pc.not_equal(names, "").to_numpy(zero_copy_only=False)
    again = np.setdiff1d(np.flatnonzero(is_named), first)
    problems = [
        Problem(
            f"names the image {names[row].as_py()!r} again, after {table.place(int(first[places[row]]))}; "
            "name each once",
            table.place(row),
        )
        for row in again.tolist()
    ]
    return first_of(problems, "and {} more rows that name an image again", str(table.file))


def _mistaken_landmarks(table: _Table) -> Iterator[Problem]:
    """Yield what is wrong with the names of columns that can only be meant as landmarks."""
    missing = [name for name in LANDMARKS if name not in table.columns]
    if missing and OF_LANDMARKS_ALONE & set(table.columns):
        yield Problem(f"lacks {', '.join(missing)} of the ten columns x1,y1 to x5,y5 of landmarks", str(table.file))
    if "landmarks" in table.columns:
        yield Problem("has a column 'landmarks'; these are ten columns, x1,y1 to x5,y5", str(table.file))


def _landmarks(table: _Table) -> tuple[Array | None, list[Problem]]:
    """Return landmarks float64 (N, 5, 2) if there are any, and the mistakes in them."""
    import numpy as np

    if LANDMARKS[0] not in table.columns or LANDMARKS[-1] not in table.columns:
        return None, []
    numbers, problems = [], []
    for name in LANDMARKS:
        values, faults = _coordinates(table, name)
        numbers.append(values)
        problems += faults
    problems.sort(key=operator.itemgetter(0))
    listed = first_of([problem for _, problem in problems], "and {} more landmarks that cannot be", str(table.file))
    return np.stack(numbers, axis=1).reshape(-1, 5, 2), listed


def _coordinates(table: _Table, name: str) -> tuple[Array, list[tuple[int, Problem]]]:
    """Return a column of landmarks, and the rows where it holds what no coordinate is."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    column, no_numbers = table.columns[name], []
    if pa.types.is_string(column.type):
        column = _filled(column)
        try:
            column = pc.cast(column, pa.float64())
        except pa.ArrowInvalid:
            is_number = pc.match_substring_regex(column, NUMBER)
            no_numbers = _rows_where(pc.invert(is_number).fill_null(False))
            column = pc.if_else(is_number, column, pa.scalar(None, pa.string()))
    values: Array = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    wrong = [
        *(
            (row, f"is {plain(table.columns[name][row].as_py())!r}, which is no number; write it as 12.5")
            for row in no_numbers
        ),
        *((row, "is infinite, which no place in an image is") for row in np.flatnonzero(np.isinf(values)).tolist()),
        *(
            (row, f"is {values[row]:g}, outside the image, whose left and upper edge are 0")
            for row in np.flatnonzero((values < 0) & np.isfinite(values)).tolist()
        ),
    ]
    return values, [(row, Problem(f"{name} {fault}", table.place(row))) for row, fault in wrong]


def _filled(texts: pa.Array) -> pa.Array:
    """Return texts with nothing in place of those that are empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _values(table: _Table, name: str) -> Array | None:
    """Return a column as numbers, truth values or texts; nothing, where its texts would fill the memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.columns[name]
    values: Array
    if not pa.types.is_string(column.type):
        # A whole number or a truth value that is not known has no place in an array of its kind.
        values = (pc.cast(column, pa.float64(), safe=False) if column.null_count else column).to_numpy(False)
        return values
    given = _filled(column)
    if table.is_text and given.null_count < len(given):
        try:
            numbers = pc.cast(given, pa.float64())
        except pa.ArrowInvalid:
            _note_of_texts(table, name, given)
        else:
            if not given.null_count:
                with suppress(pa.ArrowInvalid):  # they have fractions
                    numbers = pc.cast(given, pa.int64())
            values = numbers.to_numpy(zero_copy_only=False)
            return values
    return _array_of_texts(table, name, given.fill_null(""))


def _note_of_texts(table: _Table, name: str, given: pa.Array) -> None:
    """Note that a column holds texts, where most of its values are numbers, so that the others may be mistakes."""
    import pyarrow.compute as pc

    others = _rows_where(pc.invert(pc.match_substring_regex(given, NUMBER)).fill_null(False))
    filled = len(given) - given.null_count
    if others and 2 * len(others) <= filled:
        first = table.place(others[0]).removeprefix(f"{table.file.parent}{os.sep}")
        table.notes.append(
            f"column {name!r} counts as texts, since {len(others)} of {filled} values are no numbers; the first, "
            f"{plain(given[others[0]].as_py())!r}, is in {first}"
        )


def _array_of_texts(table: _Table, name: str, texts: pa.Array) -> Array | None:
    import numpy as np
    import pyarrow.compute as pc

    longest = pc.max(pc.utf8_length(texts)).as_py()
    if 4 * longest * len(texts) > MAX_COLUMN_BYTES:
        table.notes.append(f"the data set leaves out column {name!r}, whose longest text has {longest:,} letters")
        return None
    encoded = texts.dictionary_encode()
    values: Array = np.array(encoded.dictionary.to_pylist(), dtype=str)[encoded.indices.to_numpy()]
    return values


def _content(names: pa.Array, images: Sequence[Path], sizes: Array, times: Array) -> str:
    """Return what changes with the content of the images."""
    if len(images) <= MOST_IMAGES_READ and sizes.sum() <= MOST_BYTES_READ:
        return files_fingerprint(dict(zip(names.to_pylist(), images, strict=True)))
    digest = hashlib.sha256(sizes.tobytes() + times.tobytes())
    digest.update("\0".join(names.to_pylist()).encode())
    return digest.hexdigest()
