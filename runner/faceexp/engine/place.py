"""A place where an executor runs jobs: trials and rehearsals, in a worker process of their own there.

The process that an executor starts only waits for that worker, so that a plugin that crashes there, never returns or
fills the memory costs its own trial and not the place. The worker stays for the jobs that follow.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faceexp.engine.backend import software
from faceexp.engine.worker import Done, Start, Task, Work
from faceexp.engine.workers import Pool
from faceexp.registry.installed import discover
from faceexp.store import StoreError
from faceexp.values import Event, Noted, Resolved, Trial


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        done: What came of each of its tasks.
        notes: What whoever watches the run has to be told.
        unfit: Why nothing can be done in this place; empty where everything was done.
        broken_store: The error where the store could not be read or written.
    """

    done: tuple[Done, ...] = ()
    notes: tuple[Noted, ...] = ()
    unfit: str = ""
    broken_store: StoreError | None = None


@dataclass(frozen=True)
class Sent:
    """What every place gets once, and calls with the tasks of each job.

    Attributes:
        run: What tells this run from every other one.
        folder: A folder that exists in every place, since all of them have one store.
        work: What every worker needs.
        start: Returns what does the tasks of a worker.
        threads: How many threads it has.
        minutes: How long a trial may take, beside what it shares with other trials.
        software: Which software decides the numbers, where the run was started.
        plugins: The digest of the code of each plugin there.
    """

    run: str
    folder: Path
    work: Work
    start: Start
    threads: int
    minutes: float | None
    software: dict[str, str]
    plugins: dict[tuple[str, str], str]

    def __call__(self, tasks: tuple[Task, ...]) -> Outcome:
        """Do the tasks of a job, one after the other, all of which are trials or all rehearsals."""
        notes: list[Noted] = []

        def on_event(event: Event) -> None:
            if isinstance(event, Noted):
                notes.append(event)

        pool = _crews.waiting(self)
        if pool is None:
            if reason := self._unfit():
                return Outcome(unfit=f"{socket.gethostname()}: {reason}")
            pool = _crews.begin(self)
        trials = [task for task in tasks if isinstance(task, Trial)]
        try:
            trained = tuple(pool.trained([trials], {}, 1, on_event)) if trials else ()
            rehearsals = [task for task in tasks if not isinstance(task, Trial)]
            return Outcome((*trained, *pool.work_off([rehearsals], 1, on_event)), tuple(notes))
        except StoreError as error:
            return Outcome(broken_store=error)

    def _unfit(self) -> str:
        """Return why a trial would fail here, or become another one than where the run was started."""
        if not self.folder.is_dir():
            return f"the store {self.work.store.root} is not there; every place needs it at the same path"
        here = software()
        names = {"engine": "faceexp (its code)", "onednn": "TF_ENABLE_ONEDNN_OPTS"}
        for name, version in self.software.items():
            if here[name] != version:
                versions = "is another one" if name == "engine" else f"is {here[name]}, and {version} where it started"
                return f"{names.get(name, name)} {versions}; every place needs the same software"
        return next(self._other_code(), "")

    def _other_code(self) -> Iterator[str]:
        """Yield what is wrong with each plugin that is missing here, or is another one."""
        here = {(plugin.kind, plugin.name): plugin for plugin in discover().plugins}
        for (kind, name), code in self.plugins.items():
            if (kind, name) not in here:
                yield f"the {kind} {name!r} is not installed; every place needs the same packages"
            elif here[kind, name].digest != code:
                yield f"the {kind} {name!r} has other code than where the run started; every place needs the same"

    def end(self) -> None:
        """End what was begun in this process; nothing begins here any more."""
        _crews.end(self.run)


def digests(resolved: Resolved) -> dict[tuple[str, str], str]:
    """Return the digest of the code of each plugin of an experiment, by kind and name."""
    return {(each.installed.kind, each.installed.name): each.installed.digest for each in resolved.plugins}


class _Crews:
    """The workers that wait in this process for the next job: of each thread, those of the latest run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[int, tuple[tuple[str, str], Pool]] = {}
        self._ended: set[str] = set()

    def waiting(self, sent: Sent) -> Pool | None:
        """Return the workers that this thread has used for the same run."""
        key, pool = self._pools.get(threading.get_ident(), (None, None))
        return pool if key == _key(sent) else None

    def begin(self, sent: Sent) -> Pool:
        """Return new workers of a run, in the place of those that this thread has used before."""
        thread, work = threading.get_ident(), dataclasses.replace(sent.work, mapped=None)
        pool = Pool(work, sent.start, sent.threads, sent.minutes)
        with self._lock:
            if sent.run in self._ended:
                raise RuntimeError("the run was ended")
            _, before = self._pools.get(thread, (None, None))
            self._pools[thread] = _key(sent), pool
        if before is not None:
            before.close()
        return pool

    def end(self, run: str) -> None:
        """End all workers of a run."""
        with self._lock:
            self._ended.add(run)
            of_run = [thread for thread, (key, _) in self._pools.items() if key[0] == run]
            pools = [self._pools.pop(thread)[1] for thread in of_run]
        for pool in pools:
            pool.close()


def _key(sent: Sent) -> tuple[str, str]:
    # An executor may show a process other GPUs at each job, and a worker keeps those with which it began.
    return sent.run, os.environ.get("CUDA_VISIBLE_DEVICES", "")


# A job is a call of a function, which keeps nothing; so what stays from job to job is kept by the process.
_crews = _Crews()
