"""Images and labels in a NumPy archive as a faceexp plugin."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from faceexp.contract import DatasetPlugin, FaceData, InputFile, option, readable_name, user_path
from faceexp.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MEGABYTE = 10**6
MAX_COMPARED = 100
# Of Unicode. Surrogates are halves of characters, which no text has alone.
LAST_CHARACTER, FIRST_SURROGATE, LAST_SURROGATE = 0x10FFFF, 0xD800, 0xDFFF


class Npz(DatasetPlugin):
    """Images and labels in one .npz file, as numpy.savez writes it.

    ``images`` is uint8 (N, H, W) or (N, H, W, 3). ``labels`` (N,) holds the identity of each image, as text or as whole
    numbers. ``identities`` (C,) is optional: names, whose indices the labels then are; names without an image are left
    out. Other arrays are ignored. Nothing pickled is read, and sizes are checked before anything is unpacked.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "A file of the user"

    path: InputFile = option(..., "The file; relative to the experiment file, ~ is your home.")
    max_megabytes: int = option(2000, "Refuse a file whose arrays take more memory than this.", unit="megabytes", ge=1)

    def build(self, seed: int) -> FaceData:
        """Return the arrays of the file.

        Raises:
            InputError: The file is missing, damaged or too large, or its arrays are not as they have to be.
        """
        path = user_path(self.path)
        if not path.is_file():
            kind = "is not an ordinary file" if path.exists() else "no such file"
            raise InputError(Problem(f"{kind}; give one that numpy.savez wrote", where=self.path))
        try:
            arrays = _read(path, self.max_megabytes * MEGABYTE)
            images, (labels, identities) = arrays["images"], _people(arrays)
        except _WrongError as error:
            raise InputError(Problem(str(error), where=self.path)) from None
        except OSError as error:
            raise InputError(Problem(f"cannot be read: {error.strerror or error}", where=self.path)) from error
        except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            message = f"is damaged or no .npz file ({error}); write it with numpy.savez"
            raise InputError(Problem(message, where=self.path)) from error
        digest = hashlib.sha256(repr((images.shape, labels.tolist(), identities)).encode())
        digest.update(images.reshape(-1).data)
        return FaceData(
            images, labels, identities, digest.hexdigest(), self.licence, f"file {readable_name(path.name)}"
        )


class _WrongError(ValueError):
    """The file is not what it has to be; says what to do."""


def _read(path: Path, limit: int) -> dict[str, Array]:
    """Return the arrays by name, after a look at the headers of all of them."""
    import numpy as np

    with zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        missing = [name for name in ("images", "labels") if name not in members]
        if missing:
            # Hints are for people: of thousands of names none is worth the time to find the nearest.
            few = len(members) <= MAX_COMPARED
            hint = did_you_mean(missing[0], members) if few else f"it has {len(members):,} others"
            hint = hint or "it is empty"
            raise _WrongError(f"has no array {missing[0]!r}; {hint}")
        wanted = {name: members[name] for name in ("images", "labels", "identities") if name in members}
        total = sum(_checked_size(archive, name, member) for name, member in wanted.items())
        if total > limit:
            raise _WrongError(
                f"its arrays take {math.ceil(total / MEGABYTE):,} megabytes of memory, more than the "
                f"{limit // MEGABYTE:,} that are allowed; raise max_megabytes if that is right"
            )
        arrays: dict[str, Array] = {}
        for name, member in wanted.items():
            with archive.open(member) as file:
                array = np.ascontiguousarray(np.lib.format.read_array(file, allow_pickle=False))
            if array.dtype.kind == "U":
                _check_characters(name, array)
            arrays[name] = array
        return arrays


def _check_characters(name: str, texts: Array) -> None:
    """Refuse numbers in place of characters that Unicode does not have, on which Python itself fails."""
    import numpy as np

    codes = texts.view(np.dtype(np.uint32).newbyteorder(texts.dtype.byteorder))
    if ((codes > LAST_CHARACTER) | ((codes >= FIRST_SURROGATE) & (codes <= LAST_SURROGATE))).any():
        raise _WrongError(f"{name} holds characters that are none; the file is damaged, so write it again")


def _checked_size(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> int:
    """Return the bytes that an array takes in memory, if type and shape in its header are right."""
    import numpy as np

    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        size: int = math.prod(shape) * dtype.itemsize
        # A header that promises more than there is would reserve the memory before that shows.
        if not dtype.hasobject and file.tell() + size != member.file_size:
            raise _WrongError(
                f"is damaged: the array {name!r} is {member.file_size:,} bytes long, not as its header says"
            )
    if dtype.hasobject:
        raise _WrongError(f"{name} holds Python objects, which are pickled and not read; save it as {_KINDS[name]}")
    if dtype.kind not in {"images": "u", "labels": "iuU", "identities": "U"}[name] or (
        name == "images" and dtype != np.uint8
    ):
        raise _WrongError(f"{name} is {dtype.name}; save it as {_KINDS[name]}")
    right = len(shape) in (3, 4) and (len(shape) == 3 or shape[3] == 3) if name == "images" else len(shape) == 1
    if not right or 0 in shape:
        raise _WrongError(f"{name} has shape {shape}; it has to be {_SHAPES[name]}, none of these zero")
    return size


_KINDS = {
    "images": "uint8, grey values or colours from 0 to 255",
    "labels": "an array of whole numbers or of text, as np.array(labels, dtype=str) makes it",
    "identities": "an array of text, as np.array(identities, dtype=str) makes it",
}
_SHAPES = {"images": "(N, H, W) or (N, H, W, 3)", "labels": "(N,)", "identities": "(C,)"}


def _people(arrays: dict[str, Array]) -> tuple[Array, tuple[str, ...]]:
    """Return labels int32 (N,), from 0 without gaps, and the names of the identities."""
    import numpy as np

    given, count = arrays["labels"], len(arrays["images"])
    if len(given) != count:
        raise _WrongError(f"has {len(given)} labels for {count} images; it needs one each")
    found, labels = np.unique(given, return_inverse=True)
    names = [str(name) for name in found]
    if "identities" in arrays:
        known = [str(name) for name in arrays["identities"]]
        if given.dtype.kind == "U":
            raise _WrongError("labels are text although there are identities; give their indices, or no identities")
        if found[0] < 0 or found[-1] >= len(known):
            wrong = found[0] if found[0] < 0 else found[-1]
            raise _WrongError(f"has a label {wrong} for {len(known)} identities; labels count them from 0")
        twice = sorted(name for name, count in Counter(known).items() if count > 1)
        if twice:
            raise _WrongError(f"two identities are called {twice[0]!r}; give each person one name")
        names = [known[index] for index in found]
    if not all(names):
        raise _WrongError("an identity has an empty name; give each person one")
    if len(names) < 2:
        raise _WrongError("shows one identity, but a comparison of faces needs two or more")
    return labels.astype(np.int32), tuple(names)
