"""The pairs that a list names, as images of the data set."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import FaceData, user_path
from faceexp.data.face_data import (
    contradiction,
    contradictions,
    file_of,
    images_of_people,
    one_form,
    path_of,
    place_of,
    some,
)
from faceexp.data.pairs_file import NO_NUMBER, PairsFile
from faceexp.data.splits import Split
from faceexp.data.template_list import one_id
from faceexp.errors import MAX_LISTED, InputError, did_you_mean, first_of
from faceexp.experiment.evaluation import TEMPLATE
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.sets import SetProtocol
from faceexp.files import at_home
from faceexp.planning.groups import is_known, missing_column
from faceexp.planning.image_names import ImageNames
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.planning.templates import Members, text_of_value
from faceexp.values import Note

# What a file is called: the numbers in its name that may be the image's.
Candidates = tuple[int, ...]


def pairs_to_judge(
    data: FaceData, protocol: Protocol | SetProtocol, pairs: PairsFile | None, column: str | None = None
) -> list[IntArray]:
    """Return for each fold the images of the pairs that a protocol judges, int (P, 2); nothing if it lists none.

    Args:
        data: The data.
        protocol: The protocol.
        pairs: The list that it names.
        column: The column whose values are templates, which a list may name.

    Raises:
        UnplannableError: It wants pairs, and there are none; or the data set knows nothing but its own pairs.
        InputError: See :func:`listed_images`.
    """
    if not data.people_known and not (pairs and pairs.of_templates and protocol.template_list):
        _check_own_pairs(data, protocol)
    if protocol.kind != "pairs_file":
        return []
    if pairs:
        return listed_images(data, pairs, column)
    if data.pairs is None:
        message = "the data set has no pairs of its own, so pairs_file needs path, the list of pairs"
        raise UnplannableError([Issue(("protocol",), message)])
    return [data.pairs.rows[data.pairs.fold == fold] for fold in range(int(data.pairs.fold.max()) + 1)]


def _check_own_pairs(data: FaceData, protocol: Protocol | SetProtocol) -> None:
    """Refuse a protocol that asks data who is who which know pairs alone, or neither people nor pairs."""
    if data.pairs is None:
        message = (
            'the data set knows neither people nor pairs; write kind = "pairs_file" with template_list, the list of '
            "templates, and path, that of their pairs"
        )
        raise UnplannableError([Issue(("protocol",), message)])
    if protocol.kind != "pairs_file" or protocol.path:
        key = "kind" if protocol.kind != "pairs_file" else "path"
        message = 'the data set knows no people, only its own pairs; write kind = "pairs_file" without path'
        raise UnplannableError([Issue(("protocol", key), message)])


def listed_images(data: FaceData, pairs: PairsFile, column: str | None = None) -> list[IntArray]:
    """Return for each fold the images of its pairs, int (P, 2); in the place of a template stands its first image.

    Raises:
        UnplannableError: A list names templates, of which the data know nothing.
        InputError: With the line of every pair of which the data lack an identity or an image, of which they do not
            tell which image is meant, or which says of two images the opposite of what their identities say.
    """
    directory: _Templates | _Paths | _Directory
    if pairs.of_templates:
        directory = _Templates(data, column)
    elif any(number == NO_NUMBER for _, number in pairs.images):
        directory = _Paths(data, pairs.name)
    else:
        directory = _Directory(data)
    found = (directory.find(*name) for name in pairs.images)
    images = np.array([-1 if image is None else image for image in found], np.int64)
    rows: IntArray = images[pairs.rows]
    wrong: IntArray = np.flatnonzero((rows < 0).any(axis=1))
    problems = []
    for pair in wrong[:MAX_LISTED].tolist():
        missing = next(place for place in pairs.rows[pair].tolist() if images[place] < 0)
        problems.append(pairs.problem(pair, directory.explain(*pairs.images[missing])))
    if not problems and pairs.same is not None:
        wrong = contradictions(data.labels, rows, pairs.same)
        told = _of_templates if pairs.of_templates else _of_images
        problems = [pairs.problem(pair, told(data, pairs, pair, rows[pair])) for pair in wrong[:MAX_LISTED].tolist()]
    if problems:
        raise InputError(first_of(problems, "and {} more pairs", pairs.name, len(wrong)))
    return [rows[pairs.fold == fold] for fold in range(pairs.folds)] if pairs.folds > 1 else [rows]


def pairs_notes(
    labels: IntArray, parts: Sequence[Split], pairs_of_folds: Sequence[IntArray], members: Members
) -> Iterator[Note]:
    """Yield how many pairs are judged, and how, if a list names them.

    Args:
        labels: int (N,), whom the images show.
        parts: The splits.
        pairs_of_folds: The pairs that the list names, for each fold.
        members: What they stand for.
    """
    if not pairs_of_folds:
        return
    first = [part for part in parts if part.seed == parts[0].seed]
    judged = sum(len(part.test_pairs) for part in first if part.test_pairs is not None)
    fewest = min(len(np.unique(labels[part.train])) for part in first)
    gone = sum(map(len, pairs_of_folds)) - judged
    lost = f"; {gone} pairs are lost with images that cannot be read" if gone else ""
    what = "listed pairs" if members.template is None else "listed pairs of templates"
    folds = (
        f"in {len(first)} folds, the threshold of each from pairs of the others"
        if len(first) > 1
        else "in one fold, the threshold from pairs of people whom they do not show"
    )
    text = (
        f"{judged} {what} {folds}; "
        f"{fewest} people or more are trained on, none of whom is in the pairs that are judged or tuned on{lost}"
    )
    yield Note("pairs_file", text)


def _of_images(data: FaceData, _: PairsFile, __: int, images: IntArray) -> str:
    """Return what is wrong with a pair of images that says the opposite of what their identities say."""
    return contradiction(data, images)


def _of_templates(data: FaceData, pairs: PairsFile, pair: int, images: IntArray) -> str:
    """Return the same of a pair of templates."""
    first, second = (repr(pairs.images[place][0]) for place in pairs.rows[pair].tolist())
    one, other = (repr(data.identities[label]) for label in data.labels[images].tolist())
    if one != other:
        return f"is said to show one person, but template {first} shows {one}, and template {second} {other}"
    if data.people_known:
        return f"is said to show two people, but templates {first} and {second} both show {one}"
    return f"is said to show two people, but pairs of one person join templates {first} and {second}"


class _Templates:
    """The first image of each template, by the value of a column."""

    def __init__(self, data: FaceData, column: str | None) -> None:
        values = data.columns.get(column) if column else None
        if column is None or values is None:
            why = f"the list names templates, but {missing_column(data.columns, column or TEMPLATE)}"
            raise UnplannableError([Issue(("protocol", "path"), why)])
        known = np.flatnonzero(is_known(values))
        names, first = np.unique(values[known], return_index=True)
        self._column = column
        self._first = {one_id(text_of_value(name)): int(known[row]) for name, row in zip(names, first, strict=True)}

    def find(self, name: str, _: int) -> int | None:
        """Return the first image of that template; nothing where there is none."""
        return self._first.get(name)

    def explain(self, name: str, _: int) -> str:
        """Return that there is no such template."""
        return f"the data set has no template {name!r} in column {self._column!r}"


class _Paths:
    """The images of a data set by their paths: the ends of these, or as seen from the list."""

    def __init__(self, data: FaceData, pairs_file: str) -> None:
        self._data = data
        self._names = ImageNames(data)
        self._folder = user_path(pairs_file).parent

    def find(self, name: str, _: int) -> int | None:
        """Return the one image of that path; nothing where there is none, or where it is not clear."""
        images = self._images(name)
        return images[0] if len(images) == 1 else None

    def explain(self, name: str, _: int) -> str:
        """Return why there is no such image."""
        images = self._images(name)
        if images:
            return self._names.several(name, images)
        if not self._names:
            return "the images of the data set have no file names; name them by identity and number, as LFW does"
        return self._names.missing(name)

    def _images(self, name: str) -> list[int]:
        images = self._names.find(name)
        if len(images) == 1:
            return images
        # Where several paths end like this, or none, that of one very file may be meant.
        file = one_form(os.path.normpath(self._folder / at_home(name)))
        return [image for image in self._names.find(file) if one_form(place_of(self._data, image)) == file] or images


class _Directory:
    """The images of a data set by identity and number, as lists of pairs name them."""

    def __init__(self, data: FaceData) -> None:
        self._data = data
        candidates = {
            index: _numbers_in(data.identities[data.labels[index]], path)
            for index in range(len(data.images))
            if (path := path_of(data, index))
        }
        column = _telling_column(candidates.values())
        self._images: dict[str, dict[int, list[int]]] = {}
        for name, rows in zip(data.identities, images_of_people(data), strict=True):
            self._images[name] = _by_number([int(row) for row in rows], candidates, column)
        self._forms: dict[str, list[str]] = defaultdict(list)
        for name in data.identities:
            self._forms[one_form(name)].append(name)

    def find(self, name: str, number: int) -> int | None:
        """Return the one image of that identity and number; nothing where there is none, or where it is not clear."""
        people = self._people(name)
        images = self._images[people[0]].get(number, []) if len(people) == 1 else []
        return images[0] if len(images) == 1 else None

    def explain(self, name: str, number: int) -> str:
        """Return why there is no such image."""
        people = self._people(name)
        if not people:
            hint = did_you_mean(name, self._images, always_list=False)
            return f"the data set has nobody called {name!r}; {hint}".removesuffix("; ")
        if len(people) > 1:
            return f"{len(people)} people are called {name!r} but for the form of Unicode; rename one of them"
        images = self._images[people[0]]
        if number in images:
            names = some([repr(file_of(self._data, image)) for image in images[number]])
            return f"the data set has {len(images[number])} images {number} of {name!r} ({names}); keep one of them"
        if UNCLEAR in images:
            file = file_of(self._data, images[UNCLEAR][0])
            return f"which number image {file!r} of {name!r} has is not clear; call it {name}_0001 or the like"
        return f"the data set has no image {number} of {name!r}"

    def _people(self, name: str) -> list[str]:
        return [name] if name in self._images else self._forms.get(one_form(name), [])


# In place of a number: images whose names hold several numbers, any of which may be theirs.
UNCLEAR = -1


def _numbers_in(identity: str, path: PurePath) -> Candidates:
    """Return the numbers in a file's name that may be the image's: the one behind the identity's name, or else all.

    Scripts that cut or align faces append numbers of their own: ``Ann_Lee_0004_0.png`` is face 0 of image 4.
    """
    stem, person = (re.sub(r"[\W_]+", "_", one_form(text)).casefold() for text in (path.stem, identity))
    person = person.strip("_")
    end = r"(?!\d)" if person[-1:].isdecimal() else ""
    named = re.search(rf"(?<![^\W_]){re.escape(person)}{end}(?![^\W\d_])", stem) if person else None
    if named:
        behind = re.findall(r"\d+", stem[named.end() :])
        before = re.findall(r"\d+", stem[: named.start()])
        if behind or before:
            return tuple(int(number) for number in behind[:1] or before)
    return tuple(int(number) for number in re.findall(r"\d+", stem))


def _telling_column(all_candidates: Iterable[Candidates]) -> int | None:
    """Return which of several numbers in a name is the image's: the only one that is not the same in all names."""
    several = [numbers for numbers in all_candidates if len(numbers) > 1]
    if not several or len({len(numbers) for numbers in several}) > 1:
        return None
    varying = [place for place, values in enumerate(zip(*several, strict=True)) if len(set(values)) > 1]
    return varying[0] if len(varying) == 1 else None


def _by_number(rows: list[int], candidates: dict[int, Candidates], column: int | None) -> dict[int, list[int]]:
    """Return a person's images by the numbers in their names, or counted from 1 where no name holds a number."""
    images: dict[int, list[int]] = defaultdict(list)
    if not any(candidates.get(row) for row in rows):
        return {place: [row] for place, row in enumerate(rows, 1)}
    for row in rows:
        numbers = candidates[row]
        if len(numbers) == 1:
            images[numbers[0]].append(row)
        elif numbers:
            images[UNCLEAR if column is None else numbers[column]].append(row)
    return images
