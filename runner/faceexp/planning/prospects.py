"""What a run can answer at best, said before anything trains: its questions need people to test and trials to compare.

These are bounds of what is possible. Above them a run may still find nothing; `faceexp power` says how likely that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from faceexp.arrays import IntArray
from faceexp.data.splits import Split, test_size, validation_size
from faceexp.experiment.asked import TRIALS_FOR_BEST, TRIALS_FOR_HELPS
from faceexp.experiment.protocol import Protocol
from faceexp.planning.looks import free_seeds
from faceexp.values import Note

LEVEL = 0.05
# A row that guesses is as likely to be better than chance on a person as to be worse. That it is better on all of p
# people, or worse on all, has the probability 2 / 2^p, below which no p-value of a test over people can fall.
PEOPLE = math.ceil(math.log2(2 / LEVEL))
# Nobody is told to find more people than this.
MOST_PEOPLE = 10_000
# More seeds than this are counted, and not written one by one.
MOST_SEEDS = 10


def prospects(labels: IntArray, protocol: Protocol, parts: Sequence[Split], *, trains: bool = True) -> Iterator[Note]:
    """Yield a note for each thing that the run has too little of for its questions.

    Args:
        labels: int (N,), the identity of each image.
        protocol: How the images were cut.
        parts: The split of each seed and fold.
        trains: Whether any loss is trained; if none is, there is no question of which losses help.
    """
    yield from _of_people(labels, protocol, parts)
    yield from _of_trials(protocol, parts, trains=trains)


def _of_people(labels: IntArray, protocol: Protocol, parts: Sequence[Split]) -> Iterator[Note]:
    tested = len(set().union(*(_judged(labels[part.test]) for part in parts)))
    tuned = min(len(_judged(labels[part.validation])) for part in parts)
    enough = enough_people(protocol) if protocol.kind == "open_set" else None
    advice = f"; {enough} people in the data, cut in this way, give so many" if enough else ""
    if tested < PEOPLE:
        yield Note(
            "few_people",
            f"{_people(tested)} tested in all: a row that only guesses is right about all of them, or wrong about all, "
            f"in 1 of {2 ** max(tested - 1, 0)} runs, so not even a perfect row can be shown to beat guessing at "
            f"5 %; it takes {PEOPLE} people with two images or more in test{advice}",
            people=enough,
        )
    if tuned < PEOPLE:
        yield Note(
            "few_people",
            f"{_people(tuned)} in validation, by whom threshold and checkpoint are chosen: what is best on so few may "
            f"be best by luck, and the threshold may fit nobody else; it takes {PEOPLE} people with two images or more "
            f"there before any choice can be shown to beat guessing at 5 %{advice}",
            people=enough,
        )


def _judged(labels: IntArray) -> set[int]:
    """Return the people who have two images, without which there is no similar pair to be right or wrong about."""
    return set(np.flatnonzero(np.bincount(labels) >= 2).tolist())


def _people(number: int) -> str:
    return "only 1 person is" if number == 1 else f"only {number} people are"


def enough_people(protocol: Protocol) -> int | None:
    """Return how many people leave enough for test and validation in an open set; ``None`` for far too many."""
    for everybody in range(PEOPLE, MOST_PEOPLE):
        largest_test = test_size(everybody, protocol)
        tested = everybody if protocol.folds > 1 else largest_test
        rest = everybody - largest_test
        held = validation_size(rest, protocol)
        if tested >= PEOPLE and held >= PEOPLE and rest - held >= 2:
            return everybody
    return None


def _of_trials(protocol: Protocol, parts: Sequence[Split], *, trains: bool) -> Iterator[Note]:
    used = tuple(dict.fromkeys(part.seed for part in parts))
    seeds, folds = len(used), len({part.fold for part in parts})
    # Seeds that test the same people are averaged within each fold, which then counts once.
    averaged = protocol.seeds_share_test and folds > 1
    trials = folds if averaged else seeds * folds
    if trials >= TRIALS_FOR_BEST:
        return
    wanted = more_trials(TRIALS_FOR_BEST, used, folds, averaged=averaged)
    if averaged:
        counted = f"{folds} folds, within each of which seeds are averaged"
        remedy = f"take a list of {wanted}" if protocol.kind == "pairs_file" else f"cut {wanted}"
    else:
        counted = f"{seeds} seed{'s' if seeds > 1 else ''} x {folds} fold{'s' if folds > 1 else ''}"
        remedy = (
            f"write {wanted}" if protocol.kind in ("listed", "pairs_file") else f"write {wanted}, or cut more folds"
        )
    best = f"which may be the best takes {TRIALS_FOR_BEST}"
    of_each = f"{trials} trial{'s' if trials > 1 else ''} of each row ({counted})"
    if not trains:
        by_people = "whether an embedding that is only measured beats guessing is judged by people"
        text = f"{of_each}: {by_people}; {best} trials at least"
    elif trials >= TRIALS_FOR_HELPS:
        text = f"{of_each} can show which losses help; {best}"
    else:
        none = "no interval and no comparison will come out" if trials == 1 else "no verdict will come out"
        text = f"{of_each}: {none}; which losses help takes {TRIALS_FOR_HELPS} trials at least, and {best}"
    yield Note("few_trials", f"{text}: {remedy}")


def more_trials(trials: int, seeds: Sequence[int], folds: int, *, averaged: bool) -> str:
    """Return what gives each row so many trials, as the experiment file says it: ``seeds = [0, 1, 2]`` or ``3 folds``.

    Args:
        trials: The number of trials.
        seeds: The seeds that there are.
        folds: The number of folds.
        averaged: Whether seeds are averaged within each fold, so that only folds count.
    """
    return f"{trials} folds" if averaged else seeds_line(math.ceil(trials / folds), seeds)


def seeds_line(number: int, seeds: Sequence[int]) -> str:
    """Return the line of an experiment file with so many seeds, those that it has first; only the number of many."""
    if number > MOST_SEEDS:
        return f"{number:,} seeds"
    return f"seeds = {[*seeds, *free_seeds(seeds, max(0, number - len(seeds)))]}"
