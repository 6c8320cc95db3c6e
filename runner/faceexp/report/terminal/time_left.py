"""How long what is left of a run will take, judged by what it has done so far."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from faceexp.results.schema import TrialRecord
from faceexp.values import Event, Kind

# Seed and fold.
Cell = tuple[int, int]
# Label and kind of a trial.
Row = tuple[str, Kind]


def spent(trial: TrialRecord) -> float:
    """Return the seconds that a trial took. What was found in the store is not counted: others have spent it."""
    return sum(seconds for stage, seconds in trial.seconds.items() if stage not in trial.reused)


def is_stored(trial: TrialRecord) -> bool:
    """Return whether a trial was finished before this run. A baseline has no phase 2; its measurement is its work."""
    return ("finetune" if trial.kind == "loss" else "evaluate") in trial.reused


def clock(seconds: float) -> str:
    """Return ``1:05`` or ``2:00:00``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Running:
    """What goes on at present, in one place.

    Attributes:
        stage: The stage; empty before the first event of a trial.
        label: The loss, where there is one.
        began: When the first event of the stage came.
        first: How many units had been done by then.
        latest: When the latest event came.
        before: The seconds between the first event and whatever ended before in the same seed and fold.
        event: The latest event.
    """

    stage: str
    label: str
    began: float = 0.0
    first: int = 0
    latest: float = 0.0
    before: float = 0.0
    event: Event | None = None

    def amount(self) -> str:
        """Return how far it is: units, the value of the loss, and the time left for what is not one of many trials."""
        event = self.event
        if event is None or event.total < 2:
            return ""
        parts = [f"{event.done:,}/{event.total:,}"]
        if event.value is not None:
            parts.append(f"loss {event.value:.3g}")
        if self.stage != "finetune" and (left := self.left()):
            parts.append(f"{clock(left)} left")
        return ", ".join(parts)

    def left(self) -> float | None:
        """Return the seconds left, where the rest takes as long as what is done; nothing before anything is."""
        event = self.event
        if event is None or event.done <= self.first:
            return None
        return (time.monotonic() - self.began) / (event.done - self.first) * (event.total - event.done)

    def unit(self) -> float | None:
        """Return the seconds of a unit of phase 2, without those before its first event, in which it was compiled."""
        if self.event is None or self.stage != "finetune" or self.event.done <= self.first:
            return None
        return (self.latest - self.began) / (self.event.done - self.first)


@dataclass
class Costs:
    """What trials of each row took, so that the time left can be told.

    A loss is compiled in its first trial of each process, which can take ten times as long as the training; so the two
    are counted apart. The time of phase 1 is that of the trial which needed it first, in each seed and fold the same.

    Attributes:
        usual: The seconds of a trial that finds its loss compiled, by label.
        extra: The seconds that it takes to compile the loss, by label.
        ended: How many trials have ended, by label.
        losses: The labels of losses, of which those that have not begun are expected to take what others take.
        at_once: How many trials have run side by side.
    """

    usual: dict[str, float] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    losses: set[str] = field(default_factory=set)
    at_once: int = 1

    def begin(self, running: Running) -> None:
        """Take what the first trial of a loss shows while it goes on, so that a long one need not end before."""
        unit = running.unit()
        if running.event and unit is not None and running.label not in self.usual:
            self.usual[running.label], self.extra[running.label] = unit * running.event.total, running.before
            self.losses.add(running.label)

    def end(self, trial: TrialRecord, running: Running | None) -> None:
        """Count a trial that has ended; ``running`` is what was shown of it."""
        if is_stored(trial):
            return
        finetune = training = trial.seconds.get("finetune", 0.0)
        if running and running.event and running.label == trial.label and (unit := running.unit()) is not None:
            training = min(finetune, unit * running.event.total)
        self.usual[trial.label] = spent(trial) - (finetune - training)
        self.extra[trial.label] = finetune - training if trial.label not in self.ended else self.extra[trial.label]
        self.ended[trial.label] += 1
        if trial.kind == "loss" and trial.status == "ok":
            self.losses.add(trial.label)

    def left(
        self, waiting: Mapping[Cell, Sequence[Row]], running: Mapping[Cell, tuple[Running, float]]
    ) -> float | None:
        """Return the seconds left; ``None`` before anything is known of losses, if such wait.

        Args:
            waiting: The trials of each seed and fold that have not ended, the one that runs among them.
            running: What runs, where something does, and the seconds since the trial before it ended.
        """
        kinds = {kind for rows in waiting.values() for _, kind in rows}
        if not kinds or ("loss" in kinds and not self.losses):
            return None
        begun = self.ended.copy()
        loads = [0.0] * self.at_once
        # A process takes one seed and fold at a time. What runs comes first.
        for cell in sorted(waiting, key=lambda cell: cell not in running):
            seconds = [self._seconds(row, begun) for row in waiting[cell]]
            if cell in running:
                seconds[0] = _rest(*running[cell], seconds[0])
            heapq.heapreplace(loads, loads[0] + sum(seconds))
        return max(loads)

    def _seconds(self, row: Row, begun: Counter[str]) -> float:
        """Return the seconds of the next trial of a row, which is counted among those that have begun."""
        label, kind = row
        begun[label] += 1
        if kind == "baseline":
            return self.usual.get(label, 0.0)
        seconds = self._of(label, self.usual)
        return seconds + self._of(label, self.extra) if begun[label] <= self.at_once else seconds

    def _of(self, label: str, seconds: Mapping[str, float]) -> float:
        return seconds[label] if label in seconds else fmean(seconds[known] for known in self.losses)


def _rest(running: Running, passed: float, expected: float) -> float:
    """Return the seconds that are left of a trial which runs."""
    unit, event = running.unit(), running.event
    if unit is None or event is None:
        return max(0.0, expected - passed)
    return max(0.0, unit * (event.total - event.done) - (time.monotonic() - running.latest))
