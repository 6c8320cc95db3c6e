"""Results of others, which the report judges beside those of the run: the table [published]."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from faceexp.experiment.table import Table, unique


class PublishedResult(Table):
    """What a publication reports of one loss."""

    label: str = Field(min_length=1, max_length=100, description="The loss, as the publication names it.")
    right: int = Field(ge=0, description="Test pairs that were judged rightly.")
    sim_diff_ratio: float | None = Field(None, gt=0, description="Mean similar over mean different distance.")


class Published(Table):
    """Results of others that the report judges, and shows beside those of the run."""

    source: str = Field(min_length=1, description="Where they were published, and on which data.")
    pairs: int = Field(ge=1, description="Test pairs, the same for every loss.")
    results: Annotated[tuple[PublishedResult, ...], Field(min_length=2, strict=False)]

    @model_validator(mode="after")
    def _fits(self) -> Published:
        for row in self.results:
            if row.right > self.pairs:
                raise ValueError(f"{row.label!r}: {row.right} right of {self.pairs} pairs is more than all")
        unique(tuple(row.label for row in self.results))
        return self
