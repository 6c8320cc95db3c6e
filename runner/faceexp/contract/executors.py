"""Executors: what they are given to do in another place, and their base class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceexp.contract.plugin import Plugin


class LostError(Exception):
    """The place where a job ran is gone, or the job was ended there: nothing came of it, and it may run elsewhere."""


@dataclass(frozen=True)
class Needs:
    """What a job takes of the place where it runs.

    Attributes:
        cpus: Cores of the processor; libraries use as many threads.
        gpus: GPUs. The job sees only these, and calls the first of them its first.
        memory: Gigabytes (of 10^9 bytes); nothing where the file does not say it.
        minutes: How long a job may take; nothing where the file does not say it.
    """

    cpus: int = 1
    gpus: int = 0
    memory: float | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Jobs:
    """What there is to do, of which jobs follow one after the other.

    Attributes:
        name: What the run is called; it is fit for the name of a file.
        folder: A folder for whatever the executor has to write, such as logs. It does not exist yet; it lies in the
            store, which every place has to have at the same path. It is removed where no job was lost.
        needs: What each job takes.
        call: Does a job in the place where it is called, in a process of its own that it starts there, and returns what
            came of it. It can be pickled. It may be large, so it is best sent to each place once. Where it is called
            again in the same process, that goes on with what it has begun there, which saves seconds.
    """

    name: str
    folder: Path
    needs: Needs
    call: Callable[[Any], Any]


class Executor(ABC):
    """What runs jobs in other places. All of its methods are called in one thread, one after the other."""

    @abstractmethod
    def submit(self, jobs: Sequence[object]) -> Sequence[Future[Any]]:
        """Let jobs run, side by side as far as there is room, and return at once.

        Args:
            jobs: What ``call`` is called with, once for each. They can be pickled and are small.

        Returns:
            For each job what ``call`` returns, as soon as it is known; or :class:`LostError` where its place is gone,
            for whatever reason: then the caller submits it again. Any other error ends the run.
        """

    @abstractmethod
    def close(self) -> None:
        """End every job that has not ended, and give back what was taken. It is called last, also after a failure."""


class ExecutorPlugin(Plugin, ABC):
    """Where trials run: other processes, other machines, a cluster.

    Every place has the same packages and the same code, and the store at the same path.
    """

    @abstractmethod
    def open(self, jobs: Jobs) -> Executor:
        """Return what runs jobs; what it needs is there, such as a connection to a cluster.

        Raises:
            InputError: It cannot run them; the text is what people read. Whatever else is raised is told as well.
        """
