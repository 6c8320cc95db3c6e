"""From a search to the experiment that compares: every loss with the settings that were best on validation people."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceexp.experiment.protocol import Protocol
from faceexp.planning.candidates import Candidates
from faceexp.planning.dimensions import LossSpace, Varied
from faceexp.planning.prepare import prepare
from faceexp.search.checks import DEFAULTS, check_chances
from faceexp.search.events import STAGE, SearchEnds, begins
from faceexp.search.inputs import search_of
from faceexp.search.outcome import Searched
from faceexp.search.phase1 import Phase1
from faceexp.search.rounds import Rounds
from faceexp.search.study import need_optuna
from faceexp.store import Store
from faceexp.values import EventCallback, Note, Noted, Plan, Resolved, ResolvedLoss, Score, ignore


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


@dataclass(frozen=True)
class Prepared:
    """A search that was checked and may begin.

    Attributes:
        candidates: What is searched.
        resolved: The experiment, with any values in the place of ranges.
        plan: On what it trains.
        spaces: What is searched of each loss.
        shared: What is searched of the trunk and of phase 1, if anything is.
    """

    candidates: Candidates
    resolved: Resolved
    plan: Plan
    spaces: tuple[LossSpace, ...]
    shared: Varied | None

    @classmethod
    def of(cls, candidates: Candidates, resolved: Resolved, store: Store) -> Prepared:
        """Check a search.

        Args:
            candidates: What is searched.
            resolved: The experiment, with any values in the place of ranges.
            store: Where decoded images are kept.

        Raises:
            InputError: Optuna is not installed, or the losses cannot be given equal chances.
        """
        need_optuna()
        spaces, shared = candidates.spaces(), candidates.phase1()
        # What there is to say of the data is said when the comparison is planned.
        plan = _plan(resolved, store)
        check_chances(candidates, spaces, shared, plan)
        return cls(candidates, resolved, plan, spaces, shared)

    @property
    def varied(self) -> list[LossSpace]:
        """The losses of which something is searched."""
        return [space for space in self.spaces if space.dimensions]

    def phase1(self, store: Store, score: Score, on_event: EventCallback, jobs: int | None) -> Phase1:
        """Return what searches the trunk and phase 1."""
        return Phase1(self.candidates, _of_search(self.resolved), self.plan, store, score, on_event, jobs)

    def rounds(self, store: Store, score: Score, on_event: EventCallback, jobs: int | None) -> Rounds:
        """Return what searches the losses."""
        return Rounds(self.candidates, self.plan, store, score, on_event, jobs)

    def after(self, of_phase1: Searched, store: Store) -> Prepared:
        """Return the search of the losses, with the trunk and the phase 1 that were chosen."""
        assert self.shared is not None  # noqa: S101 - nobody searches otherwise
        assert of_phase1.best is not None  # noqa: S101 - otherwise it would have raised an error
        candidates, resolved = self.candidates.with_phase1(self.resolved, self.shared, of_phase1.best.values)
        return Prepared(candidates, resolved, _plan(resolved, store), self.spaces, None)


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
    search = Prepared.of(candidates, resolved, store)
    splits, labels = search.plan.splits, search.plan.labels
    used = np.concatenate([part for split in splits for part in (split.train, split.validation)])
    people = frozenset(np.unique(labels[used]).tolist())
    if note := people_note(len(people & set(tested)), resolved.experiment.protocol):
        on_event(Noted("note", 1, 1, note=note))
    of_phase1 = None
    if search.shared:
        phase1 = search.phase1(store, score, on_event, jobs)
        on_event(begins(phase1.chances(search.shared)))
        of_phase1 = phase1.run(search.shared)
        search = search.after(of_phase1, store)
    searched: tuple[Searched, ...] = ()
    if search.varied:
        rounds = search.rounds(store, score, on_event, jobs)
        on_event(begins(rounds.chances(search.varied)))
        searched = rounds.run(search.varied)
    by_index = {space.index: each for space, each in zip(search.varied, searched, strict=True)}
    chosen = _with_settings(search.candidates, search.resolved, search.spaces, by_index)
    every = (of_phase1, *searched) if of_phase1 else searched
    on_event(SearchEnds(STAGE, 1, 1, searched=every, resolved=chosen))
    return Tuned(chosen, of_phase1, searched, len(splits), people)


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


def _plan(resolved: Resolved, store: Store) -> Plan:
    return dataclasses.replace(prepare(_of_search(resolved), store, ignore), is_search=True)


def _of_search(resolved: Resolved) -> Resolved:
    """Return the experiment as it is searched: with other seeds, and without all that is only measured."""
    search = search_of(resolved)
    changes = {"seeds": search.seeds, "test_sets": (), "pretrained": (), "baselines": ()}
    experiment = resolved.experiment.model_copy(update=changes)
    return dataclasses.replace(resolved, experiment=experiment, sets=(), pretrained=())


def _with_settings(
    candidates: Candidates, resolved: Resolved, spaces: Sequence[LossSpace], searched: Mapping[int, Searched]
) -> Resolved:
    """Return the experiment with the best settings of each loss, and with its default ones beside them."""
    search = search_of(resolved)
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
