"""What a run shows while it goes on: phase 1, then one line a loss with its loss value and the time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceexp.results.events import TrialEnded
from faceexp.results.schema import TrialRecord
from faceexp.values import Event, Resolved

if TYPE_CHECKING:
    # Imported where it is used: `faceexp validate` prints the outline alone, and Rich is a tenth of its time.
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

STAGES = {
    "images": "decoding images",
    "backend": "starting TensorFlow",
    "pretrain": "phase 1",
    "features": "trunk features",
}
# These stages belong to no seed and fold.
SHARED = ("images", "backend")


def clock(seconds: float) -> str:
    """Return ``1:05`` or ``2:00:00``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def outline(resolved: Resolved) -> str:
    """Return in one line what a run is about to do."""
    experiment = resolved.experiment
    losses, seeds, folds = len(resolved.losses), len(experiment.seeds), resolved.folds
    trials = losses * seeds * folds
    return (
        f"{experiment.name}: {losses} loss{'es' if losses > 1 else ''} x {seeds} seed{'s' if seeds > 1 else ''} "
        f"x {folds} fold{'s' if folds > 1 else ''} = {trials} trials on {experiment.dataset.plugin}, "
        f"{experiment.protocol.kind.replace('_', ' ')}, trunk {experiment.model.plugin}"
    )


def ended(result: TrialRecord, number: int, total: int) -> str:
    """Return one line about a trial that has just ended, for logs."""
    place = f"[{number}/{total}] {result.label} (seed {result.seed}, fold {result.fold})"
    if result.status != "ok":
        return f"{place}: {result.status}: {result.reason}"
    accuracy, auc = result.metrics.get("accuracy"), result.metrics.get("auc")
    numbers = f"accuracy {accuracy:.3f}, AUC {auc:.3f}" if accuracy is not None and auc is not None else "ok"
    # What another trial, or another run, has paid for is not counted again.
    spent = sum(seconds for stage, seconds in result.seconds.items() if stage not in result.reused)
    source = "from the store" if "finetune" in result.reused else f"{spent:.1f} s"
    return f"{place}: {numbers}, {source}"


@dataclass(frozen=True)
class _Shown:
    """What a bar shows: a stage, of which seed and fold, since when and from how many units on."""

    stage: str
    name: str
    began: float
    first: int


class Display:
    """The live display; it takes events and is itself a renderable."""

    def __init__(self, resolved: Resolved) -> None:
        experiment = resolved.experiment
        self._began = time.monotonic()
        self._runs = len(experiment.seeds) * resolved.folds
        self._done = 0
        self._total = 0
        self._fresh: list[float] = []
        self._last = self._began
        self._ended: Counter[str] = Counter()
        self._stages = self._bars()
        self._losses = self._bars()
        # A bar for each stage, more where seeds run side by side: what it shows, and when and where that began.
        self._stage_tasks: dict[TaskID, _Shown] = {}
        self._loss_tasks = {
            loss.entry.label: self._losses.add_task(
                loss.entry.label, total=loss.entry.finetune.steps * self._runs, value="", left=""
            )
            for loss in resolved.losses
        }
        self._steps = {loss.entry.label: loss.entry.finetune.steps for loss in resolved.losses}
        # Steps that the trials of a loss have done which have not ended; by seed and fold.
        self._under_way: dict[str, dict[tuple[int, int], int]] = {label: {} for label in self._steps}
        self._spent: Counter[str] = Counter()

    @staticmethod
    def _bars() -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        return Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[value]}", style="cyan"),
            TextColumn("{task.fields[left]}", style="dim"),
        )

    def on_event(self, event: Event) -> None:
        """Take an event into the display."""
        now = time.monotonic()
        if event.stage in STAGES:
            self._stage(event)
        elif event.stage == "finetune":
            self._spent[event.label] += now - self._last  # type: ignore[assignment]  # seconds, not whole counts
            self._under_way[event.label][event.seed, event.fold] = event.done
            self._advance(event.label, f"loss {event.value:.4g}" if event.value is not None else "")
        elif isinstance(event, TrialEnded):
            self._done, self._total = event.done, event.total
            if event.label in self._loss_tasks:
                self._ended[event.label] += 1
                self._under_way[event.label].pop((event.seed, event.fold), None)
                mark = "" if event.trial.status == "ok" else event.trial.status
                self._advance(event.label, mark)
        self._last = now

    def _stage(self, event: Event) -> None:
        name = STAGES[event.stage]
        if event.stage not in SHARED:
            name += f", seed {event.seed} fold {event.fold}"
        now = time.monotonic()
        task = self._bar(event, name)
        shown = self._stage_tasks[task]
        if shown.name != name:
            # The first word of a stage is also when its clock starts: what went before was something else.
            shown = self._stage_tasks[task] = _Shown(event.stage, name, now, event.done)
        began, first = shown.began, shown.first
        left = ""
        if first < event.done < event.total:
            left = f"{clock((now - began) / (event.done - first) * (event.total - event.done))} left"
        value = f"loss {event.value:.4g}" if event.value is not None else ""
        self._stages.update(task, description=name, completed=event.done, total=event.total, value=value, left=left)

    def _bar(self, event: Event, name: str) -> TaskID:
        """Return the bar that shows this already, else one of the same stage that is done with, else a new one."""
        own = [task for task, shown in self._stage_tasks.items() if shown.stage == event.stage]
        showing = [task for task in own if self._stage_tasks[task].name == name]
        free = [task for task in own if self._stages.tasks[self._stages.task_ids.index(task)].finished]
        for task in showing + free:
            return task
        task = self._stages.add_task(name, total=event.total, value="", left="")
        self._stage_tasks[task] = _Shown(event.stage, "", 0.0, 0)
        return task

    def _advance(self, label: str, value: str) -> None:
        done = self._ended[label] * self._steps[label] + sum(self._under_way[label].values())
        whole = self._steps[label] * self._runs
        spent = float(self._spent[label])
        left = f"{clock(spent / done * (whole - done))} left" if 0 < done < whole and spent else ""
        task = self._loss_tasks[label]
        kept = value or self._losses.tasks[list(self._loss_tasks).index(label)].fields["value"]
        self._losses.update(task, completed=done, value=kept, left=left)

    def __rich__(self) -> RenderableType:
        """Return the display as it is now."""
        from rich.console import Group

        return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        from rich.text import Text

        if self._stage_tasks:
            yield self._stages
        yield self._losses
        spent = time.monotonic() - self._began
        text = f"{clock(spent)} elapsed"
        if self._total and self._done:
            text = f"trial {self._done} of {self._total}, {text}"
            if self._done < self._total:
                text += f", about {clock(spent / self._done * (self._total - self._done))} left"
        yield Text(text, style="dim")


def notes(plan_notes: Sequence[str]) -> RenderableType:
    """Return what a reader should know about the data."""
    from rich.console import Group
    from rich.text import Text

    return Group(*(Text(note, style="dim") for note in plan_notes))
