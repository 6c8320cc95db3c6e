"""Trials where an executor runs them: cut into jobs, and run again elsewhere if their place is lost."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, cast

from faceexp.contract import Executor, ExecutorPlugin, Jobs, LostError, Needs
from faceexp.engine.backend import software
from faceexp.engine.failures import failed
from faceexp.engine.place import Outcome, Sent, digests
from faceexp.engine.rehearsal import Rehearsal, ended, faults_of, refused_trials, without
from faceexp.engine.worker import Done, Start, Task, Work
from faceexp.errors import InputError, Problem, plain
from faceexp.experiment.baselines import PHASE1
from faceexp.experiment.executor import ExecutorRef
from faceexp.experiment.messages import cut
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import canonical
from faceexp.store.places import explained
from faceexp.values import Event, EventCallback, Note, Noted, TrainedTrial, Trial

# How often the place of a trial may be lost. One after which places die is a fault of the trial.
MOST_LOSSES = 3
# Rehearsals of one job: each takes a quarter of a second, and to start a worker takes ten.
REHEARSALS_PER_JOB = 24
# Letters of a reason that are told.
MAX_REASON = 300

Groups = Sequence[Sequence[Trial]]


@contextlib.contextmanager
def elsewhere(
    work: Work,
    plugin: ConfiguredPlugin,
    start: Start,
    minutes: float | None,
    on_event: EventCallback,
    rehearsed: Callable[[Iterable[Trial]], Sequence[Rehearsal]],
    settings: ExecutorRef,
) -> Iterator[Callable[[Groups], Iterator[TrainedTrial]]]:
    """Yield what trains groups of trials where an executor runs them, and yields each trial as it ends.

    Args:
        work: What every place needs.
        plugin: The executor.
        start: Returns what does the tasks; it is sent there by its name.
        minutes: How long a trial may take, beside what it shares with other trials.
        on_event: Is called with what is to be told, in this process.
        rehearsed: Says what to call once before anything trains.
        settings: What the file says of the executor.

    Raises:
        StoreError: The store cannot be read or written.
        InputError: The executor cannot run jobs, or the trunk cannot be built; it is raised at the first trials.
    """
    with contextlib.ExitStack() as opened:
        crew: _Crew | None = None
        faults: dict[str, str] = {}

        def trained(groups: Groups) -> Iterator[TrainedTrial]:
            nonlocal crew, faults
            if crew is None:
                crew = opened.enter_context(_opened(work, plugin, start, minutes, on_event, settings))
                faults = crew.rehearse(rehearsed(itertools.chain.from_iterable(groups)))
            yield from refused_trials(groups, faults, work.plan)
            yield from crew.train(list(without(groups, faults)))

        yield trained


@contextlib.contextmanager
def _opened(
    work: Work,
    plugin: ConfiguredPlugin,
    start: Start,
    minutes: float | None,
    on_event: EventCallback,
    settings: ExecutorRef,
) -> Iterator[_Crew]:
    """Open an executor, and end all of its jobs at the end."""
    run = uuid.uuid4().hex[:12]
    name = work.store.experiment or "run"
    folder = work.store.root / "jobs" / f"{name}-{run}"
    with explained(work.store.root):
        folder.mkdir(parents=True, mode=0o700)  # what libraries of clusters write there must be nobody else's
    sent = Sent(run, folder, work, start, settings.cpus, minutes, software(), digests(work.plan.resolved))
    allowed = settings.minutes and settings.minutes * settings.trials_per_job
    needs = Needs(settings.cpus, settings.gpus, settings.memory, allowed)
    executor_name, executor = plugin.installed.name, None
    try:
        with _saying(executor_name):
            executor = cast("ExecutorPlugin", plugin.plugin).open(Jobs(name, folder / "logs", needs, sent))
            if not isinstance(executor, Executor):
                raise TypeError(f"open gives a {type(executor).__name__}, not an Executor")
        crew = _Crew(work, executor_name, executor, settings.trials_per_job, on_event)
        yield crew
        if not crew.has_lost:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        if executor is not None:
            # Whatever it says at the end, the run has its results; or another error says why it has none.
            with contextlib.suppress(Exception):
                executor.close()
        sent.end()
        for empty in (folder, folder.parent):  # logs that lie there are for whoever looks for a reason
            with contextlib.suppress(OSError):
                empty.rmdir()


@contextlib.contextmanager
def _saying(name: str) -> Iterator[None]:
    """Let whatever an executor raises be an error of the input, which names it."""
    try:
        yield
    except InputError as error:
        problems = [Problem(each.message, each.where or f"executor {name!r}") for each in error.problems]
        raise InputError(problems) from error
    except Exception as error:
        raise InputError(Problem(_reason(error), f"executor {name!r}")) from error


def _reason(error: BaseException) -> str:
    text = plain(str(error)).strip()
    return cut(text if isinstance(error, LostError) and text else f"{type(error).__name__}: {text}", MAX_REASON)


@dataclass(eq=False)
class _Job:
    """Tasks that are done in one place, one after the other.

    Attributes:
        tasks: All trials of one seed and fold, or all rehearsals.
        then: What can begin once it has ended, be it well or not.
        losses: How often its place was lost, or that of the job whose tasks it has.
    """

    tasks: tuple[Task, ...]
    then: list[_Job] = field(default_factory=list)
    losses: int = 0


@dataclass
class _Crew:
    """What has the jobs of a run done.

    Attributes:
        work: What every place needs.
        name: That of the executor.
        executor: What runs them.
        trials_per_job: How many trials of a seed and fold one job does.
        on_event: Is called with what is to be told.
        has_lost: Whether the place of any job was lost.
    """

    work: Work
    name: str
    executor: Executor
    trials_per_job: int
    on_event: EventCallback
    has_lost: bool = False

    def rehearse(self, rehearsals: Sequence[Rehearsal]) -> dict[str, str]:
        """Call plugins once, and return, by label of its row, why a row has no trials; see :func:`refused`."""
        if rehearsals:
            self.on_event(Event("rehearsal", 0, len(rehearsals)))
        done = self._work_off(_cut(rehearsals, REHEARSALS_PER_JOB))
        return faults_of(done, len(rehearsals), self.on_event)

    def train(self, groups: Groups) -> Iterator[TrainedTrial]:
        """Yield trials as they end.

        Of each seed and fold, the trials that need the same phase 1 wait for the first of them, which makes it.
        """
        first, shared = list[_Job](), self.work.plan.resolved.experiment.pretrain
        for group in groups:
            phases: dict[str, list[Trial]] = {}
            for trial in group:
                phase1 = trial.loss.entry.pretrain if trial.loss else shared if trial.baseline == PHASE1 else None
                phases.setdefault(canonical(phase1.model_dump()) if phase1 else "", []).append(trial)
            # Other baselines and networks that exist wait for nothing.
            first += _cut(phases.pop("", []), self.trials_per_job)
            first += [_Job((ahead,), _cut(rest, self.trials_per_job)) for ahead, *rest in phases.values()]
        done, total = 0, sum(map(len, groups))
        self.on_event(Event("jobs", done, total))
        for each in self._work_off(first):
            if isinstance(each, TrainedTrial):
                done += 1
                self.on_event(Event("jobs", done, total))
                yield each

    def _work_off(self, due: list[_Job]) -> Iterator[Done]:
        """Yield what comes of the tasks of jobs, and of those that follow them."""
        running: dict[Future[Any], _Job] = {}
        while due or running:
            if due:
                with _saying(self.name):
                    futures = self.executor.submit([job.tasks for job in due])
                running |= dict(zip(futures, due, strict=True))
                due = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    yield from self._done(future)
                    due += job.then
                except LostError as error:
                    due += self._again(job, _reason(error))
                    if job.losses + 1 >= MOST_LOSSES:
                        yield from (self._given_up(task, _reason(error)) for task in job.tasks)

    def _done(self, future: Future[Any]) -> tuple[Done, ...]:
        """Return what came of a job.

        Raises:
            LostError: Its place was lost.
        """
        try:
            outcome = future.result()
        except LostError:
            raise
        except Exception as error:
            raise InputError(Problem(f"a job failed: {_reason(error)}", f"executor {self.name!r}")) from error
        if not isinstance(outcome, Outcome):
            message = f"a job gives a {type(outcome).__name__}, not what its call has returned"
            raise InputError(Problem(message, f"executor {self.name!r}"))
        if outcome.unfit:
            raise InputError(Problem(outcome.unfit, f"executor {self.name!r}"))
        if outcome.broken_store is not None:
            raise outcome.broken_store
        for note in outcome.notes:
            self.on_event(note)
        return outcome.done

    def _again(self, job: _Job, reason: str) -> list[_Job]:
        """Return the jobs that take the place of one that was lost: one for each task; or what follows it."""
        self.has_lost = True
        if job.losses + 1 >= MOST_LOSSES:
            return job.then
        names = cut(", ".join(sorted({task.label or "what rows share" for task in job.tasks})), MAX_REASON)
        text = f"executor {self.name!r}: a job was lost ({reason}); it runs again: {names}"
        self.on_event(Noted("note", 1, 1, note=Note("executor", text)))
        return [_Job((task,), job.then, job.losses + 1) for task in job.tasks]

    def _given_up(self, task: Task, reason: str) -> Done:
        text = f"the place where it ran was lost {MOST_LOSSES} times: {reason}"
        return failed(task, self.work.plan, text) if isinstance(task, Trial) else ended(task, self.work.plan, text)


def _cut(tasks: Sequence[Task], size: int) -> list[_Job]:
    return [_Job(tuple(tasks[begin : begin + size])) for begin in range(0, len(tasks), size)]
