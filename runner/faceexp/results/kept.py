"""Which models a run keeps: those of all trials, that of each row which is best on validation, or none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from faceexp.experiment.keep import Models

if TYPE_CHECKING:
    # As in `folder`: whoever opens a model needs none of the records of a run.
    from faceexp.results.schema import CheckpointRecord, TrialRecord
    from faceexp.values import Checkpoint, Trial


class Standing(NamedTuple):
    """How a trial stands among those of its row: the higher, the better. Of equals, the first seed and fold is taken.

    Attributes:
        validation: The validation score of the weights that are kept; minus infinity where nothing was trained.
        seed: The seed, negated.
        fold: The fold, negated.
    """

    validation: float
    seed: int
    fold: int

    @classmethod
    def of(cls, curve: Iterable[CheckpointRecord | Checkpoint], best_step: int, seed: int, fold: int) -> Standing:
        """Return the standing of a trial with a training curve and the step whose weights are kept."""
        scores = (point.validation for point in curve if point.step == best_step)
        score = next((score for score in scores if score is not None and not math.isnan(score)), -math.inf)
        return cls(score, -seed, -fold)


def standing(trial: TrialRecord) -> Standing:
    """Return how a trial stands among those of its row."""
    return Standing.of(trial.curve, trial.best_step, trial.seed, trial.fold)


def has_model(trial: TrialRecord) -> bool:
    """Return whether there is a model of a trial that might be kept."""
    return trial.status == "ok" and trial.kind != "baseline"


def kept(models: Models, trials: Iterable[TrialRecord]) -> set[str]:
    """Return the ids of those of some trials whose models are kept, whatever the order of the trials."""
    able = [trial for trial in trials if has_model(trial)]
    if models == "all":
        return {trial.id for trial in able}
    best: dict[str, TrialRecord] = {}
    for trial in able if models == "best" else []:
        if trial.label not in best or standing(trial) > standing(best[trial.label]):
            best[trial.label] = trial
    return {trial.id for trial in best.values()}


@dataclass
class Held:
    """A trial whose model is kept as far as is known.

    Attributes:
        trial: The trial.
        record: What came of it.
        key: What its network is found by in the store; empty where nothing of it was trained.
        lacks_network: Whether its network is not there, so that it has to be trained again.
    """

    trial: Trial
    record: TrialRecord
    key: str
    lacks_network: bool = False


@dataclass
class KeptModels:
    """The models that a run keeps while its trials end, so that those which are not kept never fill the disk.

    Attributes:
        models: Which the experiment file asks for.
        only_reads: Whether the store is left as it is.
    """

    models: Models
    only_reads: bool = False
    _held: dict[str, Held] = field(default_factory=dict)

    def add(self, new: Held) -> Held | None:
        """Take a trial that has ended well, and return the one whose model is not kept then, be it this one."""
        place = new.record.id if self.models == "all" else new.record.label
        before = self._held.get(place)
        if self.models == "none" or (before and standing(before.record) >= standing(new.record)):
            return new
        self._held[place] = new
        return before

    @property
    def lacking(self) -> list[Held]:
        """The trials whose model is to be kept, and whose network is not there."""
        return [held for held in self._held.values() if held.lacks_network and not self.only_reads]
