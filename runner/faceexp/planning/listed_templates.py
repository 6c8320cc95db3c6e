"""The templates that a list names, as rows of a data set: one for each image in each template.

A row is an image in a template. So an image that is in several templates has several rows, and nothing behind this
module has to know that an image may be in more than one.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from faceexp.arrays import AnyArray, IntArray
from faceexp.contract import FaceData, StoredImage, people_of_pairs
from faceexp.data.pairs_file import PairsFile
from faceexp.data.template_list import Named, TemplateList, one_id
from faceexp.data.templates import MEDIA
from faceexp.errors import MAX_LISTED, InputError, Problem, first_of
from faceexp.planning.image_names import ImageNames
from faceexp.store import content_of, digest

# Of a whole number that 64-bit floating-point numbers hold.
MOST_DIGITS = 15


class ChosenImages(Sequence[Path | StoredImage]):
    """Some of the images of a data set, maybe one several times.

    Attributes:
        rows: int (M,), their places among all images of the data set.
    """

    def __init__(self, images: Sequence[Path | StoredImage], rows: IntArray) -> None:
        self._images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Path | StoredImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path | StoredImage]: ...
    def __getitem__(self, index: int | slice) -> Path | StoredImage | Sequence[Path | StoredImage]:
        if isinstance(index, slice):
            return ChosenImages(self._images, self.rows[index])
        return self._images[int(self.rows[operator.index(index)])]


def with_template_list(
    data: FaceData, listed: TemplateList | None, pairs: PairsFile | None, column: str | None
) -> FaceData:
    """Return the data with the templates and media of a list as columns; as they are, if there is no list.

    Images that are not in the list are templates of their own. Where the data do not know people, those of the list
    count, or else those that pairs of one person join; then images that are not in the list show nobody, and are left
    out.

    Args:
        data: The data.
        listed: The list of templates.
        pairs: The pairs of templates that are judged, if a list names them.
        column: What the column of templates is called.

    Raises:
        InputError: With every line whose image the data lack, or whose template shows several people.
    """
    if listed is None or column is None:
        return data
    names = ImageNames(data)
    image = _images_of(data, listed, names)
    in_none = np.setdiff1d(np.arange(len(data.labels)), image) if data.people_known else np.empty(0, np.int64)
    rows = np.concatenate([image, in_none])
    if data.people_known:
        labels, identities, are_known = data.labels[rows], data.identities, True
        _check_people(data, listed, image)
    else:
        people, identities, are_known = _people_of(listed, pairs)
        labels = people.astype(np.int32)
    columns: dict[str, AnyArray] = {name: values[rows] for name, values in data.columns.items()}
    columns[column] = _values(listed.templates, len(in_none))
    if any(listed.media.names):
        columns[MEDIA] = _values(listed.media, len(in_none))
    of_list = [(part.names, content_of(part.number)) for part in (listed.templates, listed.media)]
    images = data.images[rows] if isinstance(data.images, np.ndarray) else ChosenImages(data.images, rows)
    return dataclasses.replace(
        data,
        images=images,
        labels=labels,
        identities=identities,
        fingerprint=digest([data.fingerprint, content_of(rows), content_of(labels), of_list]),
        notes=(*data.notes, *_notes(data, image)),
        columns=columns,
        pairs=None,
        people_known=are_known,
    )


def without_repetition(data: FaceData, rows: IntArray) -> IntArray:
    """Return of some rows the first of each image, since a list may have put one into several templates."""
    if not isinstance(data.images, ChosenImages):
        return rows
    _, first = np.unique(data.images.rows[rows], return_index=True)
    return rows[np.sort(first)]


def _values(named: Named, others: int) -> AnyArray:
    """Return what each line says, and nothing for each of the images that no line names.

    Ids that are whole numbers become such, since a million of texts take long to compare.
    """
    if all(_is_number(name) for name in named.names):
        values = np.array([int(name) for name in named.names], np.int64)[named.number]
        return np.concatenate([values, np.full(others, np.nan)]) if others else values
    return np.concatenate([np.array(named.names, np.str_)[named.number], np.zeros(others, np.str_)])


def _is_number(name: str) -> bool:
    """Return whether a name is a whole number in its one form that floating-point numbers hold, too."""
    return name == one_id(name) and name.isascii() and name.isdigit() and len(name) < MOST_DIGITS


def _notes(data: FaceData, image: IntArray) -> Iterator[str]:
    """Yield how many images are in several templates, and how many are in none."""
    different, lines = np.unique(image, return_counts=True)
    if several := int(np.count_nonzero(lines > 1)):
        yield f"{_images(several)} in several templates, decoded and embedded for each of them"
    in_none = len(data.labels) - len(different)
    if in_none:
        what = (
            ", each a template of its own" if data.people_known else " and left out, since nobody knows whom it shows"
        )
        yield f"{_images(in_none)} not in the list of templates{what}"


def _images(count: int) -> str:
    return f"{count:,} images are" if count != 1 else "1 image is"


# --- From names of images to those of the data ---


def _images_of(data: FaceData, listed: TemplateList, names: ImageNames) -> IntArray:
    """Return the image of each line."""
    of_name = np.fromiter(map(names.only, listed.images.names), np.int64, len(listed.images.names))
    image: IntArray = of_name[listed.images.number]
    unclear = np.flatnonzero(image < 0)
    if listed.subjects and data.people_known:
        # A photo may show several people, of each of whom the data have a crop of the same name.
        people = {one_id(name): person for person, name in enumerate(data.identities)}
        for row in unclear.tolist():
            person = people.get(listed.subjects.names[listed.subjects.number[row]])
            matching = names.find(listed.images.names[listed.images.number[row]])
            of_person = [each for each in matching if data.labels[each] == person]
            image[row] = of_person[0] if len(of_person) == 1 else -1
        unclear = np.flatnonzero(image < 0)
    problems = []
    for row in unclear[:MAX_LISTED].tolist():
        name = listed.images.names[listed.images.number[row]]
        message = names.several(name, images) if (images := names.find(name)) else names.missing(name)
        problems.append(Problem(message, listed.place(row)))
    if problems:
        raise InputError(first_of(problems, "and {} more lines", listed.files[0], len(unclear)))
    return image


# --- From templates to people ---


def _check_people(data: FaceData, listed: TemplateList, image: IntArray) -> None:
    """Refuse templates that show several people."""
    problems = listed.conflicts(data.labels[image], data.identities)
    if problems:
        raise InputError(problems)


def _people_of(listed: TemplateList, pairs: PairsFile | None) -> tuple[IntArray, tuple[str, ...], bool]:
    """Return the person of each line, what people are called, and whether they are people."""
    if listed.subjects:
        return listed.subjects.number, listed.subjects.names, True
    if pairs is None or pairs.same is None:
        message = (
            "does not say whom the templates show, nor do the data or the pairs; name a list with a column SUBJECT_ID, "
            "or pairs with 1 or 0 behind them"
        )
        raise InputError(Problem(message, listed.files[0]))
    places = {name: place for place, name in enumerate(listed.templates.names)}
    of_pair = np.array([places[name] for name, _ in pairs.images], np.int64)
    people = people_of_pairs(of_pair[pairs.rows[pairs.same]], np.ones(int(pairs.same.sum()), bool), len(places))
    names = tuple(f"unknown {number + 1}" for number in range(int(people.max()) + 1))
    return people[listed.templates.number], names, False
