"""InsightFace's verification sets (lfw.bin, cfp_fp.bin, agedb_30.bin) as a faceexp plugin."""

from __future__ import annotations

import hashlib
import mmap
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from faceexp.contract import (
    DatasetPlugin,
    FaceData,
    FacePairs,
    InputFile,
    StoredImage,
    option,
    people_of_pairs,
    readable_name,
    user_path,
)
from faceexp.errors import InputError, Problem, near, printable
from faceexp.files import MAX_IMAGE_BYTES, check_file, explain_os_error

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# All images of a file are in memory until they are decoded; the sets that are handed out have 70 to 300 megabytes.
MAX_FILE_BYTES = 2**31
# What lists of bytes, of truth values and of arrays of these are written with. Nothing else is carried out.
OPCODES = frozenset(
    """
    PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT LONG LONG1 BININT BININT1 BININT2
    STRING SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
    UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
    LIST EMPTY_LIST APPEND APPENDS TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
    """.split()  # noqa: SIM905 - easier to read
)
UNKNOWN = (
    "the data set does not say whom its images show: those that pairs of one person join count as one unknown person, "
    "all others as one each"
)
WANTED = "it has to hold a list of images as bytes and a list of whether each two of them show one person"


class InsightfaceBin(DatasetPlugin):
    """Pairs of images in one file, as InsightFace hands out its verification sets: lfw.bin, cfp_fp.bin, agedb_30.bin.

    Such a file is a pickle of a list of images and of a list of truth values, one for each two images in a row. It is
    read without running anything that it holds: whatever is no list, text, number, bytes or array of bytes is refused.
    MXNet is not needed. ``kind = "pairs_file"`` without ``path`` judges these pairs in folds of equal size, in their
    order, as InsightFace does. An image is called ``pair 12, first``, and is one image however often it occurs.

    The file does not say whom the images show. Images that pairs of one person join count as one unknown person, all
    others as one each, so that nobody can be trained on: measure a model that exists, or use the file as a test set.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "Verification set of the user"

    path: InputFile = option(..., "The .bin file; relative to the experiment file.")
    folds: int = option(10, "Folds, each of which takes its threshold from the others.", unit="folds", ge=2, le=1000)

    def build(self, seed: int) -> FaceData:
        """Return the images, each once, and their pairs.

        Raises:
            InputError: The file is missing, cut off, or holds something else.
        """
        import numpy as np

        path = user_path(self.path)
        images, same = _content(path)
        if len(same) < self.folds:
            raise _problem(path, f"has {len(same)} pairs, too few for {self.folds} folds; ask for fewer folds")
        # Equal images are one image. Comparing bytes takes no longer than making digests of them.
        first_of: dict[bytes, int] = {}
        place = np.array([first_of.setdefault(image, number) for number, image in enumerate(images)])
        first, rows = np.unique(place, return_inverse=True)
        rows = rows.reshape(-1, 2)
        labels = people_of_pairs(rows, same, len(first))
        against = np.flatnonzero((labels[rows[:, 0]] == labels[rows[:, 1]]) != same)
        if len(against):
            message = (
                f"pair {against[0] + 1} is said to show two people, but other pairs say that its images show one; "
                f"{len(against)} of {len(same)} pairs contradict others"
            )
            raise _problem(path, message)
        fold = np.repeat(np.arange(self.folds), [len(part) for part in np.array_split(same, self.folds)])
        digest = hashlib.sha256(rows.tobytes() + same.tobytes() + fold.tobytes())
        for number in first.tolist():
            digest.update(hashlib.sha256(images[number]).digest())
        return FaceData(
            images=[_stored(number, images[number]) for number in first.tolist()],
            labels=labels,
            identities=tuple(f"unknown {number + 1}" for number in range(labels.max() + 1)),
            fingerprint=digest.hexdigest(),
            licence=self.licence,
            source=f"file {readable_name(path.name)}",
            notes=tuple(_notes(rows, len(images))),
            pairs=FacePairs(rows, same, fold),
            people_known=False,
        )


def _stored(number: int, content: bytes) -> StoredImage:
    return StoredImage(f"pair {number // 2 + 1}, {('first', 'second')[number % 2]}", lambda: content)


def _notes(rows: Array, images: int) -> list[str]:
    distinct = len(set(rows.ravel().tolist()))
    notes = [UNKNOWN]
    if distinct < images:
        notes.append(f"the data set holds {images} images, {distinct} of which are different")
    twice = int((rows[:, 0] == rows[:, 1]).sum())
    if twice:
        notes.append(f"the data set compares an image with itself in {twice} pairs")
    return notes


def _problem(path: Path, message: str) -> InputError:
    return InputError(Problem(message, str(path)))


# --- What the file holds ---


def _content(path: Path) -> tuple[list[bytes], Array]:
    """Return the images, two for each pair, and for each pair whether it shows one person, bool (P,)."""
    import numpy as np

    pickled = _unpickled(path)
    if not isinstance(pickled, list | tuple) or len(pickled) != 2:
        raise _problem(path, f"holds {_kind(pickled)}; {WANTED}")
    pictures, truths = pickled
    if not isinstance(pictures, list | tuple):
        raise _problem(path, f"holds {_kind(pictures)} in place of the images; {WANTED}")
    if isinstance(truths, Numbers):
        truths = truths.truths()
    if not isinstance(truths, list | tuple):
        raise _problem(path, f"holds {_kind(truths)} in place of truth values; {WANTED}")
    if len(pictures) % 2 or len(truths) * 2 != len(pictures) or not truths:
        count = f"{len(pictures)} image{'s' if len(pictures) != 1 else ''}"
        message = f"holds {count} and {len(truths)} truth values; each pair needs two images and one truth value"
        raise _problem(path, f"{message}; the file is incomplete")
    images: list[bytes] = []
    for number, picture in enumerate(pictures):
        content = picture.encoded() if isinstance(picture, Numbers) else picture
        if not isinstance(content, bytes) or not content:
            what = "nothing" if content == b"" else _kind(picture)
            raise _problem(path, f"image {number % 2 + 1} of pair {number // 2 + 1} is {what}; {WANTED}")
        if len(content) > MAX_IMAGE_BYTES:
            size = f"{len(content):,} bytes; {MAX_IMAGE_BYTES:,} are the most that are read"
            raise _problem(path, f"image {number % 2 + 1} of pair {number // 2 + 1} has {size}")
        images.append(content)
    wrong = next((number for number, truth in enumerate(truths) if not isinstance(truth, bool)), None)
    if wrong is not None:
        raise _problem(path, f"truth value {wrong + 1} is {_kind(truths[wrong])}; {WANTED}")
    return images, np.array(truths, bool)


def _kind(value: object) -> str:
    if isinstance(value, Numbers):
        return value.kind
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of the type {type(value).__name__}"


# --- A pickle of which nothing is carried out ---


class _RefusedError(Exception):
    """A pickle holds something that no list of images needs."""


def _unpickled(path: Path) -> object:
    """Return what a pickle holds, with :class:`Numbers` in place of arrays.

    Raises:
        InputError: It is missing, cut off or too large, or it holds anything but lists, bytes, numbers and arrays.
    """
    try:
        check_file(path, MAX_FILE_BYTES)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _look_through(content)
            content.seek(0)
            return _Unpickler(content).load()
    except FileNotFoundError:
        raise _problem(path, f"no such file; {near(path) or 'give the .bin file'}") from None
    except OSError as error:
        raise _problem(path, explain_os_error(error)) from error
    except _RefusedError as error:
        raise _problem(path, f"holds {printable(str(error))[:100]}, so it was not opened; {WANTED}") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise _problem(path, f"is cut off, damaged or no pickle ({printable(str(error))[:100]}); {WANTED}") from error


def _look_through(content: mmap.mmap) -> None:
    """Refuse a pickle with steps that no list of images needs, or with lengths that the file does not have.

    Whoever carries a pickle out believes the lengths that it promises and sets memory aside for them.
    """
    # A file would set the promised memory aside to read it; what is mapped reads what is there, and mypy knows no such.
    for steps, (opcode, argument, _) in enumerate(pickletools.genops(content), 1):  # type: ignore[arg-type]
        if opcode.name not in OPCODES:
            raise _RefusedError(f"a step {opcode.name!r}")
        if not isinstance(argument, int):
            continue
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > steps:
            raise _RefusedError(f"{argument:,} as the number of a value, of which there are {steps:,} at most")
        if opcode.name == "FRAME" and argument > len(content):
            raise ValueError(f"{argument:,} bytes are promised, the file has {len(content):,}")


class _Unpickler(pickle.Unpickler):
    """Reads a pickle; in place of the few functions that one of images may name, ours are called."""

    def __init__(self, content: mmap.mmap) -> None:
        super().__init__(content, encoding="bytes")
        # A pickle may name one text again and again, to have it copied until the memory is full.
        self._may_copy = len(content)
        self._known = {
            ("_codecs", "encode"): Stand(self._encoded),
            ("numpy", "ndarray"): Stand(lambda *_: None),
            ("numpy", "dtype"): Stand(NumberType),
            ("numpy.core.multiarray", "_reconstruct"): Stand(lambda *_: Numbers()),
            ("numpy.core.multiarray", "scalar"): Stand(_scalar),
            ("numpy.core.numeric", "_frombuffer"): Stand(self._array_of),
        }

    def find_class(self, module: str, name: str) -> object:
        """Return what stands for a function or class, or refuse it."""
        # NumPy 2 has renamed its inner module.
        known = self._known.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise _RefusedError(f"{module}.{name}")
        return known

    def _encoded(self, text: object, encoding: object) -> bytes:
        """Stand for ``_codecs.encode``, with which Python 3 writes bytes for Python 2."""
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
            raise _RefusedError("a text in place of bytes")
        self._count(len(text))
        return text.encode("latin1")

    def _array_of(self, content: object, kind: object, shape: object, _: object) -> Numbers:
        """Stand for ``numpy.core.numeric._frombuffer``, with which protocol 5 writes arrays."""
        if isinstance(content, bytearray):
            self._count(len(content))
            content = bytes(content)
        return Numbers().taken(kind, shape, content)

    def _count(self, size: int) -> None:
        self._may_copy -= size
        if self._may_copy < 0:
            raise _RefusedError("copies that are larger than the file")


class Numbers:
    """An array or a number of NumPy, as the bytes that a pickle holds of it."""

    def __init__(self) -> None:
        self.type, self.content = "?", b""
        self.shape: tuple[object, ...] = ()

    def __setstate__(self, state: object) -> None:
        """Take what NumPy writes of an array: version, shape, type, order of the axes, content."""
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _RefusedError("an array that NumPy has not written")
        self.taken(state[2], state[1], state[4])

    def taken(self, kind: object, shape: object, content: object) -> Numbers:
        """Take type, shape and bytes; return itself."""
        if not (isinstance(kind, NumberType) and isinstance(shape, tuple) and isinstance(content, bytes)):
            raise _RefusedError("an array of objects")
        self.type, self.shape, self.content = kind.name, shape, content
        return self

    @property
    def kind(self) -> str:
        """What it is, in words."""
        name = {"u1": "bytes", "b1": "truth values"}.get(self.type, f"numbers {self.type!r}")
        return f"an array of {' x '.join(map(str, self.shape))} {name}"

    def encoded(self) -> bytes | None:
        """Return the bytes of an encoded image, which are one row or one column of uint8; nothing if it is none."""
        is_row = sum(side != 1 for side in self.shape) <= 1
        return self.content if self.type == "u1" and is_row else None

    def truths(self) -> list[bool] | Numbers:
        """Return an array of truth values as a list; itself if it is none."""
        is_row = len(self.shape) == 1 and self.type in ("b1", "u1") and set(self.content) <= {0, 1}
        return [bool(truth) for truth in self.content] if is_row else self


class NumberType:
    """A type of NumPy's numbers, by its name: ``u1`` (bytes) or ``b1`` (truth values)."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else str(name)

    def __setstate__(self, _: object) -> None:
        """Ignore byte order and alignment, which one byte has not."""


class Stand:
    """What stands for a function that a pickle may name; it can be called and nothing else."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        """Return what the pickle goes on with."""
        return self._function(*arguments)

    def __setstate__(self, _: object) -> None:
        """Refuse to be changed."""
        raise _RefusedError("a change of a function")


def _scalar(kind: object, content: object) -> bool:
    """Stand for ``numpy.core.multiarray.scalar``: one truth value."""
    if not (isinstance(kind, NumberType) and kind.name == "b1" and content in (b"\0", b"\1")):
        raise _RefusedError("a number in place of a truth value")
    return content == b"\1"
