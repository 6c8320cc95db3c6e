"""Whether every loss has the same chance, and whether what is searched is possible: before anything trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faceexp.errors import InputError
from faceexp.experiment.search import Between
from faceexp.planning.adapt import Training
from faceexp.planning.candidates import Candidates, LossSpace
from faceexp.planning.issues import Issue, UnplannableError


def check_chances(candidates: Candidates, spaces: Sequence[LossSpace], training: Training) -> None:
    """Refuse a search in which some setting sees more images than another, or asks for batches that cannot be filled.

    Raises:
        UnplannableError: With everything that is wrong.
    """
    if not any(space.dimensions for space in spaces):
        message = "there is nothing to search: write a range, or leave out options whose ranges plugins suggest"
        raise UnplannableError([Issue(("search",), message)])
    issues: list[Issue] = []
    sizes: dict[int, str] = {}
    for space in spaces:
        for values in _ends(space):
            try:
                loss = candidates.loss(space, values)
            except InputError:
                continue  # values that exclude each other cost one trial each
            supply = loss.sampler.supply()
            sizes.setdefault(supply.size, space.label)
            place = ("losses", space.index, "finetune", "sampler")
            if len(sizes) > 1:
                (size, label), other = next(iter(sizes.items())), supply.size
                message = (
                    f"a batch of {space.label} has {other} images, one of {label} has {size}: where settings are "
                    "searched for, every loss sees as many images; give them batches of one size"
                )
                issues.append(Issue(place, message))
                break
            written = any(each.path[:2] == ("finetune", "sampler") for each in space.dimensions)
            if written and not training.serves(supply):
                message = (
                    f"{spell_values(values)}: wants {supply.classes} people with {supply.images_per_class} images or "
                    f"more in each batch, the smallest training part has {training.able(supply.images_per_class)}"
                )
                issues.append(Issue(place, message))
                break
    if issues:
        raise UnplannableError(issues)


def spell_values(values: dict[str, object]) -> str:
    """Return settings on one line."""
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _ends(space: LossSpace) -> Iterator[dict[str, object]]:
    """Yield the values at the ends of all ranges, one range after the other, and each choice; the rest is usual."""
    usual = {
        each.name: each.default
        if each.holds_default
        else each.space.middle
        if isinstance(each.space, Between)
        else each.space.choices[0]
        for each in space.dimensions
    }
    yield usual
    for each in space.dimensions:
        ends = [each.space.low, each.space.high] if isinstance(each.space, Between) else each.space.choices
        for value in ends:
            yield {**usual, each.name: value}
