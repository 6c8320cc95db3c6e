"""The answers of a model: embeddings; about two photos, about a person of a gallery, about a list of pairs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceexp.results.jsonable import to_jsonable
from faceexp.results.record import Interval, JsonObject

if TYPE_CHECKING:
    from faceexp.arrays import BoolArray, FloatArray
    from faceexp.errors import Problem


@dataclass(frozen=True)
class Embedded:
    """What became of some photos. Each list has one entry per photo that can be used, in their order.

    Attributes:
        places: The places of these photos among those that were given.
        embeddings: float32 (N, D).
        faces: How many faces each of them shows.
        problems: What is wrong with the other photos.
    """

    places: list[int]
    embeddings: FloatArray
    faces: list[int]
    problems: list[Problem]


@dataclass(frozen=True)
class Verification:
    """What a model says of two photos.

    Attributes:
        distance: The distance of their embeddings.
        threshold: Up to this distance two photos count as of one person.
        same: Whether these two photos count as of one person.
        probability: The probability that they show one person, if similar and different pairs are equally frequent;
            ``nan`` where it would rest on too few people, or on pairs of one kind.
        far: The false accept rate of the threshold on validation pairs.
        faces: How many faces each photo shows. One of them is compared, by default the largest.
        far_range: The rate that other people are likely to meet; see :class:`~faceexp.serving.thresholds.Threshold`.
        test_far: The rate on test pairs.
        seen: Whether the model saw each photo in its training; ``None`` where that is not known.
    """

    distance: float
    threshold: float
    same: bool
    probability: float
    far: float
    faces: tuple[int, int] = (1, 1)
    far_range: Interval | None = None
    test_far: float = math.nan
    seen: tuple[bool | None, bool | None] = (None, None)

    @property
    def decision(self) -> str:
        """The answer in a word: ``"same"`` or ``"different"``."""
        return "same" if self.same else "different"


@dataclass(frozen=True)
class Candidate:
    """A person of a gallery, with the nearest of their photos."""

    name: str
    photo: str
    distance: float
    probability: float


@dataclass(frozen=True)
class Identification:
    """Whom a photo may show.

    Attributes:
        candidates: The people of the gallery, the nearest first.
        threshold: Up to this distance a person is accepted.
        somebody: Whether the nearest person is accepted. If not, the photo shows nobody in the gallery.
        far: The false accept rate of the threshold in the comparison with one photo.
        left_out: The photos of the gallery that cannot be used, each with the reason.
        far_range: The rate that other people are likely to meet; see :class:`~faceexp.serving.thresholds.Threshold`.
        test_far: The rate on test pairs.
        seen: Whether the model saw the photo in its training; ``None`` where that is not known.
        gallery_seen: How many photos of the gallery it saw there, of how many; ``None`` where that is not known.
    """

    candidates: tuple[Candidate, ...]
    threshold: float
    somebody: bool
    far: float
    left_out: tuple[str, ...] = ()
    far_range: Interval | None = None
    test_far: float = math.nan
    seen: bool | None = None
    gallery_seen: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class JudgedPairs:
    """What a model says of many pairs. Each array has one entry per pair; see :class:`Verification`.

    Attributes:
        distance: float (P,).
        same: bool (P,).
        probability: float (P,).
        threshold: Up to this distance two photos count as of one person.
        far: The false accept rate of the threshold on validation pairs.
        faces: How many faces each photo shows, by its path.
        far_range: The rate that other people are likely to meet; see :class:`~faceexp.serving.thresholds.Threshold`.
        test_far: The rate on test pairs.
        seen: How many of the photos the model saw in its training; ``None`` where that is not known.
        seen_of_pair: How many photos of each pair it saw there, 0 to 2; ``None`` where that is not known.
    """

    distance: FloatArray
    same: BoolArray
    probability: FloatArray
    threshold: float
    far: float
    faces: Mapping[str, int]
    far_range: Interval | None = None
    test_far: float = math.nan
    seen: int | None = None
    seen_of_pair: Sequence[int | None] = ()


@dataclass(frozen=True)
class Tally:
    """How many pairs of a list were judged, and how many of them rightly.

    Attributes:
        pairs: How many pairs were judged.
        accepted: How many of them count as of one person.
        known: For how many pairs the list says whether they show one person.
        right: How many of these were judged rightly; ``None`` if the list says it for no pair.
        accuracy: The balanced accuracy; ``None`` if the list does not name pairs of both kinds.
    """

    pairs: int
    accepted: int
    known: int
    right: int | None
    accuracy: float | None


def tally(truth: Iterable[bool | None], said: Iterable[bool]) -> Tally:
    """Return how many pairs were judged and how many of them rightly.

    Args:
        truth: For each pair whether it shows one person; ``None`` where the list does not say it.
        said: For each pair whether the model says so.
    """
    # How many pairs there are of each kind, by what the list says and what the model says.
    counts = Counter(zip(truth, map(bool, said), strict=True))
    of_kind = {kind: counts[kind, True] + counts[kind, False] for kind in (True, False)}
    known = sum(of_kind.values())
    rates = [counts[kind, kind] / count for kind, count in of_kind.items() if count]
    return Tally(
        pairs=counts.total(),
        accepted=sum(count for (_, judged), count in counts.items() if judged),
        known=known,
        right=counts[True, True] + counts[False, False] if known else None,
        accuracy=sum(rates) / 2 if len(rates) == 2 else None,
    )


def as_json(answer: Verification | Identification, top: int | None = None) -> JsonObject:
    """Return an answer as JSON data. A result that is no number becomes null.

    Args:
        answer: The answer.
        top: How many people of a gallery are listed; by default all of them.
    """
    data: JsonObject = to_jsonable(answer)
    if isinstance(answer, Verification):
        return data | {"decision": answer.decision}
    return data | {"candidates": data["candidates"][:top], "people": len(answer.candidates)}
