"""The one event that needs a record: a trial has ended, and this is what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.results.schema import TrialRecord
from faceexp.values import Event


@dataclass(frozen=True, kw_only=True)
class TrialEnded(Event):
    """A trial has just ended.

    Attributes:
        trial: The record of the trial.
    """

    trial: TrialRecord
