"""How much of the spread between trials is people, and how much is training?

Where the people are cut the same way for every seed, the trials of one fold train and test on the same images and
differ in their weights and batches alone, while those of two folds differ in their people as well. In the random model
``value = mean + fold + rest``, the variance of ``fold`` is due to people (and to which of their images there are), and
that of ``rest`` to training. Both are estimated by the method of moments, from the mean squares of a one-way analysis
of variance. Seeds are nested in folds: the same seed draws other weights in another fold.

An estimate below 0 becomes 0, so that a small share of people is overstated in the mean; the interval is not affected.
The training parts of folds overlap, which makes folds more alike than if each had people of its own. The share of
people is therefore one of this data set; with new people it is likely to be larger.

References:
    Searle, Casella and McCulloch, "Variance Components", Wiley (1992), chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceexp.statistics.paired import Cell, Interval
from faceexp.statistics.power import UnanswerableError
from faceexp.statistics.power.question import ALPHA

if TYPE_CHECKING:
    from collections.abc import Mapping

# Squares of differences that are only rounding, as a share of the squares of the values.
ROUNDING = 1e-28


@dataclass(frozen=True)
class Spread:
    """The variance of one label's value from trial to trial, by what causes it.

    Attributes:
        label: The row.
        people: Variance from fold to fold that other people cause.
        training: Variance from seed to seed within a fold, which has the same people.
        folds: How many folds have a value.
        trials: How many values there are in all.
        interval: 95 % interval of :attr:`people_share`, exact for normal values if each fold has as many seeds;
            ``None`` if there is no spread at all.
    """

    label: str
    people: float
    training: float
    folds: int
    trials: int
    interval: Interval | None

    @property
    def people_share(self) -> float | None:
        """The share of people in the variance of a trial, from 0 to 1; ``None`` if there is no spread at all."""
        whole = self.people + self.training
        return self.people / whole if whole else None

    @property
    def training_share(self) -> float | None:
        """The share of training; what :attr:`people_share` leaves."""
        share = self.people_share
        return None if share is None else 1 - share


def spreads(
    values: Mapping[str, Mapping[Cell, float]], *, seeds_share_people: bool, reference: str | None = None
) -> tuple[Spread, ...]:
    """Return the spread of each label that has several seeds in at least one fold, and several folds.

    Args:
        values: Label -> (seed, fold) -> value; trials without a value are left out.
        seeds_share_people: Whether the people are cut the same way for every seed.
        reference: If given, the spread of the difference of each other label to this one is returned, over the trials
            that both have. What makes both better or worse alike does not count then.

    Raises:
        UnanswerableError: The trials cannot tell people and training apart, or there is no such reference; the message
            says why, and what to do.
    """
    cells = {cell for row in values.values() for cell in row}
    if not seeds_share_people:
        raise UnanswerableError(
            "each seed has other people and another training, which cannot be told apart; set split_seed in [protocol]"
        )
    if len({fold for _, fold in cells}) < 2:
        raise UnanswerableError(
            "with one fold all seeds test the same people, so the spread is that of training alone; add folds"
        )
    if len({seed for seed, _ in cells}) < 2:
        raise UnanswerableError("with one seed, each fold has one training; add seeds")
    rows = values
    if reference is not None:
        if reference not in values:
            raise UnanswerableError(f"there is no row {reference!r} from which the others could differ")
        base = values[reference]
        rows = {
            label: {cell: value - base[cell] for cell, value in row.items() if cell in base}
            for label, row in values.items()
            if label != reference
        }
    found = (_spread_of(label, row) for label, row in rows.items())
    return tuple(spread for spread in found if spread is not None)


def _spread_of(label: str, row: Mapping[Cell, float]) -> Spread | None:
    import numpy as np

    groups = [[value for (_, of), value in row.items() if of == fold] for fold in sorted({fold for _, fold in row})]
    sizes = np.array([len(group) for group in groups])
    folds, trials = len(groups), len(row)
    if folds < 2 or trials == folds:
        return None
    means = np.array([np.mean(group) for group in groups])
    within = sum(float(np.sum((np.array(group) - mean) ** 2)) for group, mean in zip(groups, means, strict=True))
    between = float(np.sum(sizes * (means - np.average(means, weights=sizes)) ** 2))
    # 0.3 - 0.2 and 0.2 - 0.1 differ in the last binary digit; such rounding is no spread.
    least = ROUNDING * sum(value**2 for value in row.values())
    within, between = (squares if squares > least else 0.0 for squares in (within, between))
    mean_within, mean_between = within / (trials - folds), between / (folds - 1)
    # How many seeds a fold has; where folds differ in it, the number that keeps the estimate unbiased.
    seeds = (trials - float(np.sum(sizes**2)) / trials) / (folds - 1)
    people = max(0.0, (mean_between - mean_within) / seeds)
    return Spread(label, people, mean_within, folds, trials, _interval(mean_between, mean_within, seeds, folds, trials))


def _interval(between: float, within: float, seeds: float, folds: int, trials: int) -> Interval | None:
    """Return the interval of the share that follows from the distribution of the ratio of two mean squares."""
    from scipy.special import fdtri

    if not between and not within:
        return None
    if not within:
        return 1.0, 1.0
    degrees = folds - 1, trials - folds
    ends = (between / within / float(fdtri(*degrees, level)) for level in (1 - ALPHA / 2, ALPHA / 2))
    low, high = (max(0.0, (ratio - 1) / (ratio - 1 + seeds)) for ratio in ends)
    return low, high
