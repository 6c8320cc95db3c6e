"""What a data set has to give: whatever a plugin's ``build`` returns is looked at once, before anything uses it."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from faceexp.arrays import BoolArray, IntArray
from faceexp.contract import FaceData, FacePairs, StoredImage
from faceexp.files import readable_name

# So many names are given where several things are wrong in the same way.
MAX_NAMED = 3
# So many items of a sequence that makes them are looked at.
MOST_MADE = 1000
# Of NumPy: truth values, whole numbers, floating-point numbers, texts.
COLUMN_KINDS = "biufU"
# Of a face: eyes, nose, corners of the mouth; x and y.
LANDMARKS = (5, 2)


def mistakes_of(faces: object) -> list[str]:
    """Return what is wrong with what a data set plugin has built; nothing, where it is as :class:`FaceData` says."""
    if not isinstance(faces, FaceData):
        return [f"build returned {_kind(faces)}, not FaceData"]
    mistakes = [*_of_images(faces.images), *_of_identities(faces.identities), *_of_notes(faces.notes)]
    for name in ("fingerprint", "licence", "source"):
        text = getattr(faces, name)
        if not isinstance(text, str):
            mistakes.append(f"{name} is {_kind(text)}, not a text")
        elif not text.strip() or not _is_writable(text):
            mistakes.append(f"{name} is {text!r}, which is no text that says something")
    # Labels are compared with the images and identities, so these have to be right first.
    return mistakes or [*_of_labels(faces), *_of_columns(faces)] or list(_of_pairs(faces))


def _of_images(images: object) -> Iterable[str]:
    if isinstance(images, np.ndarray) and images.dtype != object:
        if images.dtype != np.uint8:
            yield f"images are {images.dtype}, not uint8"
        elif not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)) or 0 in images.shape:
            yield f"images have the shape {images.shape}, not (N, H, W) or (N, H, W, 3), none of these zero"
    elif not isinstance(images, Sequence) or isinstance(images, str | bytes):
        yield f"images are {_kind(images)}, not a list of paths or stored images, nor a uint8 array"
    elif not images:
        yield "there are no images"
    else:
        # A sequence of its own kind makes its items when they are asked for, of which there may be millions.
        numbers = range(0, len(images), 1 if isinstance(images, list | tuple) else max(1, len(images) // MOST_MADE))
        wrong = next((number for number in numbers if not isinstance(images[number], Path | StoredImage)), None)
        if wrong is not None:
            kind = _kind(images[wrong])
            yield f"image {wrong} is {kind}, not a pathlib.Path or a StoredImage; only a uint8 array holds pixels"


def _of_identities(identities: object) -> Iterable[str]:
    if not isinstance(identities, tuple):
        yield f"identities are {_kind(identities)}, not a tuple of texts"
        return
    wrong = [name for name in identities if not isinstance(name, str)]
    if wrong:
        yield f"an identity is {_kind(wrong[0])}, not a text"
        return
    nameless = next((name for name in identities if not name or not _is_writable(name)), None)
    if nameless is not None:
        yield f"an identity is called {nameless!r}, which is no name; see faceexp.contract.readable_name for bytes"
    twice = [name for name, count in Counter(identities).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1} others also" if len(twice) > 1 else ""
        yield f"several identities are called {twice[0]!r}{more}; each needs a name of its own"


def _of_notes(notes: object) -> Iterable[str]:
    if not (isinstance(notes, tuple) and all(isinstance(note, str) and _is_writable(note) for note in notes)):
        yield "notes are not a tuple of texts"


def _of_labels(faces: FaceData) -> Iterable[str]:
    labels: object = faces.labels
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        kind = f"an array of {labels.dtype}" if isinstance(labels, np.ndarray) else _kind(labels)
        yield f"labels are {kind}, not an array of whole numbers"
    elif labels.shape != (len(faces.images),):
        yield f"labels have the shape {labels.shape} for {len(faces.images)} images; each image needs one"
    elif labels.min() < 0 or labels.max() >= len(faces.identities):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        yield f"there is a label {wrong} for {len(faces.identities)} identities; labels count them from 0"


def _of_columns(faces: FaceData) -> Iterable[str]:
    columns: object = faces.columns
    if not isinstance(columns, Mapping):
        yield f"columns are {_kind(columns)}, not arrays by name"
        return
    for name, column in columns.items():
        if not (isinstance(name, str) and name.strip() and _is_writable(name)):
            yield f"a column is called {name!r}, which is no name"
        elif not isinstance(column, np.ndarray) or column.dtype.kind not in COLUMN_KINDS:
            kind = f"an array of {column.dtype}" if isinstance(column, np.ndarray) else _kind(column)
            yield f"column {name!r} is {kind}, not an array of numbers, truth values or texts"
        else:
            wanted = (len(faces.images), *LANDMARKS) if name == "landmarks" else (len(faces.images),)
            if column.shape != wanted:
                yield f"column {name!r} has the shape {column.shape}, not {wanted}"


def _of_pairs(faces: FaceData) -> Iterable[str]:
    pairs: object = faces.pairs
    if pairs is None:
        # A list of templates, which comes later, may tell more of images that are nobody's yet.
        if not faces.people_known and len(faces.identities) < len(faces.images):
            yield "neither people nor pairs are known, so there is nothing to judge"
        return
    if not isinstance(pairs, FacePairs):
        yield f"pairs are {_kind(pairs)}, not FacePairs"
        return
    wanted = {"rows": (np.integer, 2), "same": (np.bool_, 1), "fold": (np.integer, 1)}
    for name, (kind, dimensions) in wanted.items():
        array: object = getattr(pairs, name)
        if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind) or array.ndim != dimensions:
            yield f"{name} of the pairs is no array ({'P, 2' if dimensions == 2 else 'P,'}) of {kind.__name__}"
            return
    count = len(pairs.rows)
    if not count or pairs.rows.shape[1] != 2 or not len(pairs.same) == len(pairs.fold) == count:
        shapes = f"{pairs.rows.shape}, {pairs.same.shape} and {pairs.fold.shape}"
        yield f"rows, same and fold of the pairs have the shapes {shapes}, not (P, 2), (P,) and (P,)"
    elif pairs.rows.min() < 0 or pairs.rows.max() >= len(faces.images):
        yield f"pairs name images {pairs.rows.min()} to {pairs.rows.max()}, but there are {len(faces.images)}"
    elif pairs.fold.min() != 0 or len(np.unique(pairs.fold)) != pairs.fold.max() + 1:
        yield "the folds of the pairs do not count from 0 without gaps"
    elif len(against := contradictions(faces.labels, pairs.rows, pairs.same)):
        more = f"; {len(against) - 1} more pairs are like it" if len(against) > 1 else ""
        yield f"pair {against[0] + 1} {contradiction(faces, pairs.rows[against[0]])}{more}"


def contradictions(labels: IntArray, rows: IntArray, same: BoolArray) -> IntArray:
    """Return which pairs say of two images that they show one person, or two, where their labels say the opposite.

    There must be none, so that whoever asks the labels whether a pair is similar gets what the list says.
    """
    return np.flatnonzero((labels[rows[:, 0]] == labels[rows[:, 1]]) != same)


def contradiction(faces: FaceData, images: IntArray) -> str:
    """Return what is wrong with a pair of which a list and the identities say opposite things."""
    first, second = (int(image) for image in images)
    if faces.labels[first] != faces.labels[second]:
        said = f"one person, but the images are {image_name(faces, first)} and {image_name(faces, second)}"
    elif first == second:
        said = f"two people, but both images are {file_of(faces, first)}"
    else:
        names = f"{file_of(faces, first)} and {file_of(faces, second)}"
        said = f"two people, but {names} both show {faces.identities[faces.labels[first]]!r}"
        if not faces.people_known:
            said = f"two people, but pairs of one person join {names}"
    return f"is said to show {said}"


def _kind(value: object) -> str:
    return "None" if value is None else f"of the type {type(value).__name__}"


def _is_writable(text: str) -> bool:
    """Return whether a text can be written as UTF-8; one made of the bytes of an old file name cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_form(text: str) -> str:
    """Return a name in the one form of Unicode that lists and file systems are compared in."""
    return unicodedata.normalize("NFC", text)


def alike_form(name: str) -> str:
    """Return a name without what differs in names that are alike."""
    return unicodedata.normalize("NFKC", name).casefold().strip(" .")


def names_alike(identities: Iterable[str]) -> list[list[str]]:
    """Return the names that differ only in upper and lower case, in the form of Unicode, or in spaces around them."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in identities:
        groups[alike_form(name)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def images_of_people(data: FaceData) -> list[IntArray]:
    """Return the images of each identity, in the order of the data set."""
    ends = np.cumsum(np.bincount(data.labels, minlength=len(data.identities)))
    return np.split(np.argsort(data.labels, kind="stable"), ends[:-1])


def path_of(data: FaceData, image: int) -> PurePath | None:
    """Return the path of an image's file, or its name inside a larger file; nothing where it has none."""
    source = data.images[image]
    if isinstance(source, Path):
        return source
    return PurePosixPath(source.name) if isinstance(source, StoredImage) else None


def place_of(data: FaceData, image: int) -> str:
    """Return where an image is: the whole path of its file, or its place in the data set."""
    return str(path_of(data, image) or f"image {image}")


def file_of(data: FaceData, image: int) -> str:
    """Return what a reader knows an image of a person by: its file, or its place in the data set."""
    path = path_of(data, image)
    return readable_name(path.name) if path else f"image {image}"


def image_name(data: FaceData, image: int) -> str:
    """Return what a reader knows an image by: its person, and its file or its place in the data set."""
    return f"{data.identities[data.labels[image]]}/{file_of(data, image)}"


def some(names: list[str]) -> str:
    """Return the first few of some names or sentences, and how many more there are."""
    more = [f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return ", ".join(names[:MAX_NAMED]) + (f" and {more[0]}" if more else "")
