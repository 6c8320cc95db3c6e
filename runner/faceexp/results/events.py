"""The events that need records: a trial has ended, or a look at the trials was taken."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.results.schema import TrialRecord
from faceexp.results.verdict import VerdictRecord
from faceexp.values import Event, TrainedTrial


@dataclass(frozen=True, kw_only=True)
class TrialEnded(Event):
    """A trial has just ended.

    Attributes:
        trial: The record of the trial.
        trained: What the record was made of, with the embeddings; nothing where these are not at hand.
    """

    trial: TrialRecord
    trained: TrainedTrial | None = None


@dataclass(frozen=True, kw_only=True)
class Looked(Event):
    """A look has left losses in question, for which further seeds begin now.

    Attributes:
        verdict: What is known so far.
    """

    verdict: VerdictRecord
