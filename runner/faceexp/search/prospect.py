"""What is still to do of a search, before it begins or goes on."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.planning.candidates import Candidates
from faceexp.search.chances import Chances
from faceexp.search.tuned import Prepared
from faceexp.store import Store
from faceexp.values import Plan, Resolved, Score, ignore


@dataclass(frozen=True)
class Part:
    """What is still to do of a part of a search: of phase 1, or of the losses.

    Attributes:
        chances: What it gives.
        ended: How many trials have ended already, of all losses together.
    """

    chances: Chances
    ended: int

    @property
    def left(self) -> int:
        """How many trainings are left; at most, where trials may end early."""
        return self.chances.all_trainings - self.ended * self.chances.of_trial


@dataclass(frozen=True)
class Prospect:
    """What is still to do of a search.

    Attributes:
        plan: On what it trains.
        phase1: The search of the trunk and of phase 1, if there is one.
        losses: That of the losses, if anything is searched of them.
    """

    plan: Plan
    phase1: Part | None
    losses: Part | None

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it consists of."""
        return tuple(part for part in (self.phase1, self.losses) if part)

    @property
    def trainings(self) -> int:
        """How many trainings it has, at most."""
        return sum(part.chances.all_trainings for part in self.parts)

    @property
    def left(self) -> int:
        """How many trainings are left, at most."""
        return sum(part.left for part in self.parts)


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
    search = Prepared.of(candidates, resolved, store)
    of_phase1, of_losses = None, None
    if search.shared:
        phase1 = search.phase1(store, score, ignore, None)
        of_phase1 = Part(phase1.chances(search.shared), phase1.ended(search.shared))
        if not of_phase1.left:
            # Which trunk the losses are searched with is read from the journal.
            search = search.after(phase1.run(search.shared), store)
    if search.varied:
        rounds = search.rounds(store, score, ignore, None)
        # While the trunk is not chosen, nothing can have been searched of the losses.
        of_losses = Part(rounds.chances(search.varied), 0 if search.shared else rounds.ended(search.varied))
    return Prospect(search.plan, of_phase1, of_losses)
