"""From a search to the experiment that compares: every loss with the settings that were best on validation people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceexp.planning.candidates import Candidates
from faceexp.planning.dimensions import LossSpace
from faceexp.planning.prepare import prepare
from faceexp.search.checks import DEFAULTS, check_chances
from faceexp.search.outcome import Searched
from faceexp.search.phase1 import Phase1
from faceexp.search.rounds import Rounds
from faceexp.search.study import need_optuna
from faceexp.store import Store
from faceexp.values import Event, EventCallback, Plan, Resolved, ResolvedLoss, Score


@dataclass(frozen=True)
class Tuned:
    """What a search has chosen.

    Attributes:
        resolved: The experiment with the settings that were chosen, and with the losses at their defaults beside them.
        phase1: The search of the trunk and of phase 1, if there was one.
        searched: The search of each loss.
        trainings: With how many seeds and folds each trial is trained.
        people: The labels of everybody whom some trial was trained or validated on.
    """

    resolved: Resolved
    phase1: Searched | None
    searched: tuple[Searched, ...]
    trainings: int
    people: frozenset[int]


def tuned(
    candidates: Candidates,
    resolved: Resolved,
    store: Store,
    score: Score,
    on_event: EventCallback,
    jobs: int | None,
) -> Tuned:
    """Search the settings of every loss, and return the experiment with those that were chosen.

    Args:
        candidates: What is searched.
        resolved: The experiment, with any values in the place of ranges.
        store: Where finished work is looked up and kept.
        score: Judges trainings on validation images.
        on_event: Is called with every step of progress.
        jobs: How many processes share the work; without a number, this one does it.

    Raises:
        InputError: Optuna is not installed, or the losses cannot be given equal chances.
        StoreError: The store cannot be read or written.
    """
    need_optuna()
    spaces, shared = candidates.spaces(), candidates.phase1()
    # What there is to say of the data is said when the comparison is planned.
    plan = _plan(resolved, store)
    check_chances(candidates, spaces, shared, plan)
    of_phase1 = None
    if shared:
        of_phase1 = Phase1(candidates, _of_search(resolved), plan, store, score, on_event, jobs).run(shared)
        assert of_phase1.best is not None  # noqa: S101 - otherwise it would have raised an error
        candidates, resolved = candidates.with_phase1(resolved, shared, of_phase1.best.values)
        plan = _plan(resolved, store)
    varied = [space for space in spaces if space.dimensions]
    searched = Rounds(candidates, plan, store, score, on_event, jobs).run(varied) if varied else ()
    used = np.concatenate([part for split in plan.splits for part in (split.train, split.validation)])
    people = frozenset(np.unique(plan.labels[used]).tolist())
    by_index = {space.index: each for space, each in zip(varied, searched, strict=True)}
    chosen = _with_settings(candidates, resolved, spaces, by_index)
    return Tuned(chosen, of_phase1, searched, len(plan.splits), people)


def _plan(resolved: Resolved, store: Store) -> Plan:
    return dataclasses.replace(prepare(_of_search(resolved), store, _ignore), is_search=True)


def _ignore(event: Event) -> None:
    pass


def _of_search(resolved: Resolved) -> Resolved:
    """Return the experiment as it is searched: with other seeds, and without all that is only measured."""
    search = resolved.experiment.search
    assert search is not None  # noqa: S101 - nobody searches otherwise
    changes = {"seeds": search.seeds, "test_sets": (), "pretrained": (), "baselines": ()}
    experiment = resolved.experiment.model_copy(update=changes)
    return dataclasses.replace(resolved, experiment=experiment, sets=(), pretrained=())


def _with_settings(
    candidates: Candidates, resolved: Resolved, spaces: Sequence[LossSpace], searched: Mapping[int, Searched]
) -> Resolved:
    """Return the experiment with the best settings of each loss, and with its default ones beside them."""
    search = resolved.experiment.search
    assert search is not None  # noqa: S101 - nobody searches otherwise
    of_index = {space.index: space for space in spaces}
    losses: list[ResolvedLoss] = []
    for loss in resolved.losses:
        space, result = of_index[loss.entry.index], searched.get(loss.entry.index)
        default = candidates.default(space) if result else None
        best = candidates.loss(space, result.best.values) if result and result.best else default
        chosen = best or loss
        if default is None or not search.defaults or _is_same(default, chosen):
            losses.append(chosen)
            continue
        label = loss.entry.label
        losses.append(_named(chosen, label, label))
        losses.append(_named(default, DEFAULTS.format(label), label))
    experiment = resolved.experiment.model_copy(update={"losses": tuple(loss.entry for loss in losses)})
    return dataclasses.replace(resolved, experiment=experiment, losses=tuple(losses))


def _is_same(one: ResolvedLoss, other: ResolvedLoss) -> bool:
    """Return whether two losses train alike, however their options are written."""
    return (one.loss.identity, one.sampler.identity) == (other.loss.identity, other.sampler.identity) and (
        one.entry.finetune.model_dump(exclude={"sampler"}),
        one.entry.pretrain,
    ) == (other.entry.finetune.model_dump(exclude={"sampler"}), other.entry.pretrain)


def _named(loss: ResolvedLoss, label: str, setting_of: str) -> ResolvedLoss:
    entry = loss.entry.model_copy(update={"label": label, "setting_of": setting_of})
    return dataclasses.replace(loss, entry=entry)
