"""What ``faceexp crops`` says on the screen: how many photos of each kind, and which ones ask for attention."""

from __future__ import annotations

from collections.abc import Iterator

from faceexp.data.crops import Crops, Kind
from faceexp.experiment.schema import Preprocess

# Photos that are named on the screen, of each kind.
MOST_NAMED = 10

WORDS: dict[Kind, str] = {
    "one": "one face",
    "several": "several faces",
    "none": "no face found",
    "unreadable": "cannot be used",
    "whole": "taken whole",
}


def crops_lines(crops: Crops, preprocess: Preprocess) -> Iterator[str]:
    """Yield what there is to say about the photos, line by line."""
    people = "1 person" if crops.people == 1 else f"{crops.people:,} people"
    yield f"{len(crops.photos):,} photos of {people}"
    for kind, words in WORDS.items():
        if count := crops.counts.get(kind):
            yield f"  {words:<16} {count:>7,}"
    if not crops.detects:
        yield "No face is looked for, since the experiment has no [preprocess.detect]: photos are taken whole."
    taken = f", {preprocess.detect.taken} is taken" if preprocess.detect else ""
    troubled = [photo for photo in crops.photos if photo.reason or photo.kind == "several"]
    for kind in ("unreadable", "none", "several"):
        of_kind = [photo for photo in troubled if photo.kind == kind]
        for photo in of_kind[:MOST_NAMED]:
            yield f"  {photo.name}: {photo.reason or WORDS[photo.kind] + taken}"
        if len(of_kind) > MOST_NAMED:
            yield f"  and {len(of_kind) - MOST_NAMED:,} more: {WORDS[kind]}"
    lost = sum(bool(photo.reason) for photo in crops.photos)
    if lost:
        verb = "is" if lost == 1 else "are"
        skips = preprocess.on_unreadable == "skip"
        remedy = 'remove or replace such photos, or set on_unreadable = "skip" in [preprocess]'
        yield f"{lost:,} {verb} of no use: " + ("a run leaves them out." if skips else f"a run stops there; {remedy}.")
