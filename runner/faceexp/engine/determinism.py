"""Operations that have no deterministic form, as some on a GPU: what needs one is made again without.

In a process where operations are to be deterministic, TensorFlow refuses these. A trial that meets one is not lost:
once the others are trained, it is trained again where determinism was never asked for, in another worker. To turn it
off in the worker that has met the refusal would be quicker, but TensorFlow keeps kernels and tuned algorithms for a
whole process, so later trials there might take what was chosen without determinism, and nobody would know. What is made
without it is marked, in the store and in the results.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from faceexp.engine.backend import begin, is_deterministic
from faceexp.engine.failures import cause_of
from faceexp.errors import plain
from faceexp.store import Artefact
from faceexp.values import EventCallback, Note, Noted, Plan, TrainedTrial, Trial

# Trials by seed and fold.
Groups = Iterable[Sequence[Trial]]
# In the folder of an artefact that was made where operations need not be deterministic.
MARK = "nondeterministic"
# Each kernel refuses in its own words: "A deterministic GPU implementation of X is not currently available",
# "Determinism is not yet supported for X", "X do not yet have a deterministic XLA implementation". One is misspelt.
_REFUSAL = re.compile(r"determini|determinsim", re.IGNORECASE)
# Letters of what TensorFlow says that are told.
LONGEST = 200


def refusal(error: BaseException) -> str:
    """Return what TensorFlow says of an operation that has no deterministic form; empty for every other error."""
    tf = sys.modules.get("tensorflow")
    if tf is None or not is_deterministic():
        return ""
    cause: BaseException | None = error
    while cause is not None:
        cause = cause_of(cause)
        if isinstance(cause, tf.errors.UnimplementedError) and _REFUSAL.search(cause.message):
            lines = (line for line in cause.message.splitlines() if _REFUSAL.search(line))
            return plain(next(lines)).strip().rstrip(".")[:LONGEST]
        cause = cause.__cause__
    return ""


def mark(folder: Path) -> None:
    """Mark an artefact that is being made, if operations need not be deterministic in this process."""
    if not is_deterministic():
        (folder / MARK).touch()


def is_marked(*artefacts: Artefact | None) -> bool:
    """Return whether any artefact of these was made where operations need not be deterministic."""
    return any((each.path / MARK).is_file() for each in artefacts if each)


def repeated(
    trained: Iterable[TrainedTrial],
    again: Callable[[Groups], Iterator[TrainedTrial]],
    on_event: EventCallback,
) -> Iterator[TrainedTrial]:
    """Yield trials as they end; those that were refused are made again, after all others.

    Args:
        trained: What comes of the trials where operations are deterministic.
        again: Trains trials, one list for each seed and fold, where they need not be.
        on_event: Is told once what TensorFlow has refused, and what follows.
    """
    refused: dict[tuple[int, int], list[Trial]] = {}
    told: dict[str, list[str]] = {}
    for done in trained:
        if not done.refusal:
            yield done
            continue
        refused.setdefault((done.trial.seed, done.trial.fold), []).append(done.trial)
        labels = told.setdefault(done.refusal, [])
        labels += [] if done.trial.label in labels else [done.trial.label]
    for said, labels in told.items():
        text = (
            f"{_rows(labels)}: TensorFlow has no deterministic form of an operation ({said}); trials that need it are "
            "trained without, and marked as not bit-identical"
        )
        on_event(Noted("note", 1, 1, note=Note("nondeterministic", text)))
    if refused:
        yield from again(list(refused.values()))


def in_this_process(
    plan: Plan, start: Callable[[], Callable[[Trial], TrainedTrial]], on_event: EventCallback
) -> Callable[[Groups], Iterator[TrainedTrial]]:
    """Return what trains groups of trials of a plan without workers.

    Args:
        plan: The plan.
        start: Returns what trains one trial. It is called anew where operations need not be deterministic.
        on_event: See :func:`repeated`.
    """
    train, replicas = start(), plan.resolved.experiment.replicas
    begin_here = functools.partial(begin, plan.resolved.experiment.device, replicas=replicas)
    begin_here()

    def again(refused: Groups) -> Iterator[TrainedTrial]:
        begin_here(deterministic=False)
        try:
            yield from map(start(), itertools.chain.from_iterable(refused))
        finally:
            begin_here()

    return lambda groups: repeated(map(train, itertools.chain.from_iterable(groups)), again, on_event)


def nondeterministic_sentence(labels: Iterable[str]) -> str:
    """Return what has to be known of rows whose trials were trained without determinism."""
    return (
        f"{_rows(list(labels))}: TensorFlow has no deterministic form of an operation on the device that trained, so "
        "the numbers are not bit-identical from run to run, and what is chosen by them may differ, too"
    )


def _rows(labels: Sequence[str]) -> str:
    return f"{'row' if len(labels) == 1 else 'rows'} {', '.join(map(repr, labels))}"
