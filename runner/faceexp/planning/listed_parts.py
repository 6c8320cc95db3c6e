"""The parts that official lists name, as images of the data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import FaceData
from faceexp.data.face_data import image_name, images_of_people, one_form
from faceexp.data.part_files import PartFiles
from faceexp.data.splits import Parts
from faceexp.errors import InputError, Problem, did_you_mean, first_of
from faceexp.planning.image_names import ImageNames


class _UnknownNameError(ValueError):
    """A line names nobody and nothing, or more than one."""


def listed_parts(data: FaceData, files: PartFiles) -> Parts:
    """Return the images of training, validation and test, in the order of the data set.

    Raises:
        InputError: With every line that names nobody and no image of the data, that names an image of another part,
            or that names a person of whom the test may or may not be about; with every list that names too few.
    """
    names = _Names(data)
    problems: list[Problem] = []
    parts: list[IntArray] = []
    # For each image the place of the line that names it, by part.
    places: dict[int, tuple[int, str]] = {}
    for number, file in enumerate(files):
        images: set[int] = set()
        for line, text in file.lines:
            try:
                named = names.find(text)
            except _UnknownNameError as error:
                problems.append(Problem(str(error), file.place(line)))
                continue
            images.update(named)
            elsewhere = [image for image in named if places.setdefault(image, (number, file.place(line)))[0] != number]
            if elsewhere:
                problems.append(
                    Problem(
                        f"image {image_name(data, elsewhere[0])!r} is in {places[elsewhere[0]][1]} as well; "
                        "an image belongs to one part",
                        file.place(line),
                    )
                )
        parts.append(np.array(sorted(images), dtype=np.int64))
    if not problems:
        problems += _too_small(data.labels, parts, files)
    if not problems:
        problems += _half_known(data, parts, files, names)
    if problems:
        raise InputError(first_of(problems, "and {} more lines of the lists", files[0].name))
    train, validation, test = parts
    return train, validation, test


def _too_small(labels: IntArray, parts: list[IntArray], files: PartFiles) -> Iterator[Problem]:
    for part, file, is_judged in zip(parts, files, (False, True, True), strict=True):
        people, counts = np.unique(labels[part], return_counts=True)
        if len(people) < 2:
            yield Problem("names images of one person only; a part needs two people at least", file.name)
        elif is_judged and counts.max() < 2:
            yield Problem("names one image of each person, so there is no similar pair to judge", file.name)


def _half_known(data: FaceData, parts: list[IntArray], files: PartFiles, names: _Names) -> Iterator[Problem]:
    """Yield the people of test who are in another part, where other people of test are in none.

    Lists of which nobody is tested who is in another part make an open set, lists of which everybody is, a closed set.
    What is in between is a mistake in nearly all cases, and its results would say nothing about anybody.
    """
    tested = np.unique(data.labels[parts[2]])
    known = tested[np.isin(tested, data.labels[np.concatenate(parts[:2])])]
    if len(known) in (0, len(tested)):
        return
    for line, text in files[2].lines:
        people = np.unique(data.labels[names.find(text)])
        for person in people[np.isin(people, known)]:
            known = known[known != person]
            yield Problem(
                f"{data.identities[person]!r} is in the list of training or validation as well, and other people of "
                "test are not; either nobody who is tested may be known (open set), or everybody (closed set)",
                files[2].place(line),
            )


class _Names:
    """The people of a data set and its images, by what a list may call them."""

    def __init__(self, data: FaceData) -> None:
        self._data = data
        self._images = images_of_people(data)
        self._people: dict[str, list[int]] = defaultdict(list)
        for person, name in enumerate(data.identities):
            self._people[one_form(name)].append(person)
        self._files = ImageNames(data)

    def find(self, text: str) -> list[int]:
        """Return the images that a line means.

        Raises:
            _UnknownNameError: There is nobody and no image of that name, or more than one.
        """
        people = self._people.get(one_form(text), [])
        if len(people) > 1:
            # Two names may differ only in how Unicode writes their letters; then the very name decides.
            people = [person for person in people if self._data.identities[person] == text] or people
        if len(people) > 1:
            raise _UnknownNameError(f"{len(people)} people are called {text!r} but for the form of Unicode; rename one")
        if people:
            images: list[int] = self._images[people[0]].tolist()
            return images
        matching = self._files.find(text)
        if len(matching) > 1:
            raise _UnknownNameError(self._files.several(text, matching))
        if not matching:
            raise _UnknownNameError(f"the data set has no identity and no image called {text!r}{self._hint(text)}")
        return matching

    def _hint(self, text: str) -> str:
        ending = [part for part in one_form(text).split("/") if part not in ("", ".")]
        if not self._files and len(ending) > 1:
            return "; its images have no file names, so a line can name identities only"
        hint = did_you_mean(ending[0] if ending else "", self._data.identities, always_list=False)
        return f"; {hint}" if hint and len(ending) == 1 else ""
