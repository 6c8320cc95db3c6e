"""Whether every loss has the same chance, and whether what is searched is possible: before anything trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from faceexp.errors import InputError
from faceexp.experiment.search import Between
from faceexp.planning.adapt import Training, with_batches
from faceexp.planning.candidates import Candidates
from faceexp.planning.dimensions import LossSpace, Varied
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.values import Plan

# What the row of a loss is called that has its default settings.
DEFAULTS = "{} (defaults)"


def check_chances(candidates: Candidates, spaces: Sequence[LossSpace], shared: Varied | None, plan: Plan) -> None:
    """Refuse a search in which some setting sees more images than another, or asks for batches that cannot be filled.

    Args:
        candidates: Makes losses of values.
        spaces: What is searched of each loss.
        shared: What is searched of the trunk and of phase 1.
        plan: The plan of the search.

    Raises:
        UnplannableError: With everything that is wrong.
    """
    varied = [space for space in spaces if space.dimensions]
    if not varied and not shared:
        message = "there is nothing to search: write a range, or leave out options whose ranges plugins suggest"
        raise UnplannableError([Issue(("search",), message)])
    training = Training.of(plan.labels, plan.splits)
    issues = [*_same_names(varied, spaces), *(_of_phase1(shared, plan, training) if shared else ())]
    first: tuple[str, int] | None = None
    for space in varied:
        for values in _ends(space):
            try:
                loss = candidates.loss(space, values)
            except InputError:
                continue  # values that exclude each other cost one trial each
            (loss,) = with_batches(dataclasses.replace(plan.resolved, losses=(loss,)), training).losses
            supply = loss.sampler.supply()
            first = first or (space.label, supply.size)
            place = candidates.place_of_sampler(space)
            if supply.size != first[1]:
                message = (
                    f"a batch of {space.label} has {supply.size} images, one of {first[0]} has {first[1]}: where "
                    "settings are searched for, every loss sees as many images; give them batches of one size"
                )
                issues.append(Issue(place, message))
                break
            if not training.serves(supply):
                message = (
                    f"{spell_values(values)}: wants {supply.classes} people with {supply.images_per_class} images or "
                    f"more in each batch, the smallest training part has {training.able(supply.images_per_class)}"
                )
                issues.append(Issue(place, message))
                break
    if issues:
        raise UnplannableError(issues)


def _same_names(varied: Sequence[LossSpace], spaces: Sequence[LossSpace]) -> Iterator[Issue]:
    """Yield rows that are called as the defaults of another one."""
    of_defaults = {DEFAULTS.format(space.label): space.label for space in varied}
    for space in spaces:
        if space.label in of_defaults:
            message = f"is what the row of {of_defaults[space.label]} at its defaults is called; give it another label"
            yield Issue(("losses", space.index, "label"), message)


def _of_phase1(shared: Varied, plan: Plan, training: Training) -> Iterator[Issue]:
    """Yield why the trunk and phase 1 cannot be searched, or not over some range."""
    if not plan.resolved.experiment.pretrain.enabled:
        message = "has to be on: what is searched in [model] and [pretrain] is judged by the embedding of phase 1"
        yield Issue(("pretrain", "enabled"), message)
    for each in shared.dimensions:
        if each.name != "pretrain.batch_size":
            continue
        largest = each.space.high if isinstance(each.space, Between) else max(each.space.choices)
        if largest > training.images:
            message = f"{largest:g} is more than the {training.images} images of the smallest training part"
            yield Issue(each.place, f"{message}; use {training.images} at most")


def spell_values(values: dict[str, object]) -> str:
    """Return settings on one line."""
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _ends(space: LossSpace) -> Iterator[dict[str, object]]:
    """Yield the values at the ends of all ranges, one range after the other, and each choice; the rest is usual."""
    usual = space.usual
    yield usual
    for each in space.dimensions:
        ends = [each.space.low, each.space.last] if isinstance(each.space, Between) else each.space.choices
        for value in ends:
            yield {**usual, each.name: value}
