"""Faces and where they come from: what a data set gives, and the base class of data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from faceexp.arrays import AnyArray, BoolArray, ByteArray, IntArray
from faceexp.contract.plugin import Plugin


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that lies inside a larger file: a record, a row of a table, an entry of an archive.

    Attributes:
        name: What lists and readers know it by, such as ``Ann/0004.jpg``; its last part counts as the name of a file.
        read: Returns the bytes of a photo in a format that Pillow decodes. Several threads call it at once; it raises
            OSError where the bytes cannot be read.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class FacePairs:
    """The pairs of images on which a data set is judged, in folds, as its field does it.

    Attributes:
        rows: int (P, 2), both images of each pair, as places in ``images``.
        same: bool (P,), whether they show one person. It has to agree with the labels of the images.
        fold: int (P,), the fold of each pair, counted from 0 without gaps.
    """

    rows: IntArray
    same: BoolArray
    fold: IntArray


@dataclass(frozen=True)
class FaceData:
    """A data set of faces: where the images are, whom they show.

    Attributes:
        images: Paths of files or images inside larger files, decoded when they are needed; or one uint8 array (N, H, W)
            or (N, H, W, 3). A sequence may make its items when they are asked for.
        labels: int32 (N,), the index into ``identities`` of each image.
        identities: Names of the people, without repetition.
        fingerprint: Hex digest of the content: other images or labels, other fingerprint.
        licence: Under which terms the images may be used.
        source: Where they come from.
        notes: What a reader of the results should know besides, such as what was left out; one sentence each.
        columns: What is known of each image besides, by name: arrays of N numbers, truth values or texts, such as
            ``sex``, ``age``, ``camera`` or ``quality``; ``landmarks`` float (N, 5, 2) are x and y in pixels of eyes,
            nose and corners of the mouth. A number that is not known is NaN, a text that is not known is empty.
        pairs: The pairs that came with the images, if there are any;
            ``kind = "pairs_file"`` without a list judges them.
        people_known: Whether the identities are people. They are not where only pairs are known: then
            :func:`people_of_pairs` makes them up, and nothing but pairs can be judged; and where each image is an
            identity of its own, since nothing is known: then a list of templates has to tell more.
    """

    images: Sequence[Path | StoredImage] | ByteArray
    labels: IntArray
    identities: tuple[str, ...]
    fingerprint: str
    licence: str
    source: str
    notes: tuple[str, ...] = ()
    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    pairs: FacePairs | None = None
    people_known: bool = True


@dataclass(frozen=True)
class ChosenPeople:
    """The people of a data set that take part, and their images.

    Attributes:
        people: int (C,), their places among all people.
        rows: int (M,), the images that show them, in the order of the data set.
        labels: int32 (M,), for each of these images the place of its person among ``people``.
        notes: How many people are left out, and why; one sentence each.
    """

    people: IntArray
    rows: IntArray
    labels: IntArray
    notes: tuple[str, ...]


def choose_people(labels: IntArray, min_images: int, first: int | None = None) -> ChosenPeople:
    """Return the people with enough images, and of these the first so many; what is left out is noted.

    Args:
        labels: int (N,), whom each image shows.
        min_images: The option of the data set that leaves out people with fewer images.
        first: Its option ``people``; all if not given.
    """
    import numpy as np

    counts = np.bincount(labels)
    everyone, enough = np.count_nonzero(counts), np.flatnonzero(counts >= min_images)
    notes = []
    if len(enough) < everyone:
        left_out = everyone - len(enough)
        notes.append(f"min_images = {min_images} of the data set leaves out {left_out} of {everyone} people")
    if first is not None and first < len(enough):
        notes.append(f"people = {first} of the data set leaves out {len(enough) - first} more people")
    people = enough[:first]
    place = np.full(len(counts), -1, np.int32)
    place[people] = np.arange(len(people), dtype=np.int32)
    rows = np.flatnonzero(place[labels] >= 0)
    return ChosenPeople(people, rows, place[labels[rows]], tuple(notes))


def people_of_pairs(rows: IntArray, same: BoolArray, images: int) -> IntArray:
    """Return a label for each image where only pairs are known, int32 (images,), counted from 0 without gaps.

    Images that pairs of one person join, directly or through others, show one person; all others show another one each.
    So a pair of two people whose images are joined contradicts the other pairs.

    Args:
        rows: int (P, 2), both images of each pair.
        same: bool (P,), whether they show one person.
        images: How many images there are.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = rows[same].T
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), (images, images))
    labels: IntArray = connected_components(graph, directed=False)[1].astype(np.int32)
    return labels


def too_few_people(count: int, min_images: int) -> str:
    """Return that so few people with so many images cannot be compared, as the first words of an error."""
    few = f" with at least {min_images} images" if min_images > 1 else ""
    return f"{count or 'no'} identity{few}, but a comparison of faces needs two or more"


class DatasetPlugin(Plugin, ABC):
    """A source of face images with identities; ``licence`` and ``source`` are as in :class:`FaceData`."""

    licence: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def build(self, seed: int) -> FaceData:
        """Return the data, without decoding images; the seed matters only to data that are made, not found.

        Raises:
            InputError: Something is missing or unusable; one problem each, naming the path.
        """
