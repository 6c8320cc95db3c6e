"""The templates that a column of the data makes: checked, numbered, and told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from faceexp.arrays import AnyArray, FloatArray, IntArray
from faceexp.contract import FaceData
from faceexp.data.face_data import image_name
from faceexp.data.pairs_file import PairsFile
from faceexp.data.splits import Split
from faceexp.data.templates import MEDIA, Templates
from faceexp.data.test_set import PlannedSet
from faceexp.errors import MAX_LISTED, printable
from faceexp.planning.groups import LANDMARKS, is_known, missing_column
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.values import Note

# The column that says how much an image counts in its template, where the data have one.
QUALITY = "quality"
PATH = ("evaluation", "templates")


def check_templates(data: FaceData, sets: Sequence[tuple[str, FaceData]], column: str | None) -> None:
    """Refuse a column that no data have, or whose values make no templates, before anything is decoded.

    Args:
        data: The data set.
        sets: The names of the test sets, and their data.
        column: What the experiment asks for; ``None``: no templates.

    Raises:
        UnplannableError: With an issue for each mistake.
    """
    if column is None:
        return
    sources = [("", data), *((f" of test set {name}", faces) for name, faces in sets)]
    having = [(whose, faces) for whose, faces in sources if column in faces.columns.keys() - {LANDMARKS}]
    if not having:
        raise UnplannableError([Issue(PATH, missing_column(data.columns, column))])
    faults = [fault for whose, faces in having for fault in _faults(faces, column, whose)]
    if faults:
        more = [f"and {len(faults) - MAX_LISTED} more mistakes in templates"] if len(faults) > MAX_LISTED else []
        raise UnplannableError([Issue(PATH, message) for message in (*faults[:MAX_LISTED], *more)])


def _faults(data: FaceData, column: str, whose: str) -> Iterator[str]:
    values = data.columns[column]
    known = np.flatnonzero(is_known(values))
    names, template = np.unique(values[known], return_inverse=True)
    labels = data.labels[known]
    lowest, highest = np.full(len(names), len(data.identities)), np.full(len(names), -1)
    np.minimum.at(lowest, template, labels)
    np.maximum.at(highest, template, labels)
    for place in np.flatnonzero(lowest != highest).tolist():
        first, second = data.identities[lowest[place]], data.identities[highest[place]]
        yield (
            f"template {text_of_value(names[place])!r}{whose} shows several people, {printable(first)!r} and "
            f"{printable(second)!r}; give each person templates of their own in column {column!r}"
        )
    quality = data.columns.get(QUALITY)
    if quality is None:
        return
    if quality.dtype.kind not in "iuf":
        yield f"column {QUALITY!r}{whose} holds no numbers, so it cannot weigh the images of a template"
        return
    # Nothing is known of an image whose quality is NaN, and that is no mistake.
    for image in np.flatnonzero((quality < 0) | np.isinf(quality)).tolist():
        yield (
            f"{QUALITY} {quality[image]:g} of {printable(image_name(data, image))}{whose} is no weight; "
            "it has to be 0 or more, or be empty where it is not known"
        )


def text_of_value(value: object) -> str:
    """Return the value of a column as a person, and a list, write it."""
    return f"{value:.15g}" if isinstance(value, float | np.floating) else printable(str(value))


def templates_of(
    columns: Mapping[str, AnyArray], images: int, sets: Sequence[PlannedSet], column: str | None
) -> Templates | None:
    """Return the templates of the images that are used; :func:`check_templates` knows that the column makes some.

    An image without a value, and each of data without the column, is a template of its own.

    Args:
        columns: What is known of the images of the data set.
        images: How many these are.
        sets: The test sets, whose images come behind them.
        column: What the experiment asks for.
    """
    if column is None:
        return None
    sources = [(columns, images), *((each.columns, len(each.rows)) for each in sets)]
    template: list[IntArray] = []
    quality: list[FloatArray] = []
    medium: list[IntArray] = []
    first = 0
    for known, size in sources:
        template.append(numbered(known.get(column), size) + first)
        quality.append(np.asarray(known.get(QUALITY, np.full(size, np.nan)), np.float64))
        medium.append(numbered(known.get(MEDIA), size) + first)
        first += size
    weighted, of_media = (any(name in known for known, _ in sources) for name in (QUALITY, MEDIA))
    return Templates(
        column,
        np.concatenate(template),
        np.concatenate(quality) if weighted else None,
        np.concatenate(medium) if of_media else None,
    )


def numbered(values: AnyArray | None, size: int) -> IntArray:
    """Return a number of the value of each image: the first image that has it; its own where it is not known."""
    numbers = np.arange(size)
    if values is not None:
        known = np.flatnonzero(is_known(values))
        _, first, place = np.unique(values[known], return_index=True, return_inverse=True)
        numbers[known] = known[first[place]]
    return numbers


@dataclass(frozen=True, eq=False)
class Members:
    """The images that pairs of a list stand for: the two images, or all images of two templates.

    Attributes:
        template: int (N,), for each image of the data the first image of its template; ``None``, where the list does
            not name templates.
    """

    template: IntArray | None

    @classmethod
    def of(cls, data: FaceData, pairs: PairsFile | None, column: str | None) -> Members:
        """Return what the pairs of a list stand for."""
        if pairs is None or not pairs.of_templates or column is None:
            return cls(None)
        return cls(numbered(data.columns.get(column), len(data.labels)))

    def images(self, pairs: Sequence[IntArray]) -> IntArray:
        """Return all images that some pairs stand for."""
        named = np.unique(np.concatenate([np.unique(each) for each in pairs]))
        return named if self.template is None else np.flatnonzero(np.isin(self.template, self.template[named]))

    def among(self, used: IntArray) -> IntArray | None:
        """Return a number of the template of each of some images."""
        return None if self.template is None else self.template[used]

    def usable(self, pairs: Sequence[IntArray], used: IntArray) -> list[IntArray]:
        """Return pairs in which the first image that can be used stands for its template, as far as there is one."""
        if self.template is None or len(used) == len(self.template):
            return list(pairs)
        first = np.arange(len(self.template))
        templates, places = np.unique(self.template[used], return_index=True)
        first[templates] = used[places]
        return [first[each] for each in pairs]

    def lost(self, pairs: Sequence[IntArray], used: IntArray) -> str:
        """Return of how many templates of some pairs no image can be used, and how many pairs that costs."""
        if self.template is None:
            return ""
        named = np.unique(self.template[self.images(pairs)])
        lost = int(np.count_nonzero(~np.isin(named, self.template[used])))
        gone = sum(int((~np.isin(each, used).all(axis=1)).sum()) for each in self.usable(pairs, used))
        share, total = 100 * lost / len(named), sum(map(len, pairs))
        of_templates = f"{lost:,} of {len(named):,} templates (FTE {share:.3g} %)"
        return f", so that {of_templates} and {gone:,} of {total:,} pairs are lost"


def check_pairs(
    templates: Templates | None, labels: IntArray, splits: Sequence[Split], sets: Sequence[PlannedSet]
) -> None:
    """Refuse templates that leave a part or a test set no two of one person, or of two people, to judge.

    Raises:
        UnplannableError: With an issue for each of them.
    """
    if templates is None:
        return
    messages = [
        f"templates leave {where} no {kind} pair to judge; "
        + ("somebody there needs two templates" if kind == "similar" else "two people are needed there")
        for where, kind in _lacks(templates, labels, splits, sets)
    ]
    if messages:
        raise UnplannableError([Issue(PATH, message) for message in dict.fromkeys(messages)])


def _lacks(
    templates: Templates, labels: IntArray, splits: Sequence[Split], sets: Sequence[PlannedSet]
) -> Iterator[tuple[str, Literal["similar", "different"]]]:
    for split in map(templates.posed, splits):
        where = f"part of seed {split.seed}, fold {split.fold + 1}"
        for part, rows, pairs in (
            ("validation", split.validation, split.validation_pairs),
            ("test", split.test, split.test_pairs),
        ):
            yield from ((f"the {part} {where}", kind) for kind in _lacking(labels[rows], pairs))
    for each in sets:
        faces = each.posed(templates)
        yield from ((f"test set {each.name}", kind) for kind in _lacking(faces.labels, faces.pairs))


def _lacking(labels: IntArray, pairs: IntArray | None) -> Iterable[Literal["similar", "different"]]:
    """Return of which kinds there is no pair."""
    if pairs is None:
        counts = np.bincount(labels)
        similar, different = bool(counts.max(initial=0) > 1), int(np.count_nonzero(counts)) > 1
    else:
        same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
        similar, different = bool(same.any()), bool((~same).any())
    return [*(() if similar else ("similar",)), *(() if different else ("different",))]


def template_notes(templates: Templates | None, splits: Sequence[Split], sets: Sequence[PlannedSet]) -> Iterator[Note]:
    """Yield how many images have become how many templates, in the first test part and in each test set."""
    if templates is None:
        return
    weighted = f", weighted by {QUALITY}" if templates.quality is not None else ""
    weighted += ", those of one medium averaged first" if templates.medium is not None else ""
    first = splits[0]
    whose = "the test part" if len(splits) == 1 else f"the test part of seed {first.seed}, fold {first.fold + 1}"
    parts = [(whose, first.test), *((f"test set {each.name}", each.rows) for each in sets)]
    counted = [f"{len(rows)} images of {where} are {len(templates.first_images(rows)[0])}" for where, rows in parts]
    text = (
        f"templates by {templates.column}: {', '.join(counted)} templates, each judged by the mean of the embeddings "
        f"of its images{weighted}; checkpoints, and the thresholds that go along with models, are for single photos"
    )
    yield Note("templates", text)
    for each in sets:
        if templates.column not in each.columns:
            yield Note("templates", f"test set {each.name} has no column {templates.column}: each image is a template")
