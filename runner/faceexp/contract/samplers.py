"""Batches: what a loss needs of them, what a sampler promises, and the base class of samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, Self, get_args

from faceexp.arrays import IntArray
from faceexp.contract.plugin import Plugin

Halves = Literal["similar", "mixed"]


@dataclass(frozen=True)
class BatchNeeds:
    """What a batch must hold for a loss to learn from it.

    Attributes:
        classes: Different identities, at least.
        images_per_class: Images of some identity, at least.
        halves: ``"similar"``: rows i and i + B/2 show the same identity; ``"mixed"``: some of these pairs do, some
            do not; ``None``: the order of rows does not matter.
    """

    classes: int = 2
    images_per_class: int = 1
    halves: Halves | None = None

    def __post_init__(self) -> None:
        """Refuse what no batch can hold."""
        _check_batch(self, "classes", "images_per_class")


@dataclass(frozen=True)
class BatchSupply:
    """What a sampler promises of every batch.

    Attributes:
        size: Rows of a batch, B.
        classes: Different identities, at least; the training part must have that many.
        images_per_class: Images of an identity, at least; so many must each of ``classes`` identities have.
        halves: As in :class:`BatchNeeds`.
    """

    size: int
    classes: int = 1
    images_per_class: int = 1
    halves: Halves | None = None

    def __post_init__(self) -> None:
        """Refuse what no batch can hold."""
        _check_batch(self, "size", "classes", "images_per_class")

    @classmethod
    def by_image(cls, classes: int, images_per_class: int) -> Self:
        """Return what rows ordered by image hold: first images of all identities, then their second images, and so on.

        Where each identity has an even number of images, rows i and i + B/2 show the same one.
        """
        return cls(classes * images_per_class, classes, images_per_class, None if images_per_class % 2 else "similar")


def _check_batch(batch: BatchNeeds | BatchSupply, *counts: str) -> None:
    for name in counts:
        count = getattr(batch, name)
        if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
            raise ValueError(f"{name} of {type(batch).__name__} is {count!r}, not a whole number from 1 on")
    if batch.halves not in (None, *get_args(Halves)):
        raise ValueError(f"halves of {type(batch).__name__} is {batch.halves!r}, not 'similar', 'mixed' or None")


class SamplerPlugin(Plugin, ABC):
    """A way to draw training batches."""

    @abstractmethod
    def supply(self) -> BatchSupply:
        """Return what every batch holds; planning compares it with what a loss needs and with the training part."""

    @abstractmethod
    def build(self, labels: IntArray, seed: int) -> Iterator[IntArray]:
        """Return an endless iterator of index arrays (B,) into ``labels``, the same for the same seed."""
