"""Several seeds and folds side by side, each in a worker process with its share of the cores.

A worker is told which trial to run. It sends back the events of its progress, and then the trained trial. Whatever it
finishes is in the store, as with a single process. If a worker dies, the trial that it was running is lost; another
worker takes its place and goes on with the other trials.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

import numpy as np

from faceexp.arrays import ByteArray
from faceexp.engine.backend import THREADS, cores
from faceexp.store import Store
from faceexp.values import Event, EventCallback, Plan, Score, TrainedTrial, Trial

# What runs one trial.
Run = Callable[[Trial], TrainedTrial]
# What a worker begins with: it returns what runs the worker's trials.
Start = Callable[["Work", EventCallback], Run]
# Seconds that a worker gets to end by itself, such as to remove files that are half written, before it is killed.
PATIENCE = 20.0


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
) -> Iterator[TrainedTrial]:
    """Yield each trial as it ends. Groups run side by side, and the trials of a group one after the other.

    Args:
        work: What every worker needs.
        groups: The trials of each seed and fold, which share their pretraining.
        on_event: Is called with every step of progress, in this process.
        jobs: How many workers there are.
        start: Returns what runs trials. Each worker calls it once; it is sent there by its name, so it has to be a
            function of a module.
    """
    waiting = deque(deque(group) for group in groups)
    running: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(jobs, len(waiting))):
            _proceed(running, _Worker(work, start, share(jobs)), waiting)
        while running:
            for connection in wait(list(running)):
                worker = running[cast("Connection", connection)]
                message = worker.receive()
                if isinstance(message, Event):
                    on_event(message)
                    continue
                del running[worker.connection]
                if message is not None:
                    _proceed(running, worker, waiting)  # the worker goes on while the caller looks at the result
                    yield message
                    continue
                worker.end()
                if worker.group or waiting:
                    _proceed(running, _Worker(work, start, share(jobs), worker.group), waiting)
                yield _lost(work.plan, worker)
    finally:
        for worker in running.values():
            worker.process.terminate()
        for worker in running.values():
            worker.end()


class _Worker:
    """A worker process, the trial that it is running, and the trials of its group that come next."""

    def __init__(self, work: Work, start: Start, threads: int, group: deque[Trial] | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.group: deque[Trial] = deque() if group is None else group
        self.trial: Trial | None = None
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, work, start), daemon=True)
        with _threads(threads):
            self.process.start()
        theirs.close()  # the worker has the only open end now, so the pipe ends when the worker does

    def receive(self) -> Event | TrainedTrial | None:
        """Return the next message of the worker, or ``None`` if it is gone."""
        try:
            message: Event | TrainedTrial = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def give(self, trial: Trial) -> None:
        self.trial = trial
        with contextlib.suppress(OSError):  # the worker is gone; `receive` will notice that
            self.connection.send(trial)

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


def _lost(plan: Plan, worker: _Worker) -> TrainedTrial:
    """Return the trial that a worker was running when it died, as a failed one."""
    trial, code = worker.trial, worker.process.exitcode
    assert trial is not None  # noqa: S101 - a worker that is lost was running one
    split = next(split for split in plan.splits if (split.seed, split.fold) == (trial.seed, trial.fold))
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    hint = "; it may have run out of memory: try fewer jobs" if code == -signal.SIGKILL else ""
    return TrainedTrial(trial, split, "failed", f"the process that ran it {how}{hint}")


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of threads for processes that are started inside this context.

    Libraries read these environment variables when they are loaded, which is when a new process imports them.
    """
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


def _serve(connection: Connection, work: Work, start: Start) -> None:
    """Be a worker: run trials as they are asked for, until there are no more or the asking process is gone."""
    # Being asked to end becomes a KeyboardInterrupt, so that half-written files are removed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        run = start(work, connection.send)
        while (trial := connection.recv()) is not None:
            connection.send(run(trial))
