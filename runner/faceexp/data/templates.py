"""The templates that a column of the data makes, and a split with one image in the place of each template."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from faceexp.arrays import FloatArray, IntArray
from faceexp.data.splits import Split
from faceexp.store import digest

# The column that says of which medium an image is, such as a video, where the data have one.
MEDIA = "media"


@dataclass(frozen=True, eq=False)
class Templates:
    """Images of one person that are judged as one.

    Attributes:
        column: The name of the column whose values are templates.
        template: int (N,), a number of the template of each image of a plan, those of its test sets included.
        quality: float (N,), how much each image counts in its template, NaN where that is not known; ``None``: all
            images count alike.
        medium: int (N,), a number of the medium of each image, such as a video, whose images are averaged first;
            ``None``: each image is a medium of its own.
    """

    column: str
    template: IntArray
    quality: FloatArray | None = None
    medium: IntArray | None = None

    @property
    def key(self) -> str:
        """A digest of the templates."""
        quality = None if self.quality is None else self.quality.tolist()
        return digest([self.template.tolist(), quality, *([] if self.medium is None else [self.medium.tolist()])])

    def first_images(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return the first image of each template among some images, and int (M,), the place there of each image's.

        Templates are in the order of their first images, so that nothing changes where each is one image.
        """
        _, first, template = np.unique(self.template[rows], return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return rows[first[order]], place[template]

    def posed(self, split: Split) -> Split:
        """Return a split as if each template in a part were its first image there."""
        train, _ = self.first_images(split.train)
        validation, of_validation = self.first_images(split.validation)
        test, of_test = self.first_images(split.test)
        return dataclasses.replace(
            split,
            train=train,
            validation=validation,
            test=test,
            validation_pairs=self.pairs(split.validation_pairs, of_validation),
            test_pairs=self.pairs(split.test_pairs, of_test),
        )

    @staticmethod
    def pairs(pairs: IntArray | None, place: IntArray) -> IntArray | None:
        """Return the pairs of templates, int (Q, 2), that are named by pairs of images, int (P, 2).

        One that is there already, and one of a template with itself, is left out.
        """
        return None if pairs is None else place[pairs[Templates.first_pairs(pairs, place)]]

    @staticmethod
    def first_pairs(pairs: IntArray, place: IntArray) -> IntArray:
        """Return which pairs of images are the first to name two templates, int (Q,), in their order."""
        # One number for both templates: rows of two numbers take far longer to compare, of which there may be millions.
        low, high = place[pairs[:, 0]], place[pairs[:, 1]]
        both = np.minimum(low, high) * np.int64(len(place)) + np.maximum(low, high)
        both[low == high] = -1
        numbers, first = np.unique(both, return_index=True)
        return np.sort(first[numbers >= 0])
