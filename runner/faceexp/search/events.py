"""What whoever watches a run is told of its search: what it will try, how far it is, and what it has chosen.

Beside these come plain events of the stage ``round``: how many trainings of a round have ended. In a round, every loss
has one trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faceexp.search.chances import Chances
from faceexp.search.outcome import Searched
from faceexp.search.study import Study
from faceexp.values import Event, Note, Noted, Resolved

STAGE = "search"
ROUND = "round"


@dataclass(frozen=True)
class Standing:
    """How far the search of a loss is.

    Attributes:
        label: The name of the loss.
        done: How many of its trials have ended.
        best: The best validation score so far; ``None`` before any.
    """

    label: str
    done: int
    best: float | None


@dataclass(frozen=True, kw_only=True)
class SearchBegins(Event):
    """A search begins, or goes on: what it gives every loss."""

    chances: Chances


def begins(chances: Chances) -> SearchBegins:
    """Return that a search begins."""
    return SearchBegins(STAGE, 0, chances.all_trials, chances=chances)


@dataclass(frozen=True, kw_only=True)
class SearchGoesOn(Event):
    """So many trials of a search have ended, of all losses together."""

    standings: tuple[Standing, ...]


@dataclass(frozen=True, kw_only=True)
class SearchEnds(Event):
    """A search has ended.

    Attributes:
        searched: What was tried of each loss, before these of phase 1 if it was searched.
        resolved: The experiment that is compared from now on, with the settings that were chosen.
    """

    searched: tuple[Searched, ...]
    resolved: Resolved


def waits_for(labels: Sequence[str]) -> Noted:
    """Return that another process searches the same settings, so that this one waits."""
    text = f"another process searches the same settings ({', '.join(labels)}); this one waits until it has ended"
    return Noted("note", 1, 1, note=Note("search", text))


def so_far(studies: Sequence[Study], trials: int) -> SearchGoesOn:
    """Return how far some searches are.

    Args:
        studies: The search of each loss.
        trials: How many trials each of them has.
    """
    standings = []
    for study in studies:
        tried = Searched(study.space, study.tried())
        standings.append(Standing(study.space.label, len(tried.tried), tried.best.score if tried.best else None))
    done = sum(standing.done for standing in standings)
    return SearchGoesOn(STAGE, done, trials * len(studies), standings=tuple(standings))
