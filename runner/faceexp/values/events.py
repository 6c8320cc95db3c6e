"""The progress of a run, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faceexp.values.notes import Note


@dataclass(frozen=True)
class Event:
    """Progress of a run, for whoever watches it.

    Attributes:
        stage: ``images``, ``backend`` (TensorFlow starts), ``rehearsal`` (trunk and losses are called once), ``search``
            and ``round`` (of a search), ``pretrain``, ``features``, ``finetune``, ``jobs`` (of an
            executor), ``trial`` (one has ended), ``note`` (see :class:`Noted`), ``compare`` (all have ended; what they
            found is compared and written).
        done: Units of work done, of ``total``.
        label: The loss, where there is one.
        value: The loss value, where there is one.
    """

    stage: str
    done: int
    total: int
    label: str = ""
    seed: int = 0
    fold: int = 0
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Noted(Event):
    """Something that whoever watches a run should know before it trains."""

    note: Note


@dataclass(frozen=True, kw_only=True)
class Refused(Event):
    """A loss will not be trained, since its first call has failed: why, and the traceback where there is one."""

    reason: str
    traceback: str


EventCallback = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with an event. Whoever runs an experiment from Python need not watch it."""
