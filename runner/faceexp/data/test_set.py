"""A test set, as it is measured, and what it shares with the data that are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from faceexp.arrays import AnyArray, IntArray
from faceexp.data.groups import Groups
from faceexp.data.lost import Lost
from faceexp.data.templates import Templates


def set_in_words(name: str | None) -> str:
    """Return what a test set is called in sentences; without a name, the data set of the experiment."""
    return "the data set" if name is None else f"test set {name}"


@dataclass(frozen=True)
class Shared:
    """What a test set shares with the data set that is trained on.

    Attributes:
        kind: People who are named alike, or images that are equal or nearly so.
        of_set: The person or the image of the test set.
        of_training: That of the data set.
    """

    kind: Literal["named alike", "equal", "nearly equal"]
    of_set: str
    of_training: str


@dataclass(frozen=True)
class PlannedSet:
    """A test set, as it is measured.

    Attributes:
        name: What tables call it.
        source: Where it comes from.
        key: A digest of its images and pairs.
        rows: int (M,), its images among those of the plan.
        labels: int32 (M,), whom they show.
        identities: The people that these labels count.
        pairs: int (P, 2), places in ``rows`` of the pairs that are judged; ``None``: all pairs.
        folds: int (P,), the fold of each pair; ``None`` unless the list has several.
        people_known: Whether its identities are people; where only pairs are known, they are made up.
        groups: The groups that the experiment asks about, of its images.
        shared: What it shares with the data set that is trained on.
        dropped_people: How many people were left out because they are shared.
        dropped_images: How many images of these.
        wanted_pairs: How many pairs its list names, those that cannot be judged included; 0 without a list.
        wanted_images: How many images it would have if all could be used and none was left out.
        lost: Those that cannot be used; nothing where all can.
        columns: What is known of each of its images besides, by name.
    """

    name: str
    source: str
    key: str
    rows: IntArray
    labels: IntArray
    identities: tuple[str, ...]
    pairs: IntArray | None = None
    folds: IntArray | None = None
    people_known: bool = True
    groups: tuple[Groups, ...] = ()
    shared: tuple[Shared, ...] = ()
    dropped_people: int = 0
    dropped_images: int = 0
    wanted_pairs: int = 0
    wanted_images: int = 0
    lost: Lost | None = None
    columns: Mapping[str, AnyArray] = field(default_factory=dict)

    def posed(self, templates: Templates) -> PlannedSet:
        """Return the set as if each template were its first image."""
        rows, place = templates.first_images(self.rows)
        labels = self.labels[rows - self.rows[0]]
        pairs, folds = self.pairs, self.folds
        if pairs is not None:
            first = templates.first_pairs(pairs, place)
            pairs, folds = place[pairs[first]], None if folds is None else folds[first]
        return replace(self, rows=rows, labels=labels, pairs=pairs, folds=folds, columns={})
