"""The groups of people, or of images, that a column of the data makes."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.arrays import IntArray


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups that a column of the data makes.

    Attributes:
        column: The name of the column.
        names: What the groups are called.
        group: int (N,), the place in ``names`` of the group of each image that is used; -1: in none.
        of_people: Whether every image of a person is in the same group.
    """

    column: str
    names: tuple[str, ...]
    group: IntArray
    of_people: bool
