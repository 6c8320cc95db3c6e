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
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from faceexp.contract import FacesTold, TrackedEnd, TrackedRun, TrackedTrial, TrackerPlugin
from faceexp.errors import printable
from faceexp.experiment.messages import cut
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.results.events import TrialEnded
from faceexp.results.folder import RunFolder
from faceexp.run import Run
from faceexp.running import tracked
from faceexp.running.recorder import message
from faceexp.running.tracked_faces import TrackedFaces, faces_of
from faceexp.values import Event, EventCallback, Note, Noted, Plan

# How long the end of a run waits for trackers, all together; and that of one that was interrupted or has failed.
PATIENCE_SECONDS = 10.0
PATIENCE_AFTER_FAILURE_SECONDS = 2.0
# How many messages may wait for a tracker that is slow; what comes then is not recorded.
MOST_WAITING = 1000
# How many bytes the embeddings of trials may have that wait for it.
MOST_BYTES_WAITING = 2**27
# Letters of a reason that is told.
MAX_REASON = 300


@dataclass(frozen=True)
class Told:
    """Something that a tracker is to be told.

    Attributes:
        kind: The name of its message; see :data:`faceexp.running.recorder.TOLD`.
        value: What is told.
        faces: The test images of a trial, for a tracker that asks for them.
        beside: What the message says besides.
    """

    kind: str
    value: TrackedRun | TrackedTrial | TrackedEnd
    faces: TrackedFaces | None = None
    beside: Mapping[str, object] = field(default_factory=dict)


class Recorder:
    """The process of one tracker, and the thread that feeds it.

    Attributes:
        name: The name of its plugin.
        faces: What it asks to be told of the test images of trials.
    """

    def __init__(self, plugin: ConfiguredPlugin, run: TrackedRun) -> None:
        """Start it."""
        self.name = plugin.installed.name
        self._waiting: queue.Queue[Told | None] = queue.Queue(MOST_WAITING)
        self._bytes_waiting, self._counting = 0, threading.Lock()
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._is_given_up = False
        self._process: subprocess.Popen[str] | None = None
        options = plugin.plugin.model_dump(mode="json", exclude_none=True)
        asked = options.get(cast("TrackerPlugin", plugin.plugin).faces_option or "")
        self.faces = asked if asked in get_args(FacesTold) else "none"
        self.hear(Told("run", run, beside={"plugin": dataclasses.asdict(plugin.installed), "options": options}))
        self._thread = threading.Thread(target=self._feed, name=f"tracker {self.name}", daemon=True)
        try:
            self._process = _process()
        except OSError as error:
            self._reasons.put(f"its process does not start: {error.strerror}")
        else:
            self._thread.start()

    def hear(self, told: Told) -> None:
        """Pass on something that it does not know yet; it waits for nothing."""
        if told.faces and (self.faces == "none" or not self._has_room_for(told.faces)):
            told = dataclasses.replace(told, faces=None)
        try:
            self._waiting.put_nowait(told)
        except queue.Full:
            self._let_go(told.faces)
            self._reasons.put("it is too slow, so that some of it is not recorded")

    def _has_room_for(self, faces: TrackedFaces) -> bool:
        """Count the embeddings of a trial among those that wait; say whether there was room for them."""
        with self._counting:
            has_room = self._bytes_waiting + faces.embeddings.nbytes <= MOST_BYTES_WAITING
            self._bytes_waiting += faces.embeddings.nbytes if has_room else 0
        if not has_room:
            self._reasons.put("it is too slow, so that embeddings of some trials are not recorded")
        return has_room

    def _let_go(self, faces: TrackedFaces | None) -> None:
        """Take the embeddings of a trial off the count."""
        with self._counting:
            self._bytes_waiting -= faces.embeddings.nbytes if faces else 0

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
        # It ends as soon as it notices that; where the disk does not answer, it is not waited for.
        self._thread.join(PATIENCE_AFTER_FAILURE_SECONDS)

    def _next(self) -> Told | None:
        """Return the next thing to tell as soon as there is one; nothing when nothing more will come."""
        if self._is_stopped.is_set() and self._waiting.empty():
            return None
        return self._waiting.get()

    def _feed(self) -> None:
        """Tell the process one message after the other, each as soon as it has answered the one before."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            return
        lines, answers = self._process.stdin, self._process.stdout
        try:
            with answers, lines:
                while told := self._next():
                    with self._written(told) as value:
                        lines.write(message(told.kind, value, **told.beside))
                        lines.flush()
                        if reason := json.loads(answers.readline() or '"its process has ended"'):
                            self._reasons.put(reason)
                # Without further messages it closes what it has opened, and ends.
                lines.close()
                answers.read()
        except (OSError, ValueError):
            if not self._is_given_up:
                self._reasons.put("its process has ended")

    @contextlib.contextmanager
    def _written(self, told: Told) -> Iterator[object]:
        """Yield what is told; where test images belong to it, they are in a file of their own for so long.

        There is only one such file at a time, and it lies outside of the run, so that it takes no room from that.
        """
        with contextlib.ExitStack() as kept:
            value = told.value
            if told.faces and isinstance(value, TrackedTrial):
                kept.callback(self._let_go, told.faces)
                try:
                    made = tempfile.TemporaryDirectory(prefix="faceexp-tracker-", ignore_cleanup_errors=True)
                    path = Path(kept.enter_context(made), "faces.npz")
                    told.faces.write(path, photos=self.faces == "photos")
                except (OSError, MemoryError) as error:
                    reason = getattr(error, "strerror", None) or str(error)
                    self._reasons.put(f"the embeddings of {value.id} cannot be written for it: {reason}")
                else:
                    value = dataclasses.replace(value, faces=path)
            yield value


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
        plan: The plan of the run.
        folder: Its folder.
        settings: The settings of each row.
        recorders: One for each tracker.
        forward: Is called with every event, and with what a tracker could not do.
        keeps_all: Whether the run keeps every model.
        told: The trackers of which was told already that they do not record everything.
        with_model: The ids of the trials that told of their model.
        widths: How many numbers an embedding of each trial has, by its id.
    """

    plan: Plan
    folder: RunFolder
    settings: tracked.Settings
    recorders: tuple[Recorder, ...]
    forward: EventCallback
    keeps_all: bool = True
    told: set[Recorder] = field(default_factory=set)
    with_model: set[str] = field(default_factory=set)
    widths: dict[str, int | None] = field(default_factory=dict)

    def on_event(self, event: Event) -> None:
        """Take an event of the run."""
        self.forward(event)
        if isinstance(event, TrialEnded):
            self.trial_ended(event)
        self.warn()

    def trial_ended(self, event: TrialEnded) -> None:
        """Take the end of a trial."""
        if self.recorders:
            asked = any(recorder.faces != "none" for recorder in self.recorders)
            faces = faces_of(event.trained, self.plan) if asked else None
            ended = tracked.ended(event, self.plan, self.settings, self.folder, keeps_all=self.keeps_all)
            self.with_model |= {ended.id} if ended.model else set()
            self.widths[ended.id] = tracked.width_of(event, self.plan)
            self._hear(Told("trial", ended, faces))

    def run_ended(self, run: Run) -> None:
        """Take the end of the run."""
        if self.recorders:
            self._hear(Told("end", tracked.finished(run, self.folder, self.with_model, self.widths)))

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

    def _hear(self, told: Told) -> None:
        for recorder in self.recorders:
            recorder.hear(told)


@contextlib.contextmanager
def tracking(plan: Plan, folder: RunFolder, on_event: EventCallback) -> Iterator[Tracking]:
    """Tell the trackers of an experiment that its run begins; at the end, wait for them a little, and end them."""
    run = tracked.begun(plan, folder)
    recorders = tuple(Recorder(plugin, run) for plugin in plan.resolved.trackers)
    settings = tracked.settings_of_rows(plan) if recorders else {}
    begun = Tracking(plan, folder, settings, recorders, on_event, plan.resolved.experiment.keep.models == "all")
    patience = PATIENCE_AFTER_FAILURE_SECONDS
    try:
        yield begun
        patience = PATIENCE_SECONDS
    finally:
        begun.finish(patience)


def track(plan: Plan, folder: RunFolder, run: Run, on_event: EventCallback) -> None:
    """Tell the trackers of an experiment of a run that was put together from others, whose trials ended before."""
    with tracking(plan, folder, on_event) as trackers:
        for number, trial in enumerate(run.trials, 1):
            trackers.trial_ended(TrialEnded("trial", number, len(run.trials), trial=trial))
        trackers.run_ended(run)
