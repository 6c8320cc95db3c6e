"""What a run is asked, and how long it may take to answer: the tables [verdict] and [limits]."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from faceexp.experiment.table import Table, unique

Question = Literal["helps", "best"]
# The fewest trials that show which losses help, and which may be the best. With fewer, nothing is said of the best: the
# spread of so few says too little about itself for as many comparisons as that takes.
TRIALS_FOR_HELPS = 3
TRIALS_FOR_BEST = 5


class Asked(Table):
    """What the run is asked, declared before anybody has seen a number."""

    metric: str = Field(
        "map_at_r",
        description="The one metric that is judged; every other one is secondary. For a list of pairs it is accuracy.",
    )
    questions: Annotated[tuple[Question, ...], Field(min_length=1, strict=False), AfterValidator(unique)] = Field(
        ("helps", "best"),
        description="helps: which losses are better than the phase-1 embedding that all start from; "
        "best: which losses may be the best. Each question is a family of claims of its own.",
    )
    equivalence: float = Field(
        0.01, gt=0, lt=1, description="Differences within plus and minus this are practically none; 0.01 is one point."
    )
    until: Literal["seeds", "decided"] = Field(
        "seeds",
        description="seeds: the seeds of the file, and no more; decided: further seeds for the losses that are still "
        "in question, until none is.",
    )
    looks: int = Field(
        10, ge=2, le=100, description="decided: how often the trials are looked at, at most; each look has its share."
    )


# What a list of pairs is asked differently.
USUAL_OF_LISTS: dict[str, Any] = {"metric": "accuracy"}


class Limits(Table):
    """What a run may take; none of it changes a number of a trial."""

    minutes_per_trial: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="A trial that takes longer, beside the phase 1 that it shares with others, has failed, and its "
        "process is ended; without it, a trial may take as long as it wants.",
    )
    minutes: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="until = decided: no further seed begins that would probably end later than this after the start.",
    )
