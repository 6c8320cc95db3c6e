"""Which people a pair shows, and how much it weighs where every person weighs alike.

Among all pairs, a person with many images is in very many of them: the number of similar pairs grows with the square of
the images. Where people have unequally many images, rates over all pairs say little about most of the people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from faceexp.arrays import BoolArray, FloatArray, IntArray

# Whether every person weighs alike, or every pair and every query.
Weighting = Literal["people", "pairs"]


@dataclass(frozen=True, eq=False)
class PeopleOfPairs:
    """Which two people each pair shows.

    Attributes:
        person: int (N,), the person of each row, counted from 0 without gaps.
        pairs: int (P, 2), the rows of each pair; ``None``: every pair ``i < j`` in the order of
            ``np.triu_indices(N, 1)``.
        start: The first of these pairs that is meant.
        stop: The pair behind the last one that is meant.
    """

    person: IntArray
    pairs: IntArray | None
    start: int
    stop: int

    @property
    def count(self) -> int:
        """How many people the rows show."""
        return int(self.person.max(initial=-1)) + 1

    @property
    def pairs_of_people(self) -> int:
        """How many pairs of two people there are, however many images show them."""
        if self.pairs is None:
            return self.count * (self.count - 1) // 2
        people = np.sort(self.person[self.pairs], axis=1)
        return len(np.unique(people[people[:, 0] < people[:, 1]], axis=0))

    def part(self, start: int, stop: int) -> PeopleOfPairs:
        """Return the people of some of the pairs."""
        return replace(self, start=self.start + start, stop=min(self.start + stop, self.stop))

    def both(self) -> tuple[IntArray, IntArray]:
        """Return the person of the first image of each pair, and that of the second, int (P,) each."""
        if self.pairs is not None:
            first, second = self.pairs[self.start : self.stop].T
            return self.person[first], self.person[second]
        if self.start >= self.stop:
            return self.person[:0], self.person[:0]
        rows = np.arange(len(self.person), dtype=np.int64)
        begins = rows * (2 * len(rows) - rows - 1) // 2  # the first pair of each row with all later ones
        low, high = np.searchsorted(begins, [self.start, self.stop - 1], side="right") - 1
        later = np.diff(np.clip(begins[low : high + 2], self.start, self.stop))
        second = np.arange(self.start, self.stop) - np.repeat(begins[low : high + 1] - rows[low : high + 1] - 1, later)
        return np.repeat(self.person[low : high + 1], later), self.person[second]


def people_of(labels: IntArray, pairs: IntArray | None = None) -> PeopleOfPairs:
    """Return which people some pairs show.

    Args:
        labels: int (N,), the identity of each row.
        pairs: int (P, 2), row indices; ``None``: every pair ``i < j``.
    """
    _, person = np.unique(labels, return_inverse=True)
    count = len(labels) * (len(labels) - 1) // 2 if pairs is None else len(pairs)
    return PeopleOfPairs(person.astype(np.int32), pairs, 0, count)


@dataclass(frozen=True, eq=False)
class PairWeights:
    """How much each of all pairs weighs, so that every person weighs alike. The weights of each kind add up to 1.

    Attributes:
        people: Which people the pairs show.
        similar: float (M,), the weight of each similar pair of a person.
        different: float (M,); the product of those of two people is the weight of each pair that shows the two.
    """

    people: PeopleOfPairs
    similar: FloatArray
    different: FloatArray

    def part(self, start: int, stop: int) -> PairWeights:
        """Return the weights of some of the pairs."""
        return replace(self, people=self.people.part(start, stop))

    def values(self, similar: BoolArray) -> FloatArray:
        """Return the weight of each pair, float (P,), of which ``similar`` says whether it shows one person."""
        first, second = self.people.both()
        weights = self.different[first]
        weights *= self.different[second]
        weights[similar] = self.similar[first[similar]]
        return weights


def pair_weights(labels: IntArray) -> PairWeights | None:
    """Return the weights of all pairs ``i < j``; ``None`` where everybody has as many images, so that all are alike.

    A similar pair of a person with n images weighs ``1 / (n (n - 1) / 2)``, divided by the number of people who have
    similar pairs. A different pair of people with n and m images weighs ``1 / (n m)``, divided by the number of pairs
    of people.

    Args:
        labels: int (N,), the identity of each row.
    """
    images = _images_of_each(labels)
    if len(images) == 0 or images.min() == images.max():
        return None
    own = images * (images - 1) / 2
    similar = np.divide(1.0, own * np.count_nonzero(own), out=np.zeros(len(own)), where=own > 0)
    pairs_of_people = len(images) * (len(images) - 1) / 2
    return PairWeights(people_of(labels), similar, 1 / (images * np.sqrt(pairs_of_people)))


def row_weights(labels: IntArray) -> FloatArray:
    """Return one over the number of rows that show the same person as each row, float (N,)."""
    _, person, images = np.unique(labels, return_inverse=True, return_counts=True)
    weights: FloatArray = 1 / images[person]
    return weights


def largest_share(labels: IntArray, pairs: IntArray | None = None) -> float:
    """Return the largest share of the similar pairs that show one and the same person; 0 without similar pairs.

    Args:
        labels: int (N,), the identity of each row.
        pairs: int (P, 2), row indices; ``None``: every pair.
    """
    if pairs is None:
        images = _images_of_each(labels)
        own: IntArray = images * (images - 1) // 2
    else:
        first, second = labels[pairs].T
        own = _images_of_each(first[first == second])
    return float(own.max() / own.sum()) if own.any() else 0.0


def _images_of_each(labels: IntArray) -> IntArray:
    """Return how many rows show each person, int (M,)."""
    return np.unique(labels, return_counts=True)[1].astype(np.int64)
