"""What a search gives every loss: ranges of its settings, and how much training, which is the same for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceexp.experiment.search import Search
from faceexp.planning.dimensions import Varied
from faceexp.values import Plan


@dataclass(frozen=True)
class Chance:
    """What one loss gets, or the trunk and phase 1.

    Attributes:
        label: The name of its row.
        ranges: Its settings with the values that are tried, in words.
        suggested: The settings whose values plugins suggest; the file has the rest.
        steps: Optimiser steps of one training; 0 for phase 1, where they depend on the settings.
        images: Images of one training, repetitions counted; likewise.
    """

    label: str
    ranges: Mapping[str, str]
    suggested: tuple[str, ...]
    steps: int = 0
    images: int = 0

    @classmethod
    def of(cls, space: Varied, steps: int = 0, images: int = 0) -> Chance:
        """Return what is given to what is searched."""
        ranges = {each.name: str(each.space) for each in space.dimensions}
        suggested = tuple(each.name for each in space.dimensions if each.suggested)
        return cls(space.label, ranges, suggested, steps, images)


@dataclass(frozen=True)
class Chances:
    """What all of them get.

    Attributes:
        trials: Settings that are tried of each.
        seeds: Seeds with which each is trained.
        folds: Folds of each seed.
        prunes: Whether a trial may end before all seeds and folds.
        losses: The losses of which something is searched; or phase 1 alone.
        is_phase1: Whether this is the search of the trunk and of phase 1.
    """

    trials: int
    seeds: int
    folds: int
    prunes: bool
    losses: tuple[Chance, ...]
    is_phase1: bool = False

    @classmethod
    def of(cls, search: Search, plan: Plan, losses: Sequence[Chance], *, is_phase1: bool = False) -> Chances:
        """Return what some losses get on the splits of a plan."""
        return cls(search.trials, len(search.seeds), plan.folds, search.pruner != "none", tuple(losses), is_phase1)

    @property
    def all_trials(self) -> int:
        """Trials of all losses together."""
        return self.trials * len(self.losses)

    @property
    def of_trial(self) -> int:
        """Trainings of a trial; at most, where trials may end early."""
        return self.seeds * self.folds

    @property
    def trainings(self) -> int:
        """Trainings of each loss; likewise."""
        return self.trials * self.of_trial

    @property
    def all_trainings(self) -> int:
        """Trainings of all losses together; likewise."""
        return self.trainings * len(self.losses)
