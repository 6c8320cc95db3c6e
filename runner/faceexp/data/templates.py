"""The templates that a column of the data makes, and a split with one image in the place of each template."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from faceexp.arrays import FloatArray, IntArray
from faceexp.data.splits import Split
from faceexp.store import digest


@dataclass(frozen=True, eq=False)
class Templates:
    """Images of one person that are judged as one.

    Attributes:
        column: The name of the column whose values are templates.
        template: int (N,), a number of the template of each image of a plan, those of its test sets included.
        quality: float (N,), how much each image counts in its template, NaN where that is not known; ``None``: all
            images count alike.
    """

    column: str
    template: IntArray
    quality: FloatArray | None = None

    @property
    def key(self) -> str:
        """A digest of the templates."""
        return digest([self.template.tolist(), None if self.quality is None else self.quality.tolist()])

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
        if pairs is None:
            return None
        of_templates: IntArray = place[pairs]
        of_templates = of_templates[of_templates[:, 0] != of_templates[:, 1]]
        _, first = np.unique(np.sort(of_templates, axis=1), axis=0, return_index=True)
        return of_templates[np.sort(first)]
