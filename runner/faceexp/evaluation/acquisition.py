"""Failures to acquire and to enrol, and the error rates of a system that meets them.

An image of which no crop could be made is a failure to acquire. Whoever has too few usable images to take part could
not be enrolled. The false non-match rate (FNMR) and the false match rate (FMR) are about the pairs that were compared;
so a detector that loses hard faces improves them. The false reject rate (FRR) and the false accept rate (FAR) count
what was lost as rejected.

References:
    ISO/IEC 19795-1, "Biometric performance testing and reporting", for a verification transaction of one attempt: the
    reference is enrolled, and the probe is acquired once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from faceexp.arrays import IntArray
    from faceexp.data.lost import Lost, LostOfList
    from faceexp.data.splits import Split


@dataclass(frozen=True)
class Acquisition:
    """What a test part loses before anything is compared.

    Attributes:
        fta: Failure to acquire, the share of its images of which no crop could be made.
        fte: Failure to enrol, the share of its people who have too few usable images to take part.
        lost_similar: The share of attempts of a person as themselves that cannot be made: FTA, or the share of a list's
            similar pairs that are lost.
        lost_different: The same for attempts as somebody else.
    """

    fta: float
    fte: float
    lost_similar: float
    lost_different: float

    def frr(self, fnmr: float) -> float:
        """Return ``FTA + FNMR (1 - FTA)``."""
        return self.lost_similar + fnmr * (1 - self.lost_similar)

    def far(self, fmr: float) -> float:
        """Return ``FMR (1 - FTA)``."""
        return fmr * (1 - self.lost_different)


def acquisition(lost: Lost, labels: IntArray, split: Split, *, by_person: bool) -> Acquisition:
    """Return what the test part of a split loses.

    An unusable image of a person belongs to the part of that person. People who do not take part belong to none: they
    and their images count in every part by its share of the people. Where images and not people are dealt to parts, an
    unusable image belongs to none, and the share of all images is that of the test part. Lists say what was to be
    tested.

    Args:
        lost: What cannot be used.
        labels: int (N,), the labels of all images that are used.
        split: The split.
        by_person: Whether people are dealt to parts, as in an open set, and not their images.
    """
    if lost.tested:
        return acquisition_of_list(lost.tested[split.fold])
    people = len(np.unique(labels))
    fte = lost.people / (people + lost.people)
    if by_person:
        of_part = np.unique(labels[split.test])
        nobody = np.count_nonzero(lost.labels < 0)
        images = np.count_nonzero(np.isin(lost.labels, of_part)) + nobody * len(of_part) / people
        fta = float(images / (len(split.test) + images))
    else:
        fta = len(lost.labels) / (len(labels) + len(lost.labels))
    return Acquisition(fta, fte, fta, fta)


def acquisition_of_list(tested: LostOfList) -> Acquisition:
    """Return what is lost of what a list names, or of a test set, all of which is tested."""
    fta = tested.lost_images / tested.images
    similar = tested.lost_similar / tested.similar if tested.similar else fta
    different = tested.lost_different / tested.different if tested.different else fta
    return Acquisition(fta, tested.lost_people / tested.people, similar, different)
