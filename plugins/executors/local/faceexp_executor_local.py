"""Processes of this machine as an executor."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from faceexp.contract import Executor, ExecutorPlugin, Jobs, option


class Local(ExecutorPlugin):
    """Processes of this machine, which also share the trials of one seed and fold: `--jobs` does not divide these."""

    processes: int | None = option(
        None, "How many work side by side; by default as many as the cores of this machine suffice for.", ge=1, le=256
    )

    def open(self, jobs: Jobs) -> Executor:
        """Return what runs jobs in processes."""
        return Processes(jobs, self.processes or max(1, _cores() // jobs.needs.cpus))


class Processes(Executor):
    """Threads, each of which waits for the process that does its jobs: `call` starts one itself."""

    def __init__(self, jobs: Jobs, number: int) -> None:
        """Start nothing yet."""
        self._call, self._threads = jobs.call, ThreadPoolExecutor(number, "local executor")

    def submit(self, jobs: Sequence[object]) -> Sequence[Future[Any]]:
        """Let jobs run as soon as a thread is free."""
        return [self._threads.submit(self._call, job) for job in jobs]

    def close(self) -> None:
        """Begin no further job; whoever has opened this ends the processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
