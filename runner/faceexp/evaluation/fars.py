"""True accept rates at the false accept rates that an experiment file asks for, and which of them nobody could know.

A true accept rate at a false accept rate is read off the ROC curve of the test pairs. Where hardly any false accept is
expected at that rate, the place at which it is read is chance. Then there is no value, and a sentence says why.

References:
    ISO/IEC 19795-1, "Biometric Performance Testing and Reporting", for how many errors a rate has to rest on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation import verification
from faceexp.evaluation.calibration import PEOPLE_SUPPORT, SUPPORT
from faceexp.evaluation.named import far_key
from faceexp.planning.prospects import PEOPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faceexp.arrays import IntArray
    from faceexp.evaluation.people import PeopleOfPairs
    from faceexp.evaluation.roc import Roc


@dataclass(frozen=True)
class Impostors:
    """How many pairs of two people there are to meet false accepts in.

    Attributes:
        pairs: The pairs of images.
        people: The people whom they show.
        pairs_of_people: The pairs of people, however many images show them.
    """

    pairs: int
    people: int
    pairs_of_people: int

    def refusal(self, far: float) -> str | None:
        """Return why the true accept rate at a false accept rate cannot be known; ``None`` if it can.

        With ten expected false accepts, chance alone moves the rate that is met by about a third (one over the square
        root of ten). These have to be of more than one pair of people, and with fewer than six people not even a
        perfect row could be told from a guess.
        """
        if self.people < PEOPLE:
            return f"{self.people} people are in pairs of two people, and a rate takes {PEOPLE}"
        if far * self.pairs < SUPPORT:
            needed = math.ceil(round(SUPPORT / far, 6))
            return (
                f"{far * self.pairs:.2g} of {self.pairs:,} pairs of two people would be accepted, and a rate takes "
                f"{SUPPORT}, of {needed:,} pairs"
            )
        if far * self.pairs_of_people < PEOPLE_SUPPORT:
            needed = math.ceil(round(PEOPLE_SUPPORT / far, 6))
            return (
                f"{self.people:,} people make {self.pairs_of_people:,} pairs of people, and a rate takes {needed:,}, "
                f"those of {_people_for(needed):,} people"
            )
        return None


def _people_for(pairs: int) -> int:
    """Return how many people make so many pairs of people."""
    return math.ceil((1 + math.sqrt(1 + 8 * pairs)) / 2)


def impostors(people: PeopleOfPairs) -> Impostors:
    """Return how many pairs of two people there are among some pairs."""
    if people.pairs is None:
        images = np.bincount(people.person).astype(np.int64)
        count = int(images.sum())
        pairs = count * (count - 1) // 2 - int((images * (images - 1) // 2).sum())
        return Impostors(pairs, people.count, people.pairs_of_people)
    both: IntArray = people.person[people.pairs]
    different = both[both[:, 0] != both[:, 1]]
    return Impostors(len(different), len(np.unique(different)), people.pairs_of_people)


@dataclass(frozen=True)
class AtFar:
    """The true accept rate at a false accept rate.

    Attributes:
        tar: The largest TAR of all thresholds whose FAR is at most that rate; nothing is interpolated.
        met: The FAR of that threshold: of those with this TAR, the smallest.
    """

    tar: float
    met: float


def at_far(curve: Roc, far: float) -> AtFar:
    """Return the true accept rate at a false accept rate, and the false accept rate that was met."""
    if not curve.both_kinds:
        return AtFar(math.nan, math.nan)
    tar = verification.tar_at_far(curve, far)
    return AtFar(tar, float(curve.far[np.searchsorted(curve.tar, tar, side="left")]))


def rates_at(curve: Roc, fars: Sequence[float], refused: Sequence[float]) -> dict[str, AtFar]:
    """Return the true accept rates by the key of the metric; those that are refused are ``nan``."""
    unknown = AtFar(math.nan, math.nan)
    return {far_key(far): unknown if far in refused else at_far(curve, far) for far in fars}
