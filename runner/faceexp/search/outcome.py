"""What a search has tried, and what it has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from faceexp.planning.dimensions import Varied

# ok: trained with all seeds and folds; pruned: ended before, since others did better; diverged: a number was not
# finite; failed: an error was raised, or the values exclude each other.
State = Literal["ok", "pruned", "diverged", "failed"]


@dataclass(frozen=True)
class Tried:
    """One trial of a search.

    Attributes:
        number: Which one, counted from 0.
        values: The settings, by their names.
        score: The mean of the validation scores of all seeds and folds; of a pruned trial, of those it was trained
            with; ``None`` where there is none.
        state: How it ended.
        trainings: With how many seeds and folds it was trained.
        reason: Why it failed or diverged; empty if it did not.
    """

    number: int
    values: Mapping[str, Any]
    score: float | None
    state: State
    trainings: int
    reason: str = ""


@dataclass(frozen=True)
class Searched:
    """The search of one loss, or of phase 1.

    Attributes:
        space: What was searched.
        tried: Every trial, in order.
        importances: How much of the variance of the scores each setting explains; empty where that cannot be told.
        steps: Optimiser steps of one training; of phase 1, with the settings that were chosen.
        images: Images of one training, repetitions counted; likewise.
    """

    space: Varied
    tried: tuple[Tried, ...]
    importances: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    images: int = 0

    @property
    def best(self) -> Tried | None:
        """The trial with the highest score among those that were trained to the end; of equal ones, the first."""
        whole = [each for each in self.tried if each.state == "ok" and each.score is not None]
        return max(whole, key=lambda each: (each.score, -each.number), default=None)

    @property
    def default(self) -> Tried | None:
        """The trial with the default settings, if there is one and it was trained to the end."""
        defaults = self.space.defaults
        tried = (each for each in self.tried if defaults is not None and each.values == defaults)
        return next((each for each in tried if each.state == "ok"), None)
