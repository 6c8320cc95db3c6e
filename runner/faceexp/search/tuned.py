"""From a search to the experiment that compares: every loss with the settings that were best on validation people."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from faceexp.experiment.schema import Protocol
from faceexp.planning.adapt import Training
from faceexp.planning.candidates import Candidates, LossSpace
from faceexp.planning.prepare import prepare
from faceexp.search.chances import chances_of
from faceexp.search.checks import check_chances
from faceexp.search.events import STAGE, SearchBegins, SearchEnds
from faceexp.search.outcome import Searched
from faceexp.search.rounds import Rounds
from faceexp.search.study import need_optuna
from faceexp.store import Store
from faceexp.values import Event, EventCallback, Note, Noted, Plan, Resolved, ResolvedLoss, Score

# What the row of a loss is called that has its default settings.
DEFAULTS = "{} (defaults)"


@dataclass(frozen=True)
class Tuned:
    """What a search has chosen.

    Attributes:
        resolved: The experiment with the settings that were chosen, and with the losses at their defaults beside them.
        searched: The search of each loss.
        trainings: With how many seeds and folds each trial is trained.
        people: The labels of everybody whom some trial was trained or validated on.
    """

    resolved: Resolved
    searched: tuple[Searched, ...]
    trainings: int
    people: frozenset[int]


def search_plan(candidates: Candidates, resolved: Resolved, store: Store) -> tuple[Plan, list[LossSpace]]:
    """Return on what a search trains, and what it varies of each loss of which it varies anything.

    Args:
        candidates: What is searched.
        resolved: The experiment, with any values in the place of ranges.
        store: Where decoded images are kept.

    Raises:
        InputError: Optuna is not installed, or the losses cannot be given equal chances.
    """
    need_optuna()
    spaces = candidates.spaces()
    # What there is to say of the data is said when the comparison is planned.
    plan = prepare(_of_search(resolved), store, _ignore)
    plan = dataclasses.replace(plan, is_search=True)
    check_chances(candidates, spaces, Training.of(plan.labels, plan.splits))
    return plan, [space for space in spaces if space.dimensions]


def tuned(
    candidates: Candidates,
    resolved: Resolved,
    store: Store,
    score: Score,
    on_event: EventCallback,
    jobs: int | None,
    tested: Collection[int] = (),
) -> Tuned:
    """Search the settings of every loss, and return the experiment with those that were chosen.

    Args:
        candidates: What is searched.
        resolved: The experiment, with any values in the place of ranges.
        store: Where finished work is looked up and kept.
        score: Judges trainings on validation images.
        on_event: Is called with every step of progress.
        jobs: How many processes share the work; without a number, this one does it.
        tested: The labels of everybody whom the comparison will test, as far as that is known.

    Raises:
        InputError: Optuna is not installed, or the losses cannot be given equal chances.
        StoreError: The store cannot be read or written.
    """
    plan, varied = search_plan(candidates, resolved, store)
    used = np.concatenate([part for split in plan.splits for part in (split.train, split.validation)])
    people = frozenset(np.unique(plan.labels[used]).tolist())
    if note := people_note(len(people & set(tested)), resolved.experiment.protocol):
        on_event(Noted("note", 1, 1, note=note))
    chances = chances_of(plan, varied)
    on_event(SearchBegins(STAGE, 0, chances.trials * len(varied), chances=chances))
    searched = Rounds(candidates, plan, store, score, on_event, jobs).run(varied)
    chosen = Tuned(_with_settings(candidates, resolved, searched), searched, len(plan.splits), people)
    on_event(SearchEnds(STAGE, 1, 1, searched=searched, resolved=chosen.resolved))
    return chosen


def people_note(shared: int, protocol: Protocol) -> Note | None:
    """Return what has to be said where people who are tested took part in the search; nothing where all is as it seems.

    Args:
        shared: How many there are.
        protocol: How people, or images of the same people, are dealt to the parts.
    """
    closed = protocol.kind == "closed_set"
    if not shared or (closed and protocol.seeds_share_test and protocol.folds == 1):
        return None
    text = (
        f"{shared} of the people who are tested took part in the search for settings: its seeds have splits of their "
        "own, in which these people are trained or validated on; so the gain from tuning may look larger than it is "
        "for new people"
    )
    if protocol.kind in ("open_set", "closed_set"):
        text += f"; protocol.split_seed with one fold keeps {'photos' if closed else 'people'} of the test out of it"
    return Note("search", text)


def _ignore(event: Event) -> None:
    pass


def _of_search(resolved: Resolved) -> Resolved:
    """Return the experiment as it is searched: with other seeds, and without all that is only measured."""
    search = resolved.experiment.search
    assert search is not None  # noqa: S101 - nobody searches otherwise
    changes = {"seeds": search.seeds, "test_sets": (), "pretrained": (), "baselines": ()}
    experiment = resolved.experiment.model_copy(update=changes)
    return dataclasses.replace(resolved, experiment=experiment, sets=(), pretrained=())


def _with_settings(candidates: Candidates, resolved: Resolved, searched: Sequence[Searched]) -> Resolved:
    """Return the experiment with the best settings of each loss, and with its default ones beside them."""
    search = resolved.experiment.search
    assert search is not None  # noqa: S101 - nobody searches otherwise
    by_index = {each.space.index: each for each in searched}
    losses: list[ResolvedLoss] = []
    for loss in resolved.losses:
        result = by_index.get(loss.entry.index)
        default = candidates.default(result.space) if result else None
        best = candidates.loss(result.space, result.best.values) if result and result.best else default
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
