"""What a run shows while it goes on: the total, what runs now, what ended last, and how many trials wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from faceexp.planning.looks import next_seeds
from faceexp.planning.trials import trials_of
from faceexp.report.shown import shown
from faceexp.report.terminal.searching import Searching
from faceexp.report.terminal.time_left import Cell, Costs, Row, Running, clock, is_stored, spent
from faceexp.report.words import duration, many
from faceexp.results.events import Looked, TrialEnded
from faceexp.results.schema import TrialRecord
from faceexp.search.events import SearchBegins, SearchEnds
from faceexp.values import Event, Resolved

if TYPE_CHECKING:
    # Elsewhere Rich is imported only where it is used: `faceexp validate` needs nothing but the outline, and importing
    # Rich would take a tenth of its time.
    from rich.console import RenderableType
    from rich.table import Table

# Stages that all seeds and folds share.
SHARED = {
    "images": "decoding images",
    "backend": "starting TensorFlow",
    "rehearsal": "calling trunk and losses once",
    "jobs": "trials that the executor runs",
    "compare": "comparing the rows, writing results and page",
}
# Stages of one seed and fold.
STAGES = {"pretrain": "phase 1", "features": "trunk features", "finetune": "phase 2"}
# The display fits a screen of 24 lines, whatever the number of losses and processes.
MOST_RUNNING = 6
# On a wider screen, the eye would lose the line between a name and its numbers.
WIDEST = 100
MOST_ENDED = 5
MOST_SEARCHED = 12


def ended(trial: TrialRecord, number: int, total: int, *, is_told: bool = False) -> str:
    """Return one line for a log about a trial that has just ended; whether it was told why it fails, if it does."""
    trial = shown(trial)
    place = f"[{number}/{total}] {trial.label} (seed {trial.seed}, fold {trial.fold})"
    if trial.status != "ok":
        return f"{place}: {'not trained, see above' if is_told else f'{trial.status}: {trial.reason}'}"
    return f"{place}: {_numbers(trial)}, {'from the store' if is_stored(trial) else f'{spent(trial):.1f} s'}"


def _numbers(trial: TrialRecord) -> str:
    accuracy, auc = trial.metrics.get("accuracy"), trial.metrics.get("auc")
    return f"accuracy {accuracy:.3f}, AUC {auc:.3f}" if accuracy is not None and auc is not None else "ok"


class Display:
    """The live display: it takes the events of a run, and Rich draws it as it is at that moment."""

    def __init__(self, resolved: Resolved) -> None:
        from rich.spinner import Spinner

        self._spinner = Spinner("dots")
        self._began = time.monotonic()
        self._search: Searching | None = None
        self._done = 0
        self._costs = Costs()
        self._expect(resolved)
        self._running: dict[Cell | str, Running] = {}
        # When the latest trial of a seed and fold ended, or its first event came.
        self._since: dict[Cell, float] = {}
        self._ended: deque[TrialRecord] = deque(maxlen=MOST_ENDED)
        self._is_over = False

    def _expect(self, resolved: Resolved) -> None:
        """Take which trials the comparison will have."""
        self._folds = resolved.folds
        # By seed and fold: the trials that have not ended yet, in the order in which they run.
        self._waiting: dict[Cell, list[Row]] = {}
        for trial in trials_of(resolved, self._folds):
            self._waiting.setdefault((trial.seed, trial.fold), []).append((trial.label, trial.kind))
        self._total = sum(map(len, self._waiting.values()))
        self._baselines = [row for row in next(iter(self._waiting.values()), []) if row[1] == "baseline"]

    def on_event(self, event: Event) -> None:
        """Take an event into the display."""
        if isinstance(event, SearchBegins):
            self._search = Searching(event.chances)
        elif isinstance(event, SearchEnds):
            self._search = None
            self._expect(event.resolved)
            self._running.clear()
        if self._search:
            self._search.on_event(event, time.monotonic())
        if event.stage in SHARED or event.stage in STAGES:
            place = event.stage if event.stage in SHARED else (event.seed, event.fold)
            self._note(place, event)
            # A trial of the comparison goes on to its next stage, and ends with an event of its own.
            if (event.stage in SHARED or self._search) and 0 < event.total <= event.done:
                del self._running[place]
        elif isinstance(event, Looked):
            rows: list[Row] = [*self._baselines, *((label, "loss") for label in event.verdict.in_question)]
            for seed in next_seeds({seed for seed, _ in self._waiting}, self._folds):
                self._waiting |= {(seed, fold): [*rows] for fold in range(self._folds)}
                self._total += len(rows) * self._folds
            self._running.clear()
        elif isinstance(event, TrialEnded):
            self._end(event)

    def _note(self, place: Cell | str, event: Event) -> None:
        """Take what is done in a stage."""
        now = time.monotonic()
        running = self._running.get(place)
        if running is None or (running.stage, running.label) != (event.stage, event.label):
            # The clock of a stage starts with its first event: the time before belongs to something else.
            before = now - (running.latest if running else now)
            running = self._running[place] = Running(event.stage, event.label, now, event.done, before=before)
        running.event, running.latest = event, now
        if isinstance(place, tuple):
            self._since.setdefault(place, now)
            self._costs.at_once = max(self._costs.at_once, sum(isinstance(each, tuple) for each in self._running))
            self._costs.begin(running)

    def _end(self, event: TrialEnded) -> None:
        self._done, self._total = event.done, event.total
        self._ended.append(shown(event.trial))
        cell, row = (event.seed, event.fold), (event.label, event.trial.kind)
        self._costs.end(event.trial, self._running.get(cell))
        self._since[cell] = time.monotonic()
        waiting = self._waiting.setdefault(cell, [])
        if row in waiting:
            waiting.remove(row)
        # What has just ended may have been in the store, while another trial of the same seed and fold goes on.
        if cell in self._running:
            if waiting:
                self._running[cell] = Running("", waiting[0][0], latest=time.monotonic())
            else:
                del self._running[cell]

    def left(self, now: float) -> float | None:
        """Return about how many seconds the trials that have not ended will take; ``None`` where that is not known."""
        if self._search:
            return self._search.left(now)
        if "jobs" in self._running:
            return self._running["jobs"].left()
        waiting = {cell: rows for cell, rows in self._waiting.items() if rows}
        running = {
            cell: (running, now - self._since[cell])
            for cell, running in self._running.items()
            if isinstance(cell, tuple) and cell in waiting
        }
        return self._costs.left(waiting, running)

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
        if not self._is_over and (left := self.left(now)) is not None:
            times += f", about {duration(left / 60)} left{' of the search' if self._search else ''}"
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        done, total = (self._search.done, self._search.total) if self._search else (self._done, self._total)
        count = Text(f"{'search: ' if self._search else ''}{done:,} of {many(total, 'trial')} done", style="bold")
        head.add_row(count, ProgressBar(total=max(total, 1), completed=done), Text(times))
        return head

    def _parts(self) -> Iterator[RenderableType]:
        from rich.text import Text

        places = list(self._running.items())
        lines = _lines()
        spinner = self._spinner.render(time.monotonic())
        for place, running in places[:MOST_RUNNING]:
            lines.add_row(spinner, Text(_where(place, running)), Text(running.amount(), style="cyan"))
        if self._search and not places:
            lines.add_row(spinner, Text(self._search.round_text()), Text(self._search.round_amount(), style="cyan"))
        elif not places and self._done < self._total:
            lines.add_row(spinner, Text("preparing"), Text(""))
        yield lines
        if len(places) > MOST_RUNNING:
            yield Text(f"  and {len(places) - MOST_RUNNING} more run", style="dim")
        lines = _lines()
        if self._search:
            for label, amount in self._search.rows(MOST_SEARCHED):
                lines.add_row(Text(""), Text(label), Text(amount))
            yield lines
            return
        for trial in self._ended:
            what = f"{trial.label}, seed {trial.seed} fold {trial.fold}"
            if trial.status == "ok":
                source = "stored" if is_stored(trial) else f"{spent(trial):.1f} s"
                lines.add_row(Text("✓", style="green"), Text(what), Text(f"{_numbers(trial)}, {source}"))
            else:
                lines.add_row(Text("x", style="red"), Text(what), Text(trial.status, style="red"))
        yield lines
        waiting = self._total - self._done - sum(isinstance(place, tuple) for place in self._running)
        if waiting > 0:
            yield Text(many(waiting, "trial waits", "trials wait"), style="dim")


def _where(place: Cell | str, running: Running) -> str:
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
