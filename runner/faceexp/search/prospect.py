"""What is still to do of a search, before it begins or goes on."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.planning.candidates import Candidates
from faceexp.search.chances import Chances, chances_of
from faceexp.search.rounds import Rounds
from faceexp.search.tuned import search_plan
from faceexp.store import Store
from faceexp.values import Event, Plan, Resolved, Score


@dataclass(frozen=True)
class Prospect:
    """What is still to do of a search.

    Attributes:
        chances: What it gives every loss.
        plan: On what it trains.
        ended: How many trials have ended already, of all losses together.
    """

    chances: Chances
    plan: Plan
    ended: int

    @property
    def trainings_left(self) -> int:
        """How many trainings are left; at most, where trials may end early."""
        of_trial = self.chances.seeds * self.chances.folds
        return self.chances.all_trainings - self.ended * of_trial


def prospect(candidates: Candidates, resolved: Resolved, store: Store, score: Score) -> Prospect:
    """Return what is still to do of a search. Nothing is trained.

    Args:
        candidates: What is searched.
        resolved: The experiment, with any values in the place of ranges.
        store: Where finished work is looked up.
        score: Would judge trainings on validation images.

    Raises:
        InputError: Optuna is not installed, or the losses cannot be given equal chances.
    """
    plan, varied = search_plan(candidates, resolved, store)
    rounds = Rounds(candidates, plan, store, score, _ignore, None)
    return Prospect(chances_of(plan, varied), plan, rounds.ended(varied))


def _ignore(event: Event) -> None:
    """Hear nothing: nothing happens."""
