"""The frozen values that flow from stage to stage, and the events a run emits on the way."""

from faceexp.values.events import Event, EventCallback, Noted, Refused, ignore
from faceexp.values.notes import Kind, Note, NoteKind, Status
from faceexp.values.plan import Plan, Trial
from faceexp.values.resolved import Resolved, ResolvedLoss, ResolvedPretrained, ResolvedSet
from faceexp.values.trained import NETWORK_FILE, Budget, Checkpoint, Score, TrainedTrial

__all__ = [
    "NETWORK_FILE",
    "Budget",
    "Checkpoint",
    "Event",
    "EventCallback",
    "Kind",
    "Note",
    "NoteKind",
    "Noted",
    "Plan",
    "Refused",
    "Resolved",
    "ResolvedLoss",
    "ResolvedPretrained",
    "ResolvedSet",
    "Score",
    "Status",
    "TrainedTrial",
    "Trial",
    "ignore",
]
