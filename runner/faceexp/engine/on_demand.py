"""Trials that become known one after the other, each after what came of others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from faceexp.engine.determinism import in_this_process
from faceexp.engine.finished import FinishedWork, MissingError
from faceexp.engine.rehearsal import rehearsals_of
from faceexp.engine.trials import Engine, alone
from faceexp.engine.worker import Work
from faceexp.engine.workers import crew
from faceexp.store import Store
from faceexp.values import EventCallback, Plan, Score, TrainedTrial, Trial

Groups = Sequence[Sequence[Trial]]


@contextlib.contextmanager
def training(
    plan: Plan, store: Store, score: Score, on_event: EventCallback, jobs: int | None
) -> Iterator[Callable[[Groups], Iterator[TrainedTrial]]]:
    """Yield what trains groups of trials of a plan, as often as it is asked; see :func:`faceexp.engine.trials.train`.

    Groups run side by side, and the trials of a group one after the other, in an order of their own. What is in the
    store is looked up first, and the first process starts when something is missing there. Then each loss is called
    once, with any of its settings, and one that is at fault is not trained.
    """
    minutes = plan.resolved.experiment.limits.minutes_per_trial
    if jobs is None and minutes is None:
        yield in_this_process(plan, lambda: Engine(plan, store, score, on_event).run, on_event)
        return
    finished = Engine(plan, FinishedWork(store.root, store.experiment), score, on_event)
    cell = (plan.splits[0].seed, plan.splits[0].fold)
    first = [Trial(loss.entry.label, loss.entry.label, "loss", *cell, loss=loss) for loss in plan.resolved.losses]
    work, rehearsals = Work.of(plan, store, score), rehearsals_of(plan, first)
    with crew(work, jobs or 1, alone, minutes, on_event, rehearsals) as train:

        def trained(groups: Groups) -> Iterator[TrainedTrial]:
            waiting: list[list[Trial]] = []
            for group in groups:
                missing = []
                for trial in group:
                    try:
                        yield finished.run(trial)
                    except MissingError:
                        missing.append(trial)
                waiting += [missing] if missing else []
            yield from train(waiting)

        yield trained
