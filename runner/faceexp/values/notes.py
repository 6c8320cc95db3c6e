"""What is said of a trial and of the data, in one word and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "diverged", "failed"]
# A row of the comparison is a trained loss, an embedding that exists already and is only measured, or a baseline.
Kind = Literal["loss", "pretrained", "baseline"]
NoteKind = Literal[
    "data",
    "data_set",
    "left_out",
    "names",
    "closed_set",
    "pairs_file",
    "listed",
    "test_set",
    "overlap",
    "split_seed",
    "duplicates",
    "several_faces",
    "crops",
    "groups",
    "templates",
    "search",
    "failures",
    "uneven",
    "few_people",
    "few_trials",
    "adapted",
    "unseeded",
    "nondeterministic",
    "device",
    "phase1",
    "existing",
    "precision",
    "code",
    "refused",
    "tracker",
    "executor",
    "networks",
]


@dataclass(frozen=True)
class Note:
    """What a reader of the results should know about the data.

    Attributes:
        kind: What it is about.
        text: A sentence.
        people: How many people in the data would mend it, where that is known.
    """

    kind: NoteKind
    text: str
    people: int | None = None
