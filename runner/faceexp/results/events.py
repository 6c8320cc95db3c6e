"""The event that only results can on_progress: a trial has ended, and this is what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.results.schema import TrialRecord
from faceexp.values import Event


@dataclass(frozen=True, kw_only=True)
class TrialEnded(Event):
    """A trial has just ended.

    Attributes:
        trial: Its record.
    """

    trial: TrialRecord
