"""Trials in workers, those of one seed and fold side by side with others, each with its share of the cores.

A worker is told which trial to run. It sends back the events of its progress, and then the trained trial. Whatever it
finishes is in the store, as without workers. If a worker dies, or does not come back in time, the trial that it was
running is lost; another worker takes its place and goes on with the other trials.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import cast

import numpy as np

from faceexp.engine.backend import cores
from faceexp.engine.determinism import repeated
from faceexp.engine.failures import failed
from faceexp.engine.rehearsal import Rehearsal, Rehearsed, ended, faults_of, refused_trials, without
from faceexp.engine.worker import Done, Fault, Start, Task, Work, Worker, step_of
from faceexp.values import Event, EventCallback, TrainedTrial, Trial

# Rows of the comparison that one worker trains, or settings of a search. TensorFlow keeps the compiled step of each for
# good, which takes some 6 MB of memory; so after this many, another worker goes on.
MOST_STEPS = 64


def share(jobs: int) -> int:
    """Return how many threads each of ``jobs`` workers gets: its share of the cores, at least one."""
    return max(1, cores() // jobs)


@contextlib.contextmanager
def crew(
    work: Work,
    jobs: int,
    threads: int | None,
    start: Start,
    minutes: float | None,
    on_event: EventCallback,
    rehearsed: Callable[[Iterable[Trial]], Sequence[Rehearsal]],
    *,
    more_follows: bool,
) -> Iterator[Callable[[Sequence[Sequence[Trial]]], Iterator[TrainedTrial]]]:
    """Yield what trains groups of trials, and yields each trial as it ends.

    Groups run side by side, and the trials of a group one after the other.

    Args:
        work: What every worker needs.
        jobs: How many workers there are at most.
        threads: How many threads each has; without it, as many as libraries want.
        start: Returns what does the tasks. Each worker calls it once; it is sent there by its name, so it has to be a
            function of a module.
        minutes: How long a trial may take, beside what it shares with other trials; without it, as long as it wants.
        on_event: Is called with every step of progress, in this process.
        rehearsed: Says what to call once before anything trains, in workers that then go on with trials.
        more_follows: Whether workers stay for further groups.

    Raises:
        StoreError: The store cannot be read or written.
        InputError: The trunk cannot be built, so that there is nothing to train; this is raised at the first trials,
            before any of them.
    """
    pool, faults = Pool(work, start, threads, minutes), None

    def trained(groups: Sequence[Sequence[Trial]]) -> Iterator[TrainedTrial]:
        nonlocal faults
        at_once = min(jobs, len(groups))
        if faults is None:
            pool.more_follows = True
            faults = pool.rehearsed(rehearsed(itertools.chain.from_iterable(groups)), at_once, on_event)
        pool.more_follows = more_follows
        yield from pool.trained(groups, faults, at_once, on_event)

    try:
        yield trained
    finally:
        pool.close()


@dataclass
class Pool:
    """The workers of a run.

    Attributes:
        work: What every worker needs.
        start: What each worker calls once.
        threads: How many threads each has.
        minutes: How long a trial may take.
        waiting: The groups of tasks that no worker has yet.
        running: The workers that do a task, by their connection.
        idle: Workers that have nothing to do and wait for what follows.
        more_follows: Whether a worker that has nothing to do is kept.
        free: The workers whose operations need not be deterministic, once there are any.
        is_closed: Whether no worker may start any more.
    """

    work: Work
    start: Start
    threads: int | None
    minutes: float | None
    waiting: deque[deque[Task]] = field(default_factory=deque)
    running: dict[Connection, Worker] = field(default_factory=dict)
    idle: list[Worker] = field(default_factory=list)
    more_follows: bool = True
    free: Pool | None = None
    is_closed: bool = False

    def trained(
        self, groups: Sequence[Sequence[Trial]], faults: dict[str, str], jobs: int, on_event: EventCallback
    ) -> Iterator[TrainedTrial]:
        """Yield trials as they end, from ``jobs`` workers at most; those of a row that is at fault are lost."""
        yield from refused_trials(groups, faults, self.work.plan)

        def once(pool: Pool, groups: Iterable[Sequence[Trial]]) -> Iterator[TrainedTrial]:
            return (done for done in pool.work_off(groups, jobs, on_event) if isinstance(done, TrainedTrial))

        def again(refused: Iterable[Sequence[Trial]]) -> Iterator[TrainedTrial]:
            if self.free is None:
                work = dataclasses.replace(self.work, deterministic=False)
                self.free = Pool(work, self.start, self.threads, self.minutes)
            self.free.more_follows = self.more_follows
            return once(self.free, refused)

        yield from repeated(once(self, without(groups, faults)), again, on_event)

    def work_off(self, groups: Iterable[Sequence[Task]], jobs: int, on_event: EventCallback) -> Iterator[Done]:
        """Yield what comes of the tasks of each group, from ``jobs`` workers at most."""
        self.waiting.extend(deque(group) for group in groups if group)
        for _ in range(min(jobs, len(self.waiting))):
            self.proceed(self.idle_worker() or self.hire(deque()))
        while self.running:
            for message in self.messages():
                if isinstance(message, Event):
                    on_event(message)
                else:
                    yield message

    def rehearsed(self, rehearsals: Sequence[Rehearsal], jobs: int, on_event: EventCallback) -> dict[str, str]:
        """Call plugins once, and return, by label of its row, why a row has no trials; see :func:`refused`."""
        shares = [rehearsals[first::jobs] for first in range(jobs)]
        return faults_of(self.work_off(shares, jobs, on_event), len(rehearsals), on_event)

    def idle_worker(self) -> Worker | None:
        """Return a worker that waits for work; one that has ended meanwhile is no loss."""
        while self.idle:
            worker = self.idle.pop()
            if worker.process.is_alive():
                return worker
            worker.end()
        return None

    def hire(self, group: deque[Task]) -> Worker:
        """Return a new worker for the rest of a group."""
        if self.is_closed:
            raise RuntimeError("the workers were ended")
        seconds = None if self.minutes is None else self.minutes * 60
        return Worker(self.work.to_send(), self.start, group, self.threads, seconds)

    def proceed(self, worker: Worker) -> None:
        """Give a worker its next task: of its own group while there are any, else of the next group. Or let it end."""
        if not worker.group and self.waiting:
            worker.group = self.waiting.popleft()
        if not worker.group:
            if self.more_follows:
                self.idle.append(worker)
            else:
                worker.dismiss()
            return
        if len(worker.steps | {step_of(worker.group[0])}) > MOST_STEPS:
            worker.dismiss()
            worker = self.hire(worker.group)
        worker.give(worker.group.popleft())
        self.running[worker.connection] = worker

    def messages(self) -> Iterator[Event | Done]:
        """Wait until there is something to hear from a worker, and yield it."""
        soonest = min(worker.deadline for worker in self.running.values())
        for connection in wait(list(self.running), None if soonest == np.inf else max(0, soonest - time.monotonic())):
            worker = self.running[cast("Connection", connection)]
            message = worker.receive()
            if isinstance(message, Event):
                yield message
            elif isinstance(message, TrainedTrial | Rehearsed):
                del self.running[worker.connection]
                self.proceed(worker)  # the worker goes on while the caller looks at the result
                yield message
            elif message is None or isinstance(message, Fault):
                worker.end()
                yield from self._replaced(worker, message.reason if message else worker.describe_end())
        for worker in [worker for worker in self.running.values() if worker.deadline <= time.monotonic()]:
            worker.end()
            reason = f"it took more than {worker.limit:g} seconds"
            if self.minutes is not None and worker.limit == self.minutes * 60:
                reason = f"it took more than {self.minutes:g} minutes, which limits.minutes_per_trial allows"
            yield from self._replaced(worker, reason)

    def _replaced(self, worker: Worker, reason: str) -> Iterator[Done]:
        """Let another worker take the place of one that is gone, and yield what is lost with it."""
        del self.running[worker.connection]
        lost = [cast("Task", worker.task)]
        if not worker.is_ready:
            # What kept this one from starting would keep any other from it.
            lost += [*worker.group, *(task for group in self.waiting for task in group)]
            self.waiting.clear()
        elif worker.group or self.waiting:
            self.proceed(self.hire(worker.group))
        for task in lost:
            if isinstance(task, Trial):
                yield failed(task, self.work.plan, reason)
            elif worker.is_ready:
                yield ended(task, self.work.plan, reason)

    def close(self) -> None:
        """End all workers."""
        self.is_closed = True
        if self.free:
            self.free.close()
        with _uninterrupted():
            for worker in [*self.running.values(), *self.idle]:
                worker.process.terminate()
            for worker in [*self.running.values(), *self.idle]:
                worker.end()


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
