"""What it would take: the differences that more trials would find, after the correction for the number of losses."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from faceexp.statistics.paired import detectable_in_errors, t_quantile

# A mean may still move by so many standard errors of what later trials add to it: in nine of ten cases by less.
DRIFT = 1.3
# Nobody runs more trials than this to settle one question.
MOST_TRIALS = 10_000


@dataclass(frozen=True)
class Seen:
    """What a study has seen of the differences that it could not decide.

    Attributes:
        spread: Standard deviation of a trial's difference.
        trials: The number of trials.
        degrees: Degrees of freedom of the spread.
        ratio: Test data per datum that is not tested.
        alpha: The level of one claim, after the correction for how many there are.
    """

    spread: float
    trials: int
    degrees: float
    ratio: float
    alpha: float

    def detectable(self, trials: int) -> float:
        """Return the difference that so many trials find in 80 % of repetitions, after the correction."""
        # A variance that borrows degrees of freedom borrows in proportion to its own.
        degrees = self.degrees * (trials - 1) / (self.trials - 1)
        error = self.spread * math.sqrt(1 / trials + self.ratio)
        return detectable_in_errors(degrees, self.alpha) * error

    @property
    def limit(self) -> float:
        """The difference below which no number of trials finds one, since all of them share their people."""
        return self.detectable(MOST_TRIALS) if self.ratio else 0.0

    def trials_for(self, difference: float) -> int | None:
        """Return how many trials find such a difference; ``None`` if no number does."""
        numbers = range(2, MOST_TRIALS + 1)
        place = bisect_left(numbers, True, key=lambda number: self.detectable(number) <= difference)
        return numbers[place] if place < len(numbers) else None

    def times_people(self, difference: float) -> float:
        """Return how many times as many people find it with as many trials: the variance falls with their number."""
        return (self.detectable(self.trials) / difference) ** 2


@dataclass(frozen=True)
class Open:
    """A difference that a look at the trials has left undecided.

    Attributes:
        difference: The difference so far.
        half: Half the width of its interval so far.
        trials: The number of trials so far.
        degrees: Degrees of freedom so far.
        level: The level of the interval.
    """

    difference: float
    half: float
    trials: int
    degrees: float
    level: float

    def within_reach(self, most: int, ratio: float, equivalence: float) -> bool:
        """Return whether so many trials may still decide it, given what was seen.

        They may if the interval will probably be narrow enough to leave out 0, or to lie within the margin of
        equivalence. Giving up a difference claims nothing, so it costs no certainty.

        Args:
            most: The number of trials that there will be at most.
            ratio: Test data per datum that is not tested.
            equivalence: The margin.
        """
        if most <= self.trials:
            return False
        degrees = self.degrees * (most - 1) / (self.trials - 1)
        quantiles = [t_quantile(1 - self.level / 2, number) for number in (self.degrees, degrees)]
        spread = self.half / quantiles[0] / math.sqrt(1 / self.trials + ratio)
        half = quantiles[1] * spread * math.sqrt(1 / most + ratio)
        drift = DRIFT * spread * math.sqrt(1 / self.trials - 1 / most)
        size = abs(self.difference)
        return size + drift > half or max(0.0, size - drift) + half < equivalence
