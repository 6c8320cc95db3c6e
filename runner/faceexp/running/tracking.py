"""Trackers beside a run: each works in a process of its own, which a thread feeds from a queue that is bounded.

So a tracker that raises, hangs, crashes or prints costs a warning, and neither a trial nor more than some seconds. It
shares nothing with the training: no random numbers, no settings of TensorFlow, no memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from faceexp.contract import TrackedRun
from faceexp.errors import printable
from faceexp.experiment.messages import cut
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.results.events import TrialEnded
from faceexp.results.folder import RunFolder
from faceexp.run import Run
from faceexp.running import tracked
from faceexp.running.recorder import message
from faceexp.values import Event, EventCallback, Note, Noted, Plan

# How long the end of a run waits for trackers, all together; and that of one that was interrupted or has failed.
PATIENCE_SECONDS = 10.0
PATIENCE_AFTER_FAILURE_SECONDS = 2.0
# How many messages may wait for a tracker that is slow; what comes then is not recorded.
MOST_WAITING = 1000
# Letters of a reason that is told.
MAX_REASON = 300


class Recorder:
    """The process of one tracker, and the thread that feeds it.

    Attributes:
        name: The name of its plugin.
    """

    def __init__(self, plugin: ConfiguredPlugin, run: TrackedRun) -> None:
        """Start it."""
        self.name = plugin.installed.name
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._is_given_up = False
        self._process: subprocess.Popen[str] | None = None
        options = plugin.plugin.model_dump(mode="json", exclude_none=True)
        installed = dataclasses.asdict(plugin.installed)
        self.hear(message("run", run, plugin=installed, options=options))
        self._thread = threading.Thread(target=self._feed, name=f"tracker {self.name}", daemon=True)
        try:
            self._process = _process()
        except OSError as error:
            self._reasons.put(f"its process does not start: {error.strerror}")
        else:
            self._thread.start()

    def hear(self, line: str) -> None:
        """Pass on a message; it waits for nothing."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._reasons.put("it is too slow, so that some of it is not recorded")

    @property
    def reasons(self) -> Iterator[str]:
        """Why something was not recorded, each reason once."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._reasons.get_nowait()

    def stop(self) -> None:
        """Say that nothing more will come; it waits for nothing."""
        self._is_stopped.set()
        # Where the queue is full, the thread looks at this when it has worked it off.
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def finish(self, until: float) -> None:
        """Wait until everything is recorded, but no longer than until a time by ``time.monotonic``; then end it."""
        if self._process is None:
            return
        self._thread.join(max(until - time.monotonic(), 0))
        if self._thread.is_alive():
            self._is_given_up = True
            self._reasons.put("it takes too long, so that the rest was not recorded")
            self._process.kill()
        try:
            # It has closed its tracker, and may still have to end threads of its own.
            self._process.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()

    def _next(self) -> str | None:
        """Return the next message as soon as there is one; nothing when nothing more will come."""
        if self._is_stopped.is_set() and self._waiting.empty():
            return None
        return self._waiting.get()

    def _feed(self) -> None:
        """Tell the process one message after the other, each as soon as it has answered the one before."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            return
        told, answers = self._process.stdin, self._process.stdout
        try:
            with answers, told:
                while line := self._next():
                    told.write(line)
                    told.flush()
                    if reason := json.loads(answers.readline() or '"its process has ended"'):
                        self._reasons.put(reason)
                # Without further messages it closes what it has opened, and ends.
                told.close()
                answers.read()
        except (OSError, ValueError):
            if not self._is_given_up:
                self._reasons.put("its process has ended")


def _process() -> subprocess.Popen[str]:
    """Start the process of a tracker."""
    # It imports what this process imports, and takes no memory of a GPU that trains.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "faceexp.running.recorder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        encoding="utf-8",
        # Ctrl-C ends the run, which then ends this.
        start_new_session=True,
    )


@dataclass
class Tracking:
    """What a run tells its trackers.

    Attributes:
        folder: The folder of the run.
        settings: The settings of each row.
        recorders: One for each tracker.
        forward: Is called with every event, and with what a tracker could not do.
        keeps_all: Whether the run keeps every model.
        told: The trackers of which was told already that they do not record everything.
        with_model: The ids of the trials that told of their model.
    """

    folder: RunFolder
    settings: tracked.Settings
    recorders: tuple[Recorder, ...]
    forward: EventCallback
    keeps_all: bool = True
    told: set[Recorder] = field(default_factory=set)
    with_model: set[str] = field(default_factory=set)

    def on_event(self, event: Event) -> None:
        """Take an event of the run."""
        self.forward(event)
        if isinstance(event, TrialEnded) and self.recorders:
            ended = tracked.ended(event.trial, self.settings, self.folder, keeps_all=self.keeps_all)
            self.with_model |= {ended.id} if ended.model else set()
            self._hear(message("trial", ended))
        self.warn()

    def run_ended(self, run: Run) -> None:
        """Take the end of the run."""
        if self.recorders:
            self._hear(message("end", tracked.finished(run, self.folder, self.with_model)))

    def finish(self, patience: float) -> None:
        """Wait for all trackers, but no longer than some seconds together, and end them."""
        # One that hangs must not use up the time of those behind it.
        for recorder in self.recorders:
            recorder.stop()
        until = time.monotonic() + patience
        for recorder in self.recorders:
            recorder.finish(until)
        self.warn()

    def warn(self) -> None:
        """Tell of each tracker once why it does not record everything."""
        for recorder in self.recorders:
            reason = next(iter(recorder.reasons), "")
            if reason and recorder not in self.told:
                self.told.add(recorder)
                text = f"tracker {recorder.name!r} does not record everything: {cut(printable(reason), MAX_REASON)}"
                self.forward(Noted("note", 1, 1, note=Note("tracker", text)))

    def _hear(self, line: str) -> None:
        for recorder in self.recorders:
            recorder.hear(line)


@contextlib.contextmanager
def tracking(plan: Plan, folder: RunFolder, on_event: EventCallback) -> Iterator[Tracking]:
    """Tell the trackers of an experiment that its run begins; at the end, wait for them a little, and end them."""
    run = tracked.begun(plan, folder)
    recorders = tuple(Recorder(plugin, run) for plugin in plan.resolved.trackers)
    settings = tracked.settings_of_rows(plan) if recorders else {}
    begun = Tracking(folder, settings, recorders, on_event, plan.resolved.experiment.keep.models == "all")
    patience = PATIENCE_AFTER_FAILURE_SECONDS
    try:
        yield begun
        patience = PATIENCE_SECONDS
    finally:
        begun.finish(patience)
