"""Trials in worker processes, with one seed and fold side by side with others, each with its share of the cores.

A worker is told which trial to run. It sends back the events of its progress, and then the trained trial. Whatever it
finishes is in the store, as without workers. If a worker dies, or does not come back in time, the trial that it was
running is lost; another worker takes its place and goes on with the other trials.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast

import numpy as np

from faceexp.arrays import ByteArray
from faceexp.engine.backend import THREADS, cores
from faceexp.errors import plain
from faceexp.store import Store, StoreError
from faceexp.values import Event, EventCallback, Plan, Score, TrainedTrial, Trial

# What runs one trial.
Run = Callable[[Trial], TrainedTrial]
# What a worker begins with: it returns what runs the worker's trials.
Start = Callable[["Work", EventCallback], Run]
# Seconds that a worker gets to end by itself, such as to remove files that are half written, before it is killed. One
# that is in a long operation of TensorFlow cannot hear that it should end.
PATIENCE = 5.0
# Stages of a trial whose time is not its own: other losses of its seed and fold use their results as well.
SHARED_STAGES = ("backend", "pretrain", "features")


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
    """

    plan: Plan
    images: Path | ByteArray
    store: Store
    score: Score

    @classmethod
    def of(cls, plan: Plan, store: Store, score: Score) -> Work:
        """Return what to send to workers. What is large is left out: images that are in a file, and their sources."""
        file = plan.images.filename if isinstance(plan.images, np.memmap) else None
        no_sources: list[Path] = []
        bare = dataclasses.replace(
            plan, images=np.zeros(0, np.uint8), data=dataclasses.replace(plan.data, images=no_sources)
        )
        return cls(bare, Path(file) if file else plan.images, store, score)

    def whole(self) -> Plan:
        """Return the plan with its images."""
        images: ByteArray = (
            np.load(self.images, mmap_mode="r", allow_pickle=False) if isinstance(self.images, Path) else self.images
        )
        return dataclasses.replace(self.plan, images=images)


def share(jobs: int) -> int:
    """Return how many threads each of ``jobs`` workers gets: its share of the cores, at least one."""
    return max(1, cores() // jobs)


def train_in_processes(
    work: Work,
    groups: Sequence[Sequence[Trial]],
    on_event: EventCallback,
    jobs: int,
    start: Start,
    minutes: float | None = None,
) -> Iterator[TrainedTrial]:
    """Yield each trial as it ends. Groups run side by side, and the trials of a group one after the other.

    Args:
        work: What every worker needs.
        groups: The trials of each seed and fold, which share their pretraining.
        on_event: Is called with every step of progress, in this process.
        jobs: How many workers there are.
        start: Returns what runs trials. Each worker calls it once; it is sent there by its name, so it has to be a
            function of a module.
        minutes: How long a trial may take, beside what it shares with other trials; without it, as long as it wants.

    Raises:
        StoreError: The store cannot be read or written.
    """
    waiting = deque(deque(group) for group in groups)
    running: dict[Connection, _Worker] = {}
    # With one worker, libraries use as many threads as they would without workers.
    threads = share(jobs) if jobs > 1 else None
    seconds = None if minutes is None else minutes * 60
    try:
        for _ in range(min(jobs, len(waiting))):
            _proceed(running, _Worker(work, start, threads, seconds), waiting)
        while running:
            soonest = min((worker.deadline for worker in running.values()), default=np.inf)
            ready = wait(list(running), None if soonest == np.inf else max(0.0, soonest - time.monotonic()))
            for connection in ready:
                worker = running[cast("Connection", connection)]
                message = worker.receive()
                if isinstance(message, Event):
                    on_event(message)
                elif isinstance(message, TrainedTrial):
                    del running[worker.connection]
                    _proceed(running, worker, waiting)  # the worker goes on while the caller looks at the result
                    yield message
                elif message is None or isinstance(message, _Fault):
                    del running[worker.connection]
                    worker.end()
                    yield from _replaced(running, worker, work, start, waiting, message)
            for worker in [worker for worker in running.values() if worker.deadline <= time.monotonic()]:
                del running[worker.connection]
                worker.process.terminate()
                worker.end()
                fault = _Fault(f"it took more than {minutes:g} minutes, which limits.minutes_per_trial allows")
                yield from _replaced(running, worker, work, start, waiting, fault)
    finally:
        with _uninterrupted():
            for worker in running.values():
                worker.process.terminate()
            for worker in running.values():
                worker.end()


@dataclass(frozen=True)
class _Fault:
    """Why a worker cannot go on."""

    reason: str


def _replaced(
    running: dict[Connection, _Worker],
    worker: _Worker,
    work: Work,
    start: Start,
    waiting: deque[deque[Trial]],
    fault: _Fault | None,
) -> Iterator[TrainedTrial]:
    """Let another worker take the place of one that is gone, and yield what is lost with it."""
    reason = fault.reason if fault else worker.describe_end()
    lost = [cast("Trial", worker.trial)]
    if worker.is_ready:
        if worker.group or waiting:
            _proceed(running, _Worker(work, start, worker.threads, worker.seconds, worker.group), waiting)
    else:
        # What kept this one from starting would keep any other from it.
        lost += [*worker.group, *(trial for group in waiting for trial in group)]
        waiting.clear()
    for trial in lost:
        split = next(split for split in work.plan.splits if (split.seed, split.fold) == (trial.seed, trial.fold))
        yield TrainedTrial(trial, split, "failed", reason)


class _Worker:
    """A worker process, the trial that it is running, and the trials of its group that come next."""

    def __init__(
        self,
        work: Work,
        start: Start,
        threads: int | None,
        seconds: float | None,
        group: deque[Trial] | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.threads, self.seconds = threads, seconds
        self.group: deque[Trial] = deque() if group is None else group
        self.trial: Trial | None = None
        self.is_ready = False
        self.deadline = np.inf
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, start), daemon=True)
        with _threads(threads):
            self.process.start()
        theirs.close()  # the worker has the only open end now, so the pipe ends when the worker does
        self._send(work)

    def receive(self) -> Event | TrainedTrial | _Fault | bool | None:
        """Return the next message of the worker, or ``None`` if it is gone.

        Raises:
            StoreError: The store cannot be read or written.
        """
        try:
            message: Event | TrainedTrial | _Fault | StoreError | bool = self.connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(message, StoreError):
            raise message
        if message is True:
            self.is_ready = True
        if isinstance(message, Event) and message.stage in SHARED_STAGES:
            self._wind_up()
        return message

    def give(self, trial: Trial) -> None:
        """Send a trial to the worker."""
        self.trial = trial
        self._wind_up()
        self._send(trial)

    def _send(self, message: Work | Trial) -> None:
        with contextlib.suppress(OSError):  # the worker is gone; `receive` will notice that
            self.connection.send(message)

    def _wind_up(self) -> None:
        """Let the time of the trial begin anew."""
        self.deadline = np.inf if self.seconds is None else time.monotonic() + self.seconds

    def end(self, patience: float = 0.0) -> None:
        """Wait for the worker to end by itself; then ask it to end; then kill it.

        Args:
            patience: Seconds to wait before it is asked.
        """
        self.process.join(patience)
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


def _proceed(running: dict[Connection, _Worker], worker: _Worker, waiting: deque[deque[Trial]]) -> None:
    """Give a worker its next trial: of its own group while there are any, else of the next group. Or let it end."""
    if not worker.group and waiting:
        worker.group = waiting.popleft()
    if worker.group:
        worker.give(worker.group.popleft())
        running[worker.connection] = worker
    else:
        with contextlib.suppress(OSError):
            worker.connection.send(None)
        worker.end(PATIENCE)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Set the number of threads for processes that are started inside this context, unless it is left to libraries.

    Libraries read these environment variables when they are loaded, which is when a new process imports them.
    """
    if count is None:
        yield
        return
    names = (THREADS, "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
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


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Do not end on a signal inside this context: whoever presses Ctrl-C twice must not leave processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
            connection.send(_Fault(f"the process that was to run it did not start: {plain(repr(error))}"))
            return
        while (trial := connection.recv()) is not None:
            try:
                connection.send(run(trial))
            except StoreError as error:
                connection.send(error)


def _end(number: int, frame: Any) -> None:  # noqa: ANN401, ARG001 - a handler of signals is called with these
    raise AskedToEndError


def _end_with_parent() -> None:
    """Wait for the asking process to be gone, and end: nobody could use what is computed afterwards."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)
