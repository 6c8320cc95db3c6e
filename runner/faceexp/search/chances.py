"""What a search gives every loss: ranges of its settings, and how much training, which is the same for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceexp.planning.candidates import LossSpace
from faceexp.values import Plan


@dataclass(frozen=True)
class Chance:
    """What one loss gets.

    Attributes:
        label: The name of its row.
        ranges: Its settings with the values that are tried, in words.
        suggested: The settings whose values plugins suggest; the file has the rest.
        steps: Optimiser steps of one training.
        images: Images of one training, repetitions counted.
    """

    label: str
    ranges: Mapping[str, str]
    suggested: tuple[str, ...]
    steps: int
    images: int


@dataclass(frozen=True)
class Chances:
    """What all losses get.

    Attributes:
        trials: Settings that are tried of each loss.
        seeds: Seeds with which each is trained.
        folds: Folds of each seed.
        prunes: Whether a trial may end before all seeds and folds.
        losses: The losses of which something is searched.
    """

    trials: int
    seeds: int
    folds: int
    prunes: bool
    losses: tuple[Chance, ...]

    @property
    def trainings(self) -> int:
        """Trainings of each loss; at most, where trials may end early."""
        return self.trials * self.seeds * self.folds

    @property
    def all_trainings(self) -> int:
        """Trainings of all losses together."""
        return self.trainings * len(self.losses)


def chance_of(plan: Plan, space: LossSpace) -> Chance:
    """Return what a loss gets in a search on the splits of a plan."""
    loss = next(loss for loss in plan.resolved.losses if loss.entry.index == space.index)
    steps = loss.entry.finetune.steps
    return Chance(
        label=space.label,
        ranges={each.name: str(each.space) for each in space.dimensions},
        suggested=tuple(each.name for each in space.dimensions if each.suggested),
        steps=steps,
        images=steps * loss.sampler.supply().size,
    )


def chances_of(plan: Plan, spaces: Sequence[LossSpace]) -> Chances:
    """Return what every loss gets in a search on the splits of a plan."""
    search = plan.resolved.experiment.search
    assert search is not None  # noqa: S101 - nobody searches otherwise
    losses = tuple(chance_of(plan, space) for space in spaces)
    return Chances(search.trials, len(search.seeds), plan.folds, search.pruner != "none", losses)
