"""What a run shows while it goes on: the total, what runs now, what ended last, and how many trials wait."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faceexp.planning.looks import trials_a_look
from faceexp.planning.trials import trials_of
from faceexp.report.shown import shown
from faceexp.report.words import many
from faceexp.results.events import Looked, TrialEnded
from faceexp.results.schema import TrialRecord
from faceexp.values import Event, Kind, Resolved

if TYPE_CHECKING:
    # Elsewhere Rich is imported only where it is used: `faceexp validate` needs nothing but the outline, and importing
    # Rich would take a tenth of its time.
    from rich.console import RenderableType
    from rich.table import Table

# Stages that all seeds and folds share.
SHARED = {
    "images": "decoding images",
    "backend": "starting TensorFlow",
    "compare": "comparing the rows, writing results and page",
}
# Stages of one seed and fold.
STAGES = {"pretrain": "phase 1", "features": "trunk features", "finetune": "phase 2"}
# The display fits a screen of 24 lines, whatever the number of losses and processes.
MOST_RUNNING = 6
# On a wider screen, the eye would lose the line between a name and its numbers.
WIDEST = 100
MOST_ENDED = 5


def clock(seconds: float) -> str:
    """Return ``1:05`` or ``2:00:00``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ended(trial: TrialRecord, number: int, total: int, *, is_told: bool = False) -> str:
    """Return one line for a log about a trial that has just ended; whether it was told why it fails, if it does."""
    trial = shown(trial)
    place = f"[{number}/{total}] {trial.label} (seed {trial.seed}, fold {trial.fold})"
    if trial.status != "ok":
        return f"{place}: {'not trained, see above' if is_told else f'{trial.status}: {trial.reason}'}"
    return f"{place}: {_numbers(trial)}, {'from the store' if _is_stored(trial) else f'{_spent(trial):.1f} s'}"


def _numbers(trial: TrialRecord) -> str:
    accuracy, auc = trial.metrics.get("accuracy"), trial.metrics.get("auc")
    return f"accuracy {accuracy:.3f}, AUC {auc:.3f}" if accuracy is not None and auc is not None else "ok"


def _is_stored(trial: TrialRecord) -> bool:
    return "finetune" in trial.reused


def _spent(trial: TrialRecord) -> float:
    """Return the seconds that a trial took. What was found in the store is not counted: others have spent it."""
    return sum(seconds for stage, seconds in trial.seconds.items() if stage not in trial.reused)


@dataclass
class _Running:
    """What goes on at present, in one place.

    Attributes:
        stage: The stage; empty before the first event of a trial.
        label: The loss, where there is one.
        began: When the first event of the stage came.
        first: How many units had been done by then.
        event: The latest event.
    """

    stage: str
    label: str
    began: float = 0.0
    first: int = 0
    event: Event | None = None

    def amount(self) -> str:
        """Return how far it is: units, the value of the loss, and the time left for what is not one of many trials."""
        event = self.event
        if event is None or event.total < 2:
            return ""
        parts = [f"{event.done:,}/{event.total:,}"]
        if event.value is not None:
            parts.append(f"loss {event.value:.3g}")
        if self.stage != "finetune" and self.first < event.done < event.total:
            rate = (time.monotonic() - self.began) / (event.done - self.first)
            parts.append(f"{clock(rate * (event.total - event.done))} left")
        return ", ".join(parts)


@dataclass
class _Costs:
    """What trials took, so that the time left can be told.

    Losses and baselines are counted apart, since a baseline takes no training and comes first. The seconds of trials
    are set in proportion to the time that passed, in which several may have run side by side.
    """

    seconds: defaultdict[Kind, float] = field(default_factory=lambda: defaultdict(float))
    trials: Counter[Kind] = field(default_factory=Counter)
    waiting: Counter[Kind] = field(default_factory=Counter)
    passed: float = 0.0
    last: float = 0.0

    def end(self, trial: TrialRecord, now: float) -> None:
        """Count a trial that has ended."""
        self.waiting[trial.kind] -= 1
        if _is_stored(trial):
            self.last = now
            return
        self.passed += now - self.last
        self.last = now
        self.trials[trial.kind] += 1
        self.seconds[trial.kind] += _spent(trial)

    def left(self, now: float) -> float | None:
        """Return the seconds left; ``None`` before a trial of each kind that waits has ended."""
        kinds = [kind for kind, number in self.waiting.items() if number > 0]
        spent = sum(self.seconds.values())
        if not kinds or not spent or not all(self.trials[kind] for kind in kinds):
            return None
        to_spend = sum(self.seconds[kind] / self.trials[kind] * self.waiting[kind] for kind in kinds)
        return max(0.0, to_spend * self.passed / spent - (now - self.last))


class Display:
    """The live display: it takes the events of a run, and Rich draws it as it is at that moment."""

    def __init__(self, resolved: Resolved) -> None:
        from rich.spinner import Spinner

        self._spinner = Spinner("dots")
        self._began = time.monotonic()
        self._folds = resolved.folds
        self._done = 0
        # By seed and fold: the labels of the trials that have not ended yet, in the order in which they run.
        self._waiting: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
        self._costs = _Costs(last=self._began)
        for trial in trials_of(resolved):
            self._waiting[trial.seed, trial.fold].append(trial.label)
            self._costs.waiting[trial.kind] += 1
        self._total = self._costs.waiting.total()
        self._baselines = self._costs.waiting["baseline"] // max(1, len(self._waiting))
        self._running: dict[tuple[int, int] | str, _Running] = {}
        self._ended: deque[TrialRecord] = deque(maxlen=MOST_ENDED)
        self._is_over = False

    def on_event(self, event: Event) -> None:
        """Take an event into the display."""
        if event.stage in SHARED:
            self._note(event.stage, event)
            if 0 < event.total <= event.done:
                del self._running[event.stage]
        elif event.stage in STAGES:
            self._note((event.seed, event.fold), event)
        elif isinstance(event, Looked):
            new = trials_a_look(self._folds)
            self._costs.waiting["loss"] += new * len(event.verdict.in_question)
            self._costs.waiting["baseline"] += new * self._baselines
            self._total += new * (len(event.verdict.in_question) + self._baselines)
            self._running.clear()
        elif isinstance(event, TrialEnded):
            self._end(event)

    def _note(self, place: tuple[int, int] | str, event: Event) -> None:
        """Take what is done in a stage."""
        running = self._running.get(place)
        if running is None or (running.stage, running.label) != (event.stage, event.label):
            # The clock of a stage starts with its first event: the time before belongs to something else.
            running = self._running[place] = _Running(event.stage, event.label, time.monotonic(), event.done)
        running.event = event

    def _end(self, event: TrialEnded) -> None:
        self._done, self._total = event.done, event.total
        self._ended.append(shown(event.trial))
        self._costs.end(event.trial, time.monotonic())
        cell = (event.seed, event.fold)
        waiting = self._waiting[cell]
        if event.label in waiting:
            waiting.remove(event.label)
        # What has just ended may have been in the store, while another trial of the same seed and fold goes on.
        if cell in self._running:
            if waiting:
                self._running[cell] = _Running("", waiting[0])
            else:
                del self._running[cell]

    def end(self) -> None:
        """Show nothing but the total from now on: what the run found is printed below it."""
        self._is_over = True

    def __rich__(self) -> RenderableType:
        """Return the display as it is at this moment."""
        from rich.console import Group
        from rich.constrain import Constrain

        return Constrain(Group(self._head(), *([] if self._is_over else self._parts())), WIDEST)

    def _head(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        times = f"{clock(now - self._began)} elapsed"
        if not self._is_over and (left := self._costs.left(now)) is not None:
            times += f", about {clock(left)} left"
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        count = Text(f"{self._done:,} of {many(self._total, 'trial')} done", style="bold")
        head.add_row(count, ProgressBar(total=max(self._total, 1), completed=self._done), Text(times))
        return head

    def _parts(self) -> Iterator[RenderableType]:
        from rich.text import Text

        places = list(self._running.items())
        lines = _lines()
        spinner = self._spinner.render(time.monotonic())
        for place, running in places[:MOST_RUNNING]:
            lines.add_row(spinner, Text(_where(place, running)), Text(running.amount(), style="cyan"))
        if not places and self._done < self._total:
            lines.add_row(spinner, Text("preparing"), Text(""))
        yield lines
        if len(places) > MOST_RUNNING:
            yield Text(f"  and {len(places) - MOST_RUNNING} more run", style="dim")
        lines = _lines()
        for trial in self._ended:
            what = f"{trial.label}, seed {trial.seed} fold {trial.fold}"
            if trial.status == "ok":
                source = "stored" if _is_stored(trial) else f"{_spent(trial):.1f} s"
                lines.add_row(Text("✓", style="green"), Text(what), Text(f"{_numbers(trial)}, {source}"))
            else:
                lines.add_row(Text("x", style="red"), Text(what), Text(trial.status, style="red"))
        yield lines
        waiting = self._total - self._done - sum(isinstance(place, tuple) for place in self._running)
        if waiting > 0:
            yield Text(many(waiting, "trial waits", "trials wait"), style="dim")


def _where(place: tuple[int, int] | str, running: _Running) -> str:
    """Return what runs, and in which seed and fold."""
    if isinstance(place, str):
        return SHARED[place]
    stage = STAGES.get(running.stage, "starting")
    what = f"{stage}: {shown(running.label)}" if running.label else stage
    return f"{what}, seed {place[0]} fold {place[1]}"


def _lines() -> Table:
    """Return an empty list of lines: a mark, what it is about, and its numbers, none of which is cut off."""
    from rich.table import Table

    lines = Table.grid(expand=True, padding=(0, 1))
    lines.add_column(width=1)
    lines.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    lines.add_column(no_wrap=True, justify="right")
    return lines
