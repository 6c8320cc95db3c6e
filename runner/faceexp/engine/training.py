"""Trials are trained: in this process, in others of this machine, or where an executor runs them.

What is in the store is looked up first, because a process takes seconds to start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from faceexp.engine.determinism import in_this_process
from faceexp.engine.elsewhere import elsewhere
from faceexp.engine.finished import FinishedWork, MissingError
from faceexp.engine.rehearsal import Rehearsal, rehearsals_of
from faceexp.engine.trials import Engine, alone
from faceexp.engine.worker import Work, limited_threads
from faceexp.engine.workers import crew, share
from faceexp.store import Store
from faceexp.values import EventCallback, Plan, Score, TrainedTrial, Trial, ignore

Groups = Sequence[Sequence[Trial]]


def train(
    plan: Plan, store: Store, score: Score, on_event: EventCallback, jobs: int | None = None
) -> Generator[TrainedTrial]:
    """Yield each trial of a plan as it ends. A trial that fails says why; the others go on.

    Args:
        plan: The trials to do, and everything they need.
        store: Where finished work is looked up and kept.
        score: Judges checkpoints on validation images; the one with the highest value is kept.
        on_event: Is called with every step of progress.
        jobs: How many processes work side by side, each on one seed and fold at a time with its share of the cores; of
            more than there are seeds and folds, some are not started. Without a number, everything happens in this
            process: then a plugin that crashes takes the whole run with it. An executor that the file names takes the
            place of both.

    Raises:
        StoreError: The store cannot be read or written.
        InputError: The trunk cannot be built; with processes this is tried before they train. Or the executor cannot
            run trials.
    """
    groups: dict[tuple[int, int], list[Trial]] = {}
    for trial in plan.trials:
        groups.setdefault((trial.seed, trial.fold), []).append(trial)
    with training(plan, store, score, on_event, jobs, more_follows=False) as trained:
        yield from trained(list(groups.values()))


@contextlib.contextmanager
def training(
    plan: Plan, store: Store, score: Score, on_event: EventCallback, jobs: int | None, *, more_follows: bool = True
) -> Iterator[Callable[[Groups], Iterator[TrainedTrial]]]:
    """Yield what trains groups of trials of a plan, as often as it is asked; see :func:`train`.

    Groups run side by side, and the trials of a group one after the other, in an order of their own. The first process
    starts when something is missing in the store. Then each loss is called once, with any of its settings, and one that
    is at fault is not trained.
    """
    minutes = plan.resolved.experiment.limits.minutes_per_trial
    executor, settings = plan.resolved.executor, plan.resolved.experiment.executor
    if jobs is None and minutes is None and executor is None:
        yield in_this_process(plan, lambda: Engine(plan, store, score, on_event).run, on_event)
        return
    finished = finished_work(plan, store, score, jobs, on_event)

    def rehearsed(trials: Iterable[Trial]) -> list[Rehearsal]:
        if not more_follows:
            return rehearsals_of(plan, trials)
        # What follows is not known yet, so each loss of the plan is called.
        cell = (plan.splits[0].seed, plan.splits[0].fold)
        losses = ((loss.entry.label, loss) for loss in plan.resolved.losses)
        return rehearsals_of(plan, [Trial(label, label, "loss", *cell, loss=loss) for label, loss in losses])

    work, threads = Work.of(plan, store, score), threads_of(plan, jobs)
    with (
        elsewhere(work, executor, alone, minutes, on_event, rehearsed, settings)
        if executor and settings
        else crew(work, _workers(plan, jobs), threads, alone, minutes, on_event, rehearsed, more_follows=more_follows)
    ) as train_groups:

        def trained(groups: Groups) -> Iterator[TrainedTrial]:
            waiting: list[list[Trial]] = []
            for group in groups:
                missing = []
                for trial in group:
                    try:
                        yield finished(trial)
                    except MissingError:
                        missing.append(trial)
                waiting += [missing] if missing else []
            if waiting:
                yield from train_groups(waiting)

        yield trained


def finished_work(
    plan: Plan, store: Store, score: Score, jobs: int | None, on_event: EventCallback = ignore
) -> Callable[[Trial], TrainedTrial]:
    """Return what looks a trial up that is finished, and adds nothing to the store.

    It raises :class:`MissingError` where anything of the trial is missing that a run with so many jobs would find.
    """
    engine = Engine(plan, FinishedWork(store.root, store.experiment), score, on_event)
    threads = threads_of(plan, jobs)

    def looked_up(trial: Trial) -> TrainedTrial:
        with limited_threads(threads):
            return engine.run(trial)

    return looked_up


def threads_of(plan: Plan, jobs: int | None) -> int | None:
    """Return how many threads each trial has; nothing where libraries take as many as they want.

    They decide the last bits of a result, so that they depend on the whole plan, and not on what is left of it.

    Args:
        plan: The plan, with the splits of all seeds and folds.
        jobs: How many processes share the cores; see :func:`train`.
    """
    executor, workers = plan.resolved.experiment.executor, _workers(plan, jobs)
    return executor.cpus if executor else share(workers) if workers > 1 else None


def _workers(plan: Plan, jobs: int | None) -> int:
    """Return how many processes share the work: no more than there are seeds and folds."""
    return min(jobs or 1, len(plan.splits))
