"""What a model says of photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from faceexp.results.jsonable import to_jsonable


@dataclass(frozen=True)
class Verification:
    """What a model says of two photos.

    Attributes:
        distance: Between their embeddings.
        threshold: The distance up to which two photos count as of one person.
        same: Whether they do.
        probability: That they show one person, if that is as likely as not before one looks; ``nan`` where validation
            had one kind of pair only.
        far: The false accept rate of the threshold on validation pairs.
        faces: How many faces each photo shows; the largest is compared.
    """

    distance: float
    threshold: float
    same: bool
    probability: float
    far: float
    faces: tuple[int, int] = (1, 1)

    @property
    def decision(self) -> str:
        """``"same"`` or ``"different"``, the word for ``same``."""
        return "same" if self.same else "different"


@dataclass(frozen=True)
class Candidate:
    """A person of a gallery, by the nearest of their photos."""

    name: str
    photo: str
    distance: float
    probability: float


@dataclass(frozen=True)
class Identification:
    """Who a photo may show.

    Attributes:
        candidates: The people of the gallery, the nearest first.
        threshold: The distance up to which one is accepted.
        somebody: Whether the nearest is; else the photo shows nobody in the gallery.
        far: The false accept rate of the threshold, of one pair.
    """

    candidates: tuple[Candidate, ...]
    threshold: float
    somebody: bool
    far: float


@dataclass(frozen=True)
class Tally:
    """How many pairs of a list were judged, and how many rightly.

    Attributes:
        pairs: Pairs that were judged.
        accepted: Those that count as of one person.
        known: Those of which the list says whether they show one person.
        right: Those of them that were judged rightly; ``None`` where nothing is known.
        accuracy: Balanced accuracy; ``None`` where not both kinds of pairs are known.
    """

    pairs: int
    accepted: int
    known: int
    right: int | None
    accuracy: float | None


def tally(truth: Sequence[bool | None], said: Sequence[bool]) -> Tally:
    """Return how many pairs were judged and how many rightly; the balanced accuracy where both kinds are known."""
    known = [(is_same, judged) for is_same, judged in zip(truth, said, strict=True) if is_same is not None]
    rates = []
    for kind in (True, False):
        of_kind = [judged == kind for is_same, judged in known if is_same == kind]
        rates += [sum(of_kind) / len(of_kind)] if of_kind else []
    return Tally(
        pairs=len(said),
        accepted=sum(said),
        known=len(known),
        right=sum(is_same == judged for is_same, judged in known) if known else None,
        accuracy=sum(rates) / 2 if len(rates) == 2 else None,
    )


def as_json(answer: Verification | Identification) -> dict[str, Any]:
    """Return what a model said as JSON data; numbers that are none become null."""
    data: dict[str, Any] = to_jsonable(answer)
    return data | {"decision": answer.decision} if isinstance(answer, Verification) else data
