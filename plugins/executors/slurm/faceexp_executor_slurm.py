"""Jobs of a Slurm cluster as an executor, through submitit."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import StringConstraints

from faceexp.contract import Executor, ExecutorPlugin, Jobs, LostError, option
from faceexp.errors import InputError

if TYPE_CHECKING:
    from submitit import Job

Name = Annotated[str, StringConstraints(min_length=1)]
Flag = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]*$")]

# Commands of Slurm: they begin a job, begin its process, end it, and say what has become of it.
COMMANDS = ("sbatch", "srun", "scancel", "sacct")
# The states after which nothing more comes of a job, of Slurm and of submitit's own processes, and what they mean.
ENDS = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "COMPLETED": "it ended without a result",
    "DEADLINE": "its deadline was over",
    "FAILED": "it ended with an error",
    "FINISHED": "it was killed, or its time was over",
    "INTERRUPTED": "it was killed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it took more memory than it may; `memory` asks for more",
    "PREEMPTED": "another job took its place",
    "TIMEOUT": "its time was over; `minutes` asks for more",
}
# Seconds between two looks at the folder of results: they grow while nothing happens.
FIRST_PAUSE, PAUSE_GROWS = 0.1, 1.3
# Seconds between two questions to Slurm's accounting, which all of its users share.
BETWEEN_QUESTIONS = 30.0
# Seconds after the end of a job within which other machines see its result.
DELAY = 30.0
# Seconds that the commands of Slurm, and processes of this machine that are asked to end, get for it.
PATIENCE, LONGEST_END = 60.0, 15.0
# Letters at the end of a log that are read, and what TensorFlow says there whenever it begins.
LOG_END = 4000
GREETING = re.compile(r"I\d{4} |WARNING: All log messages before absl")


class Slurm(ExecutorPlugin):
    """Jobs of a Slurm cluster: those that can begin at the same time are one job array.

    The run itself stays where it was started, such as on a login node, and waits for its jobs. They run the same
    Python, and the store has to be at the same path on every node. Without `minutes` and `memory`, Slurm takes what is
    usual in the partition. A job that Slurm ends, for whatever reason, is submitted again; Slurm does not requeue it.
    """

    cluster: Literal["slurm", "local"] = option(
        "slurm",
        "Where jobs run: on a cluster of Slurm, or as processes of this machine, to try it without a cluster; of the "
        "other options, only `at_once` counts there.",
    )
    partition: Name | None = option(None, "The partition; by default the usual one of the cluster.")
    account: Name | None = option(None, "The account that is charged; by default the usual one of the user.")
    qos: Name | None = option(None, "The quality of service that is asked for.")
    constraint: Name | None = option(None, "Features that a node has to have, such as `a100` or `intel&ib`.")
    at_once: int | None = option(
        None,
        "How many jobs of an array run at a time; by default as many as Slurm lets run. As processes of this machine, "
        "as many as its cores suffice for.",
        ge=1,
        le=100_000,
    )
    array_size: int = option(
        1000,
        "How many jobs an array has at most; more jobs are several arrays. Slurm's own limit is usually 1001.",
        ge=1,
        le=4_000_000,
    )
    in_queue: int | None = option(
        None,
        "How many jobs wait and run at a time, where a site limits how many a user may submit; by default all of them.",
        ge=1,
        le=4_000_000,
    )
    setup: tuple[str, ...] = option(
        (), 'Lines of shell that run before each job, such as `["module load cuda"]`.', max_length=100
    )
    additional: dict[Flag, str] = option(
        {},
        'Further options of `sbatch`, without their dashes, such as `{mail-type = "END", exclusive = ""}`; an empty '
        "text is for those that have no value.",
    )

    def open(self, jobs: Jobs) -> Executor:
        """Return what submits jobs.

        Raises:
            InputError: A command of Slurm is missing, or does not work.
        """
        import logging

        logging.getLogger("submitit").setLevel(logging.CRITICAL)  # what it would print here, errors say as well
        return Submitted(jobs, Cluster(self, jobs) if self.cluster == "slurm" else Machine(self, jobs))


@dataclass(frozen=True)
class InPlace:
    """What a job calls: it ends as soon as Slurm asks for it, so that nothing that is cut short counts as a result.

    Attributes:
        file: What the run wants to be called; it may be large, so that jobs share it.
        gpus: How many GPUs were asked for.
    """

    file: Path
    gpus: int

    def __call__(self, job: object) -> object:
        """Do a job."""
        from submitit import JobEnvironment
        from submitit.core.utils import pickle_load

        # submitit would submit the job again at a warning before the end of its time, and go on when asked to end. The
        # worker below inherits that it ignores the warning.
        signal.signal(getattr(signal, f"SIG{JobEnvironment.USR_SIG}"), signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _end)
        if not self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # some clusters show every GPU to whoever asks for none
        # The run itself wrote this file into its store, as submitit did with the job.
        return pickle_load(self.file)(job)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler of signals is called with these
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


class Place(ABC):
    """Where jobs run.

    Attributes:
        most: How many jobs are begun together.
        room: How many jobs it takes at a time.
        longest_pause: Seconds between two looks at it.
        delay: Seconds after the end of a job within which its result can be seen here.
    """

    most: int
    room: float
    longest_pause: float
    delay: float

    @abstractmethod
    def begin(self, call: InPlace, jobs: Sequence[object]) -> Sequence[Job[Any]]:
        """Let jobs begin as soon as there is room.

        Raises:
            InputError: They are refused.
        """

    @abstractmethod
    def states(self, jobs: Iterable[Job[Any]]) -> Mapping[Job[Any], str]:
        """Return the state of each job."""

    @abstractmethod
    def end(self, jobs: Iterable[Job[Any]]) -> None:
        """End all jobs that were begun, of which these may not have ended yet."""


class Cluster(Place):
    """A cluster of Slurm.

    Attributes:
        name: What all jobs of the run are called, and no others.
    """

    name: str

    def __init__(self, options: Slurm, jobs: Jobs) -> None:
        """Make sure that Slurm works, and say what jobs need.

        Raises:
            InputError: It does not work.
        """
        from submitit import SlurmExecutor

        missing = [command for command in COMMANDS if shutil.which(command) is None]
        if missing:
            raise InputError(
                f"there is no {missing[0]} on this machine; start the run where Slurm's commands work, such as on a "
                'login node, or try it on this machine with executor.cluster = "local"'
            )
        _ask(["sacct", "--noheader", "--allocations", "--format", "JobID"])
        self.most, self.room = options.array_size, options.in_queue or math.inf
        self.longest_pause, self.delay = 5.0, DELAY
        self._asked, needs = time.monotonic(), jobs.needs
        self.name = f"{jobs.name}-{uuid.uuid4().hex[:8]}"
        self._executor = SlurmExecutor(jobs.folder, python=shlex.quote(sys.executable))
        self._executor.update_parameters(
            job_name=self.name,
            # Without it, submitit would ask for five minutes; nothing leaves it to the partition.
            time=None if needs.minutes is None else math.ceil(needs.minutes),
            # Slurm counts in units of 2^20 bytes.
            mem=None if needs.memory is None else f"{math.ceil(needs.memory * 1e9 / 2**20)}M",
            cpus_per_task=needs.cpus,
            # Since its version 22.05, Slurm gives a process one core where srun is not told.
            srun_args=[f"--cpus-per-task={needs.cpus}"],
            gpus_per_node=needs.gpus or None,
            partition=options.partition,
            account=options.account,
            qos=options.qos,
            constraint=options.constraint,
            array_parallelism=options.at_once or options.array_size,
            setup=list(options.setup) or None,
            signal_delay_s=1,
            wckey=None,
            additional_parameters={"no-requeue": True}
            | {flag: text or True for flag, text in options.additional.items()},
        )

    def begin(self, call: InPlace, jobs: Sequence[object]) -> Sequence[Job[Any]]:
        """Submit jobs as an array."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            with contextlib.redirect_stderr(io.StringIO()):  # submitit prints there what the error says as well
                return self._executor.map_array(call, jobs)
        except (FailedJobError, FailedSubmissionError) as error:
            raise InputError(f"Slurm refuses jobs: {error}") from error

    def states(self, jobs: Iterable[Job[Any]]) -> Mapping[Job[Any], str]:
        """Return the states that Slurm gave when it was asked last; one question is about all jobs."""
        jobs = list(jobs)
        if jobs and time.monotonic() - self._asked > BETWEEN_QUESTIONS:
            jobs[0].get_info(mode="force")
            self._asked = time.monotonic()
        # Slurm says "CANCELLED by" and who it was.
        return {job: job.watcher.get_state(job.job_id, mode="cache").partition(" ")[0] for job in jobs}

    def end(self, jobs: Iterable[Job[Any]]) -> None:  # noqa: ARG002 - they all have that name
        """Cancel all that has the name of this run: also what Ctrl-C has kept from being known here."""
        with contextlib.suppress(InputError):  # at the end there is nobody to tell
            _ask(["scancel", f"--name={self.name}"])


def _ask(command: list[str]) -> None:
    """Run a command of Slurm.

    Raises:
        InputError: It does not work; the text has what it says.
    """
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)  # noqa: S603 - no shell
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise InputError(f"{command[0]} does not work here, and jobs are not run without it: {said}") from error


class Machine(Place):
    """Processes of this machine, as submitit starts them where there is no cluster."""

    def __init__(self, options: Slurm, jobs: Jobs) -> None:
        """Say what jobs need."""
        from submitit import LocalExecutor

        needs = jobs.needs
        # GPUs are those of all jobs, so one job at a time has them.
        self.room = options.at_once or (1 if needs.gpus else max(1, (os.cpu_count() or 1) // needs.cpus))
        self.most, self.longest_pause, self.delay = 1, 0.5, 0.0
        self._executor = LocalExecutor(jobs.folder, python=shlex.quote(sys.executable))
        a_year = 365.0 * 24 * 60
        self._executor.update_parameters(
            timeout_min=needs.minutes or a_year, gpus_per_node=needs.gpus, signal_delay_s=1
        )

    def begin(self, call: InPlace, jobs: Sequence[object]) -> Sequence[Job[Any]]:
        """Start a process for each job."""
        # Ctrl-C reaches every process of a terminal; this one decides what it means. Processes inherit the mask.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._executor.map_array(call, jobs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def states(self, jobs: Iterable[Job[Any]]) -> Mapping[Job[Any], str]:
        """Return whether their processes run."""
        return {job: job.state for job in jobs}

    def end(self, jobs: Iterable[Job[Any]]) -> None:
        """Ask processes to end, and wait for it. One that has just started may not hear it the first time."""
        deadline = time.monotonic() + LONGEST_END
        while (running := [job for job in jobs if not job.done()]) and time.monotonic() < deadline:
            for job in running:
                os.kill(int(job.job_id), signal.SIGTERM)  # the number of the process, which is still there
            pause = time.monotonic() + 1.0
            while any(not job.done() for job in running) and time.monotonic() < pause:
                time.sleep(0.02)


class Submitted(Executor):
    """Jobs that were submitted, and a thread that looks for what came of them.

    Args:
        jobs: What there is to do.
        place: Where jobs run.
    """

    def __init__(self, jobs: Jobs, place: Place) -> None:
        from submitit.core.utils import cloudpickle_dump

        self._folder, self._place = jobs.folder.absolute(), place
        self._folder.mkdir(parents=True, exist_ok=True)
        self._call = InPlace(self._folder / "call.pkl", jobs.needs.gpus)
        cloudpickle_dump(jobs.call, self._call.file)
        self._waiting: deque[tuple[object, Future[Any]]] = deque()
        self._running: dict[Job[Any], Future[Any]] = {}
        self._ended: dict[Job[Any], float] = {}
        self._pause, self._is_closed = FIRST_PAUSE, False
        self._changed = threading.Condition()
        # It is waited for at the end of the program, so that a second Ctrl-C leaves no jobs behind.
        self._thread = threading.Thread(target=self._watch, name="slurm executor")
        self._thread.start()

    def submit(self, jobs: Sequence[object]) -> Sequence[Future[Any]]:
        """Submit as many jobs as there is room for, and the others later.

        Raises:
            InputError: Slurm refuses them.
        """
        futures = [Future[Any]() for _ in jobs]
        with self._changed:
            self._waiting.extend(zip(jobs, futures, strict=True))
            self._begin()
            self._pause = FIRST_PAUSE
            self._changed.notify()
        return futures

    def _begin(self) -> None:
        """Submit jobs that wait, while there is room."""
        while count := int(min(self._place.most, len(self._waiting), max(0, self._place.room - len(self._running)))):
            batch = [self._waiting.popleft() for _ in range(count)]
            try:
                begun = self._place.begin(self._call, [job for job, _ in batch])
            except Exception as error:
                for _, future in batch:
                    future.set_exception(error)
                raise
            self._running |= {job: future for job, (_, future) in zip(begun, batch, strict=True)}

    def _watch(self) -> None:
        """Look at jobs again and again, often after something has happened and less often later; then end them."""
        while True:
            with self._changed:
                if not self._is_closed:
                    self._changed.wait(self._pause if self._running else None)
                if self._is_closed:
                    break
                jobs = list(self._running)
                self._pause = min(self._pause * PAUSE_GROWS, self._place.longest_pause)
            try:
                states = self._place.states(jobs)
            except Exception:  # noqa: BLE001 - whatever a command has printed: it is asked again
                states = {}
            try:
                # Read after the states, so that what had ended by then has its result there.
                names = _names(self._folder)
            except OSError:  # of a folder on another machine, for a moment
                continue
            with self._changed:
                for job in jobs:
                    if future := self._running.get(job):
                        self._look(job, future, states.get(job, ""), names)
                # Whoever waits for the jobs that are refused now is told of it.
                with contextlib.suppress(Exception):
                    self._begin()
        self._end()

    def _look(self, job: Job[Any], future: Future[Any], state: str, names: set[str]) -> None:
        """Fulfil the future of a job that has ended."""
        if job.paths.result_pickle.name in names:
            if not job.done():
                return  # its process is about to end
            _fulfil(job, future)
        elif state in ENDS:
            if time.monotonic() - self._ended.setdefault(job, time.monotonic()) < self._place.delay:
                return
            future.set_exception(LostError(_describe(job, state)))
        else:
            return
        del self._running[job]
        self._ended.pop(job, None)
        self._pause = FIRST_PAUSE

    def _end(self) -> None:
        """End every job, and leave nothing but logs."""
        self._place.end(self._running)
        for future in [*self._running.values(), *(future for _, future in self._waiting)]:
            future.cancel()
        with contextlib.suppress(OSError):
            for file in [*self._folder.glob("*.pkl"), *self._folder.glob(".submission_file_*")]:
                file.unlink()
            self._folder.rmdir()  # unless logs lie there

    def close(self) -> None:
        """End every job."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()


def _names(folder: Path) -> set[str]:
    """Return the names of files in a folder, as they are now.

    Raises:
        OSError: It cannot be read.
    """
    # A file system of a network shows what it saw a minute ago, unless something has changed the folder from here.
    with contextlib.suppress(PermissionError):
        folder.chmod(folder.stat().st_mode)
    return {path.name for path in folder.iterdir()}


def _fulfil(job: Job[Any], future: Future[Any]) -> None:
    """Read what came of a job."""
    from submitit.core.utils import UncompletedJobError

    try:
        future.set_result(job.result())
    except UncompletedJobError as error:
        # Its text is the traceback between two lines of dashes; the error itself is what the last line says.
        trace = str(error).rpartition("\n---")[0] or str(error)
        future.set_exception(RuntimeError(f"{trace.splitlines()[-1]}; see {job.paths.stderr}"))
    except Exception as error:  # noqa: BLE001 - of a file that is damaged, reading raises anything
        future.set_exception(LostError(f"job {job.job_id}: its result cannot be read: {error}"))
    # The number of a process, by which submitit calls files, may be that of another one later.
    with contextlib.suppress(OSError):
        job.paths.result_pickle.unlink()
        job.paths.submitted_pickle.unlink()


def _describe(job: Job[Any], state: str) -> str:
    """Say why a job was lost, and where to look."""
    text = f"job {job.job_id}: {ENDS[state]} ({state})"
    log = job.paths.stderr
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_END))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return f"{text}; it left no log in {log.parent}"
    said = [line.strip() for line in lines if line.strip() and not GREETING.match(line)]
    return f"{text}; its log is {log}" + (f" and ends with: {said[-1]}" if said else "")
