"""What the numbers of a run are about, where not all pairs of a list or not all images could be used: in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faceexp.data.test_set import set_in_words
from faceexp.report.words import together
from faceexp.results.on_set import OWN
from faceexp.results.record import PartRecord
from faceexp.results.schema import RunRecord


def used(run: RunRecord) -> str:
    """Return ``340 of 400 pairs`` or ``61 of 72 images``; empty where the numbers are about all of them."""
    tests = [split.test for split in run.parts]
    if run.measured_on is None:
        # Each seed judges the same pairs.
        tests = [split.test for split in run.parts if split.seed == run.parts[0].seed]
    told = _of_parts(tests if run.measured_on is None else tests[:1])
    lost = run.failures
    if told or lost is None or not lost.of_images:
        return told
    return f"{lost.of_images - lost.images:,} of {lost.of_images:,} images"


def used_sentence(run: RunRecord) -> str:
    """Return that the numbers are not about everything, and why not; empty where they are."""
    told = used(run)
    if not told:
        return ""
    faces = next((each for each in run.test_sets if each.name == run.measured_on), None)
    whose = set_in_words(run.measured_on)
    reasons = [f"images of {whose} cannot be used"] if run.failures else []
    reasons += [f"people of {whose} who are trained on are left out"] if faces and faces.dropped_people else []
    why = f", since {together(reasons)}" if reasons else ""
    return f"The numbers are about {told}{why}."


def used_of_sets(run: RunRecord) -> Iterator[str]:
    """Yield ``lfw: 340 of 400 pairs`` for the test part and each test set that is not used whole."""
    of_sets = ((faces.name, _of_parts([faces.measured])) for faces in run.test_sets)
    yield from (f"{name}: {told}" for name, told in [(OWN, used(run)), *of_sets] if told)


def _of_parts(tests: Sequence[PartRecord]) -> str:
    judged = sum(part.pairs or 0 for part in tests)
    if judged < (wanted := sum(part.of_pairs or part.pairs or 0 for part in tests)):
        return f"{judged:,} of {wanted:,} pairs"
    images = sum(part.images for part in tests)
    if images < (wanted := sum(part.of_images or part.images for part in tests)):
        return f"{images:,} of {wanted:,} images"
    return ""
