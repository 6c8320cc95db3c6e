"""A trial of a search while it runs: what is known of it so far, whichever of its trainings ends first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from faceexp.search.outcome import State
from faceexp.search.study import Study
from faceexp.values import ResolvedLoss, Trial

Cell = tuple[int, int]


@dataclass
class Running:
    """A trial of one search.

    Attributes:
        study: The search.
        number: Which of its trials, counted from 0.
        loss: The loss with the values of the trial; nothing for phase 1, and where the values are not possible.
    """

    study: Study
    number: int
    loss: ResolvedLoss | None = None
    _scores: dict[Cell, float] = field(default_factory=dict)
    _faults: dict[Cell, tuple[State, str]] = field(default_factory=dict)
    _end: tuple[State, str] | None = None

    @property
    def label(self) -> str:
        """What the trial is called."""
        return f"{self.study.space.label}, trial {self.number + 1}"

    @property
    def is_alive(self) -> bool:
        """Whether it is to be trained with further seeds and folds."""
        return self._end is None and not self._faults

    def refuse(self, reason: str) -> None:
        """Take that its values are not possible."""
        self._end = "failed", " ".join(reason.split())

    def hear(self, trial: Trial, state: State, score: float, reason: str | None) -> None:
        """Take what came of its training with one seed and fold."""
        cell = trial.seed, trial.fold
        if state == "ok" and math.isfinite(score):
            self._scores[cell] = score
        elif state == "ok":
            self._faults[cell] = "diverged", "its validation score is no number"
        else:
            self._faults[cell] = state, reason or state

    def judge(self, cells: Iterable[Cell]) -> None:
        """End it where others did better with the seeds and folds so far."""
        if self.is_alive and self.study.report(self._scores_of(cells)):
            self._end = "pruned", ""

    def tell(self, cells: Iterable[Cell]) -> None:
        """Write into the journal how it has ended. Of several faults, that of the first seed and fold counts."""
        cells = list(cells)
        state, reason = self._end or next((self._faults[cell] for cell in cells if cell in self._faults), ("ok", ""))
        self.study.tell(state, self._scores_of(cells), reason)

    def _scores_of(self, cells: Iterable[Cell]) -> list[float]:
        return [self._scores[cell] for cell in cells if cell in self._scores]
