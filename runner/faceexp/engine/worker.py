"""A worker: a process that runs one trial after the other, as this process asks it to.

Whatever a plugin does there, crash, never return, or fill the memory, costs the trial that was running.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

import numpy as np

from faceexp.arrays import ByteArray
from faceexp.contract import StoredImage
from faceexp.engine.backend import THREADS
from faceexp.engine.finetune import step_key
from faceexp.engine.rehearsal import LONGEST, Rehearsal, Rehearsed
from faceexp.errors import plain
from faceexp.store import Store, StoreError
from faceexp.values import Event, EventCallback, Plan, Score, TrainedTrial, Trial

# What a worker is asked for, and what it answers with.
Task = Trial | Rehearsal
Done = TrainedTrial | Rehearsed
# What does one task.
Run = Callable[[Task], Done]
# What a worker begins with: it returns what does the worker's tasks.
Start = Callable[["Work", EventCallback], Run]
# Seconds that a worker gets to end by itself, such as to remove files that are half written, before it is killed. One
# that is in a long operation of TensorFlow cannot hear that it should end.
PATIENCE = 5.0
# Stages of a trial whose time is not its own: other losses of its seed and fold use their results as well.
SHARED_STAGES = ("backend", "pretrain", "features")
# Threads that start workers change one environment.
_one_environment = threading.RLock()


class AskedToEndError(KeyboardInterrupt):
    """The main process wants this worker to end, or is gone."""


@dataclass(frozen=True)
class Work:
    """Everything that a worker needs for its trials.

    Attributes:
        plan: The plan, without its images.
        images: The file of the images, which each worker maps into its memory itself; or the images, if they are in no
            file.
        store: Where finished work is looked up and kept.
        score: Judges checkpoints.
        mapped: The images, as this process has them; no worker is sent them, unless their file is gone.
        deterministic: Whether operations are to be deterministic.
    """

    plan: Plan
    images: Path | ByteArray
    store: Store
    score: Score
    mapped: ByteArray | None = None
    deterministic: bool = True

    @classmethod
    def of(cls, plan: Plan, store: Store, score: Score) -> Work:
        """Return what to send to workers. What is large is left out: images that are in a file, and their sources."""
        file = plan.images.filename if isinstance(plan.images, np.memmap) else None
        no_sources: list[Path | StoredImage] = []
        bare = dataclasses.replace(
            plan,
            images=np.zeros(0, np.uint8),
            data=dataclasses.replace(plan.data, images=no_sources),
            # Options of these may be secrets, and no worker needs them.
            resolved=dataclasses.replace(
                plan.resolved,
                experiment=plan.resolved.experiment.model_copy(update={"trackers": (), "executor": None}),
                trackers=(),
                executor=None,
            ),
        )
        return cls(bare, Path(file) if file else plan.images, store, score, plan.images if file else None)

    def to_send(self) -> Work:
        """Return what a new worker is sent. Where somebody has cleared the store, it gets the images themselves."""
        is_gone = isinstance(self.images, Path) and not self.images.is_file() and self.mapped is not None
        return dataclasses.replace(self, images=np.array(self.mapped) if is_gone else self.images, mapped=None)

    def whole(self) -> Plan:
        """Return the plan with its images."""
        images: ByteArray = (
            np.load(self.images, mmap_mode="r", allow_pickle=False) if isinstance(self.images, Path) else self.images
        )
        return dataclasses.replace(self.plan, images=images)


@dataclass(frozen=True)
class Fault:
    """Why a worker cannot go on."""

    reason: str


class Worker:
    """A worker, as the process that asks it sees it.

    Args:
        work: What it needs for its trials.
        start: What it calls once, to get what runs its trials.
        group: What it has to do next: trials of a seed and fold, or rehearsals.
        threads: How many threads libraries may use there; without it, as many as they want.
        seconds: How long a trial may take, beside what it shares with others.

    Attributes:
        task: What it is doing.
        steps: What it has compiled: the rows of which it has run a trial, in a search with each of their settings.
        is_ready: Whether it has started.
        deadline: When the time of its task is over, by the clock of ``time.monotonic``.
    """

    def __init__(
        self, work: Work, start: Start, group: deque[Task], threads: int | None, seconds: float | None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.group, self.seconds = group, seconds
        self.task: Task | None = None
        self.steps: set[str] = set()
        self.is_ready = False
        self.deadline = np.inf
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, start), daemon=True)
        with limited_threads(threads):
            self.process.start()
        theirs.close()  # the worker has the only open end now, so the pipe ends when the worker does
        self._send(work)

    def receive(self) -> Event | Done | Fault | bool | None:
        """Return the next message of the worker, or ``None`` if it is gone.

        Raises:
            StoreError: The store cannot be read or written.
        """
        try:
            message: Event | Done | Fault | StoreError | bool = self.connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(message, StoreError):
            raise message
        if message is True:
            self.is_ready = True
        # To start takes seconds, which are no fault of a plugin, and neither is what other trials use as well.
        if message is True or (isinstance(message, Event) and message.stage in SHARED_STAGES):
            self._wind_up()
        return message

    def give(self, task: Task) -> None:
        """Send a task to the worker."""
        self.task = task
        if isinstance(task, Trial):
            self.steps.add(step_of(task))
        self._wind_up()
        self._send(task)

    @property
    def limit(self) -> float | None:
        """Seconds that its task may take. To build the trunk may take as long as a trial: it may load weights."""
        if isinstance(self.task, Rehearsal) and self.task.loss:
            return LONGEST if self.seconds is None else min(LONGEST, self.seconds)
        return self.seconds

    def _send(self, message: Work | Task) -> None:
        with contextlib.suppress(OSError):  # the worker is gone; `receive` will notice that
            self.connection.send(message)

    def _wind_up(self) -> None:
        """Let the time of the task begin anew."""
        self.deadline = np.inf if self.limit is None else time.monotonic() + self.limit

    def dismiss(self) -> None:
        """Tell a worker that there is nothing more to do, and wait until it has ended."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.process.join(PATIENCE)
        self.end()

    def end(self) -> None:
        """Ask the worker to end, and kill it if it does not."""
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        self.connection.close()

    def describe_end(self) -> str:
        """Say how a worker ended that should not have ended."""
        code = self.process.exitcode
        if not self.is_ready:
            return (
                f"the process that was to run it did not start (exit code {code}): a script that calls run(jobs=...) "
                'has to do so below a line `if __name__ == "__main__":`'
            )
        if code is not None and code < 0:
            hint = "; it may have run out of memory: try fewer jobs" if code == -signal.SIGKILL else ""
            return f"the process that ran it was killed by signal {-code}{hint}"
        return f"the process that ran it ended with exit code {code}"


def step_of(task: Task) -> str:
    """Return a name of the training step that a task compiles: of a row, and in a search of each of its settings."""
    return f"{task.label} {step_key(task.loss)}" if task.loss else task.label


@contextlib.contextmanager
def limited_threads(count: int | None) -> Iterator[None]:
    """Set the number of threads for processes that are started inside this context, unless it is left to libraries.

    Libraries read these environment variables when they are loaded, which is when a new process imports them.
    """
    if count is None:
        yield
        return
    names = (THREADS, "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    with _one_environment:
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(dict.fromkeys(names, str(count)))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _serve(connection: Connection, start: Start) -> None:
    """Be a worker: run trials as they are asked for, until there are no more or the asking process is gone."""
    # Ctrl-C reaches every process of a terminal; the asking process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Being asked to end becomes an exception, so that half-written files are removed on the way out.
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(2, 1)  # what plugins and libraries print is no answer of the program
    with contextlib.suppress(AskedToEndError, EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(True)
        try:
            run = start(connection.recv(), connection.send)
        except AskedToEndError:
            raise
        except BaseException as error:  # noqa: BLE001 - it imports plugins, which may raise anything
            connection.send(Fault(f"the process that was to run it did not start: {plain(repr(error))}"))
            return
        while (task := connection.recv()) is not None:
            try:
                connection.send(run(task))
            except StoreError as error:
                connection.send(error)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler of signals is called with these
    raise AskedToEndError


def _end_with_parent() -> None:
    """Wait for the asking process to be gone, and end: nobody could use what is computed afterwards."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os.kill(os.getpid(), signal.SIGKILL)
