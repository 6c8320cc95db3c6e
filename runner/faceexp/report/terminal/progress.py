"""What a run shows while it goes on: phase 1, then one line per loss with its loss value and the time left."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceexp.errors import printable
from faceexp.planning.looks import trials_a_look
from faceexp.report.shown import shown
from faceexp.results.events import Looked, TrialEnded
from faceexp.results.schema import TrialRecord
from faceexp.values import Event, Resolved

if TYPE_CHECKING:
    # Elsewhere Rich is imported only where it is used: `faceexp validate` needs nothing but the outline, and importing
    # Rich would take a tenth of its time.
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

STAGES = {
    "images": "decoding images",
    "backend": "starting TensorFlow",
    "pretrain": "phase 1",
    "features": "trunk features",
}
# All seeds and folds share these stages, so their bars name none.
SHARED = ("images", "backend")


def clock(seconds: float) -> str:
    """Return ``1:05`` or ``2:00:00``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ended(trial: TrialRecord, number: int, total: int) -> str:
    """Return one line for a log about a trial that has just ended."""
    trial = shown(trial)
    place = f"[{number}/{total}] {trial.label} (seed {trial.seed}, fold {trial.fold})"
    if trial.status != "ok":
        return f"{place}: {trial.status}: {trial.reason}"
    accuracy, auc = trial.metrics.get("accuracy"), trial.metrics.get("auc")
    numbers = f"accuracy {accuracy:.3f}, AUC {auc:.3f}" if accuracy is not None and auc is not None else "ok"
    # The time of what was found in the store is not counted: another trial, or another run, has spent it.
    spent = sum(seconds for stage, seconds in trial.seconds.items() if stage not in trial.reused)
    source = "from the store" if "finetune" in trial.reused else f"{spent:.1f} s"
    return f"{place}: {numbers}, {source}"


@dataclass(frozen=True)
class _StageBar:
    """What the bar of a stage shows at present.

    Attributes:
        stage: The stage.
        name: The stage as it is shown, with its seed and fold; empty as long as nothing was shown.
        began: When the first event of that name came.
        first: How many units had been done by then.
    """

    stage: str
    name: str
    began: float
    first: int


class Display:
    """The live display: it takes the events of a run, and Rich draws it as it is at that moment."""

    def __init__(self, resolved: Resolved) -> None:
        experiment = resolved.experiment
        self._began = time.monotonic()
        # How many trials each loss has; a look may add some.
        self._runs = Counter({loss.entry.label: len(experiment.seeds) * resolved.folds for loss in resolved.losses})
        self._folds = resolved.folds
        self._done = 0
        self._total = 0
        self._last = self._began
        self._ended: Counter[str] = Counter()
        self._stages = self._bars()
        self._losses = self._bars()
        # One bar per stage, and more where seeds run side by side.
        self._stage_bars: dict[TaskID, _StageBar] = {}
        self._loss_tasks = {
            loss.entry.label: self._losses.add_task(
                printable(loss.entry.label),
                total=loss.entry.finetune.steps * self._runs[loss.entry.label],
                value="",
                left="",
            )
            for loss in resolved.losses
        }
        self._steps = {loss.entry.label: loss.entry.finetune.steps for loss in resolved.losses}
        # By label, then by seed and fold: how many steps the trials that have not ended yet have done.
        self._under_way: dict[str, dict[tuple[int, int], int]] = {label: {} for label in self._steps}
        # Seconds that the fine-tuning of a loss has taken, in all trials, as far as its events tell.
        self._spent: defaultdict[str, float] = defaultdict(float)

    @staticmethod
    def _bars() -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        return Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[value]}", style="cyan", markup=False),
            TextColumn("{task.fields[left]}", style="dim"),
        )

    def on_event(self, event: Event) -> None:
        """Take an event into the display."""
        now = time.monotonic()
        if event.stage in STAGES:
            self._stage(event)
        elif event.stage == "finetune":
            self._spent[event.label] += now - self._last
            self._under_way[event.label][event.seed, event.fold] = event.done
            self._advance(event.label, f"loss {event.value:.4g}" if event.value is not None else "")
        elif isinstance(event, Looked):
            for label in event.verdict.in_question:
                self._runs[label] += trials_a_look(self._folds)
        elif isinstance(event, TrialEnded):
            self._done, self._total = event.done, event.total
            if event.label in self._loss_tasks:
                self._ended[event.label] += 1
                self._under_way[event.label].pop((event.seed, event.fold), None)
                mark = "" if event.trial.status == "ok" else event.trial.status
                self._advance(event.label, mark)
        self._last = now

    def _stage(self, event: Event) -> None:
        """Move the bar of a stage."""
        name = STAGES[event.stage]
        if event.stage not in SHARED:
            name += f", seed {event.seed} fold {event.fold}"
        now = time.monotonic()
        task = self._bar(event, name)
        bar = self._stage_bars[task]
        if bar.name != name:
            # The clock of a stage starts with its first event: the time before belongs to something else.
            bar = self._stage_bars[task] = _StageBar(event.stage, name, now, event.done)
        began, first = bar.began, bar.first
        left = ""
        if first < event.done < event.total:
            left = f"{clock((now - began) / (event.done - first) * (event.total - event.done))} left"
        value = f"loss {event.value:.4g}" if event.value is not None else ""
        self._stages.update(task, description=name, completed=event.done, total=event.total, value=value, left=left)

    def _bar(self, event: Event, name: str) -> TaskID:
        """Return the bar that already shows this name, or else a finished one of the same stage, or else a new one."""
        of_stage = [task for task, bar in self._stage_bars.items() if bar.stage == event.stage]
        of_name = [task for task in of_stage if self._stage_bars[task].name == name]
        finished = [task for task in of_stage if self._stages.tasks[self._stages.task_ids.index(task)].finished]
        for task in of_name + finished:
            return task
        task = self._stages.add_task(name, total=event.total, value="", left="")
        self._stage_bars[task] = _StageBar(event.stage, "", 0.0, 0)
        return task

    def _advance(self, label: str, value: str) -> None:
        """Move the bar of a loss to what its trials have done in all; ``value`` is what it shows beside."""
        done = self._ended[label] * self._steps[label] + sum(self._under_way[label].values())
        whole = self._steps[label] * self._runs[label]
        spent = self._spent[label]
        left = f"{clock(spent / done * (whole - done))} left" if 0 < done < whole and spent else ""
        task = self._loss_tasks[label]
        # A step without a loss value leaves the last one on the screen.
        text = value or self._losses.tasks[list(self._loss_tasks).index(label)].fields["value"]
        self._losses.update(task, completed=done, total=whole, value=text, left=left)

    def __rich__(self) -> RenderableType:
        """Return the display as it is at this moment."""
        from rich.console import Group

        return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        from rich.text import Text

        if self._stage_bars:
            yield self._stages
        yield self._losses
        spent = time.monotonic() - self._began
        text = f"{clock(spent)} elapsed"
        if self._total and self._done:
            text = f"trial {self._done} of {self._total}, {text}"
            if self._done < self._total:
                text += f", about {clock(spent / self._done * (self._total - self._done))} left"
        yield Text(text, style="dim")
