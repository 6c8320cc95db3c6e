"""The records of results of others, which an experiment file may give to be judged beside those of the run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from faceexp.results.record import Amount, Interval, Record


class CasesRecord(Record):
    """One number for each way in which the errors of two losses may go together."""

    nested: Amount = Field(description="Every error of the better loss is one of the other too.")
    unrelated: Amount = Field(description="Errors fall together by chance alone.")
    nested_corrected: Amount = Field(description="Nested, at the level after correction.")
    unrelated_corrected: Amount = Field(description="Unrelated, at the level after correction.")


class CountRecord(Record):
    """How many pairs a published loss judged right."""

    label: str = Field(description="The loss.")
    right: int = Field(description="Pairs that were judged rightly.")
    accuracy: float = Field(description="Their share.")
    ci95: Interval = Field(description="Its 95 % interval (Wilson).")


class CountPairRecord(Record):
    """Two published losses that judged the same pairs, a no less accurate than b."""

    a: str = Field(description="One loss.")
    b: str = Field(description="The other.")
    difference: float = Field(description="Accuracy of a minus b.")
    ci95: Interval = Field(description="Its 95 % interval for unrelated errors (Newcombe).")
    p_corrected: float = Field(description="Fisher's exact p for unrelated errors, after Holm.")
    best_case_p: float = Field(description="McNemar's exact p for nested errors, uncorrected.")
    best_case_p_corrected: float = Field(description="The same after Holm.")
    verdict: Literal["distinguishable", "undecided", "indistinguishable"] = Field(
        description="Told apart even if unrelated; depends on the errors; not told apart even if nested."
    )
    pairs_needed: CasesRecord = Field(description="Pairs to find this difference.")


class CountPowerRecord(Record):
    """What published counts of right answers can show."""

    total: int = Field(description="Pairs that every loss judged.")
    alpha: float = Field(description="Two-sided level of one comparison.")
    power: float = Field(description="Probability with which a difference is to be found.")
    losses: tuple[CountRecord, ...] = Field(description="The losses.")
    pairs: tuple[CountPairRecord, ...] = Field(description="Every two losses, the largest difference first.")
    detectable: CasesRecord = Field(description="Smallest difference from the best accuracy that is found.")
    asked: float | None = Field(None, description="A difference that was asked for.")
    pairs_needed: CasesRecord | None = Field(None, description="Pairs to find that one.")


class PublishedResultRecord(Record):
    """What a publication reports of one loss."""

    label: str = Field(description="The loss, as the publication names it.")
    right: int = Field(description="Test pairs that were judged rightly.")
    sim_diff_ratio: float | None = Field(None, description="Mean similar over mean different distance.")


class PublishedRecord(Record):
    """Results of others that the report judges and shows beside the run's."""

    source: str = Field(description="Where they were published, and on which data.")
    pairs: int = Field(description="Test pairs, the same for every loss.")
    results: tuple[PublishedResultRecord, ...] = Field(description="The losses.")
    power: CountPowerRecord | None = Field(None, description="What such counts can show.")
