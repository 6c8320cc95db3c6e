"""What whoever watches a run sees of it: a live display on a terminal, lines in a log, and what is noted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from faceexp.cli.console import is_screen, say, settle

if TYPE_CHECKING:
    from rich.console import Console

    from faceexp.pipeline import Study
    from faceexp.values import Event, EventCallback


@contextlib.contextmanager
def displaying(
    study: Study, console: Console, untrained: set[str], *, tracebacks: bool = False
) -> Iterator[EventCallback]:
    """Yield a callback that shows the events: on a terminal as a live display, in a log as one line per trial.

    Losses of which it has said that they are not trained, and why, are added to ``untrained``: nobody reads that twice.
    """
    from rich.live import Live

    from faceexp.report.terminal.progress import Display, ended
    from faceexp.report.terminal.searching import Searching
    from faceexp.results.events import TrialEnded
    from faceexp.search.events import ROUND, STAGE, SearchBegins, SearchEnds

    if is_screen(console):
        display = Display(study.resolved)
        with Live(display, console=console, refresh_per_second=8, transient=False):
            yield saying_notes(display.on_event, console, untrained, tracebacks=tracebacks)
            display.end()
        return

    search: Searching | None = None

    def write(event: Event) -> None:
        nonlocal search
        if isinstance(event, TrialEnded):
            say(ended(event.trial, event.done, event.total, is_told=event.label in untrained), "", console)
        if isinstance(event, SearchBegins):
            search = Searching(event.chances)
        if search:
            search.on_event(event, time.monotonic())
            if event.stage in (STAGE, ROUND) and (line := search.line(time.monotonic())):
                say(line, "", console)
        if isinstance(event, SearchEnds):
            search = None

    yield saying_notes(write, console, untrained, tracebacks=tracebacks)


def saying_notes(on_event: EventCallback, console: Console, untrained: set[str], *, tracebacks: bool) -> EventCallback:
    """Return a callback that also says what is noted before anything trains: above a live display, or in the log."""
    from faceexp.report.answers import so_far
    from faceexp.report.terminal.searching import chances_sentence, chances_table, chosen_table
    from faceexp.results.events import Looked
    from faceexp.search.events import SearchBegins, SearchEnds
    from faceexp.values import Noted, Refused

    said: set[str] = set()

    def say_or_forward(event: Event) -> None:
        if isinstance(event, Noted):
            if event.note.text not in said:  # what holds for a loss is noted in each round of a search
                say(event.note.text, "yellow", console, prose=True)
            said.add(event.note.text)
            return
        if isinstance(event, Refused):
            say(f"not trained: {event.reason}", "red", console)
            untrained.add(event.label)
            show_tracebacks([event.traceback] if tracebacks else [], console)
            return
        if isinstance(event, Looked):
            say(so_far(event.verdict, event.total), "cyan", console, prose=True)
        if isinstance(event, SearchBegins):
            say(chances_sentence(event.chances), "bold", console, prose=True)
            console.print(chances_table(event.chances))
        on_event(event)
        if isinstance(event, SearchEnds):
            console.print(chosen_table(event))

    return say_or_forward


def show_tracebacks(tracebacks: list[str], console: Console) -> None:
    """Show where a plugin failed."""
    for line in "".join(tracebacks).splitlines():
        say(line, "dim", console)


def restoring_collection(on_event: EventCallback) -> EventCallback:
    """Return a callback that also restores garbage collection as soon as TensorFlow is loaded."""

    def restore_and_forward(event: Event) -> None:
        if event.stage == "backend" and event.done == event.total:
            settle()
        on_event(event)

    return restore_and_forward
