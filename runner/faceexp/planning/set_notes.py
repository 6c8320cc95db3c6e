"""What is said of test sets: what they hold, and what they share with the data that are trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from faceexp.data.face_data import some
from faceexp.data.test_set import PlannedSet, Shared
from faceexp.values import Note

# What readers call the kinds of what two sets share: one of it, and several.
WORDS = {
    "named alike": ("person is named alike", "people are named alike"),
    "equal": ("image is equal", "images are equal"),
    "nearly equal": ("image is nearly equal", "images are nearly equal"),
}


def refusal(shared: Sequence[Shared]) -> str:
    """Return why a set that shares something is refused."""
    return (
        f'{_told(shared)}; whoever was trained on is no test: set overlap = "drop" to leave these people out of the '
        'test set, or overlap = "warn" if they are others'
    )


def _told(shared: Sequence[Shared]) -> str:
    """Return what is shared, counted, and the first few by name."""
    parts = []
    for kind, words in WORDS.items():
        names = [
            each.of_set if each.of_set == each.of_training else f"{each.of_set} = {each.of_training}"
            for each in shared
            if each.kind == kind
        ]
        if names:
            parts.append(f"{len(names)} {words[len(names) > 1]} in the data that are trained on: {some(names)}")
    return "; ".join(parts)


def set_notes(planned: PlannedSet, mode: str, *, of_templates: bool) -> Iterator[Note]:
    """Yield what a reader should know of a set.

    Args:
        planned: The set.
        mode: What is done with people whom it shares.
        of_templates: Whether its list names pairs of templates.
    """
    judged = "all pairs"
    if planned.pairs is not None:
        lacking = f" of {planned.wanted_pairs:,}" if len(planned.pairs) < planned.wanted_pairs else ""
        judged = f"{len(planned.pairs):,}{lacking} listed pairs{' of templates' if of_templates else ''}"
    in_folds = "" if planned.folds is None else f" in {len(np.unique(planned.folds))} folds"
    people = f"{len(planned.identities)} people, " if planned.people_known else ""
    size = f"{people}{len(planned.rows)} images, {judged}{in_folds}"
    yield Note("test_set", f"test set {planned.name}: {size}; {planned.source}")
    if not planned.shared:
        name = "name of a person and no " if planned.people_known else ""
        text = f"test set {planned.name} shares no {name}image with the data that are trained on"
        yield Note("test_set", text)
    elif mode == "drop":
        text = (
            f"{planned.dropped_people} people ({planned.dropped_images} images) were left out of test set "
            f"{planned.name}, since they are trained on: {_told(planned.shared)}"
        )
        yield Note("overlap", text)
    else:
        text = f"test set {planned.name} is not independent, if these are the same people: {_told(planned.shared)}"
        yield Note("overlap", text)
