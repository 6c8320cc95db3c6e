"""A part of a run: a share of its trials, or those that are finished already."""

from __future__ import annotations

import re
from dataclasses import dataclass

from faceexp.engine.finished import MissingError
from faceexp.engine.training import finished_work
from faceexp.errors import InputError, Problem
from faceexp.evaluation.checkpoints import validation_score
from faceexp.store import Store
from faceexp.values import Plan, Trial

SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")
# What the folder of a run is called in addition that has what is finished so far.
SO_FAR = "-so-far"


@dataclass(frozen=True)
class Shard:
    """One of several shares of the trials of a run, which are computed apart from each other.

    Attributes:
        number: Which one, counted from 1.
        of: How many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3/8``.

        Raises:
            InputError: It is something else.
        """
        parts = SHARD.fullmatch(text.strip())
        if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
            raise InputError(Problem(f"must be such as 3/8, the third of eight shares, not {text!r}", "--shard"))
        return cls(int(parts[1]), int(parts[2]))

    @property
    def suffix(self) -> str:
        """What the folder of its run is called in addition."""
        return f"-shard-{self.number}-of-{self.of}"

    def trials(self, plan: Plan) -> tuple[Trial, ...]:
        """Return its trials, in the order of the plan. Every trial belongs to exactly one share.

        A seed and fold has its own phase 1, so each goes to one share as a whole. Where there are more shares than
        seeds and folds, several share the trials of one, and each of these makes its phase 1, or waits for it where
        they have one store.
        """
        cells = list(dict.fromkeys((trial.seed, trial.fold) for trial in plan.trials))
        place = self.number - 1
        if self.of <= len(cells):
            mine = set(cells[place :: self.of])
            return tuple(trial for trial in plan.trials if (trial.seed, trial.fold) in mine)
        cell, sharing = cells[place % len(cells)], range(place % len(cells), self.of, len(cells))
        of_cell = [trial for trial in plan.trials if (trial.seed, trial.fold) == cell]
        return tuple(of_cell[sharing.index(place) :: len(sharing)])


def finished_trials(plan: Plan, store: Store, jobs: int | None = None) -> tuple[Trial, ...]:
    """Return the trials of a plan that need no training, since they lie in a store. Nothing is added to it.

    Args:
        plan: The plan.
        store: The store.
        jobs: How many processes share the cores where they are trained, which decides how many threads each has.
    """
    score = validation_score(plan.resolved.experiment.evaluation.choose_by)
    finished = finished_work(plan, store, score, jobs)

    def is_finished(trial: Trial) -> bool:
        try:
            finished(trial)
        except MissingError:
            return False
        return True

    return tuple(trial for trial in plan.trials if is_finished(trial))
