"""Several seeds and folds side by side, each in a process of its own with its share of the cores.

A process is told which trial to run, sends the events of its progress, and then the trained trial. Whatever it
finishes is in the store, as with a single process. One that dies costs the trial it was at; another takes its place.
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

Run = Callable[[Trial], TrainedTrial]
PATIENCE = 20.0  # seconds for a process to put its things away


@dataclass(frozen=True)
class Work:
    """What a process needs: the plan, whose images it maps into memory itself, and where results go."""

    plan: Plan
    images: Path | ByteArray
    store: Store
    score: Score

    @classmethod
    def of(cls, plan: Plan, store: Store, score: Score) -> Work:
        """Leave out what is large: images that lie in a file, and the sources they were decoded from."""
        file = plan.images.filename if isinstance(plan.images, np.memmap) else None
        empty: list[Path] = []
        bare = dataclasses.replace(
            plan, images=np.zeros(0, np.uint8), data=dataclasses.replace(plan.data, images=empty)
        )
        return cls(bare, Path(file) if file else plan.images, store, score)

    def whole(self) -> Plan:
        """Return the plan with its images."""
        found: ByteArray = (
            np.load(self.images, mmap_mode="r", allow_pickle=False) if isinstance(self.images, Path) else self.images
        )
        return dataclasses.replace(self.plan, images=found)


def share(jobs: int) -> int:
    """Return the threads that each of so many processes gets."""
    return max(1, cores() // jobs)


def train_in_processes(
    work: Work,
    groups: Sequence[Sequence[Trial]],
    on_event: EventCallback,
    jobs: int,
    start: Callable[[Work, EventCallback], Run],
) -> Iterator[TrainedTrial]:
    """Yield each trial as it ends; groups run side by side, the trials of a group one after the other.

    Args:
        work: The same for every process.
        groups: The trials of each seed and fold, which share their phase 1.
        on_event: Is called with every step of progress, in this process.
        jobs: Processes.
        start: Gives what runs trials; called once in every process, to which it goes by its name.
    """
    waiting = deque(deque(group) for group in groups)
    running: dict[Connection, _Slot] = {}
    try:
        for _ in range(min(jobs, len(waiting))):
            _proceed(running, _Slot(work, start, share(jobs)), waiting)
        while running:
            for connection in wait(list(running)):
                slot = running[cast("Connection", connection)]
                message = slot.receive()
                if isinstance(message, Event):
                    on_event(message)
                    continue
                del running[slot.connection]
                if message is not None:
                    _proceed(running, slot, waiting)  # it goes on while the caller looks at the result
                    yield message
                    continue
                slot.end()
                if slot.group or waiting:
                    _proceed(running, _Slot(work, start, share(jobs), slot.group), waiting)
                yield _lost(work.plan, slot)
    finally:
        for slot in running.values():
            slot.process.terminate()
        for slot in running.values():
            slot.end()


class _Slot:
    """A process, the trial it is at and those it will do next."""

    def __init__(
        self, work: Work, start: Callable[[Work, EventCallback], Run], threads: int, group: deque[Trial] | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.group: deque[Trial] = deque() if group is None else group
        self.trial: Trial | None = None
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, work, start), daemon=True)
        with _threads(threads):
            self.process.start()
        theirs.close()  # so that the pipe ends when the process does

    def receive(self) -> Event | TrainedTrial | None:
        """Return the next message, or nothing where the process is gone."""
        try:
            message: Event | TrainedTrial = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def give(self, trial: Trial) -> None:
        self.trial = trial
        with contextlib.suppress(OSError):  # it is gone, which `receive` will notice
            self.connection.send(trial)

    def end(self, patience: float = 0.0) -> None:
        """Wait for the process to end, then make it, first politely."""
        self.process.join(patience)
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        self.connection.close()


def _proceed(running: dict[Connection, _Slot], slot: _Slot, waiting: deque[deque[Trial]]) -> None:
    """Give a process its next trial, of its own group while there are any, or let it go."""
    if not slot.group and waiting:
        slot.group = waiting.popleft()
    if slot.group:
        slot.give(slot.group.popleft())
        running[slot.connection] = slot
    else:
        with contextlib.suppress(OSError):
            slot.connection.send(None)
        slot.end(PATIENCE)


def _lost(plan: Plan, slot: _Slot) -> TrainedTrial:
    trial, code = slot.trial, slot.process.exitcode
    assert trial is not None  # noqa: S101 - it was running
    split = next(split for split in plan.splits if (split.seed, split.fold) == (trial.seed, trial.fold))
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    hint = "; it may have run out of memory: try fewer jobs" if code == -signal.SIGKILL else ""
    return TrainedTrial(trial, split, "failed", f"the process that ran it {how}{hint}")


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set what libraries read, as they are loaded, of how many threads to use."""
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


def _serve(connection: Connection, work: Work, start: Callable[[Work, EventCallback], Run]) -> None:
    """Run trials as they are asked for, until there are no more or nobody is left to ask."""
    # Being told to end is an interruption: what is half done is cleaned up on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        run = start(work, connection.send)
        while (trial := connection.recv()) is not None:
            connection.send(run(trial))
