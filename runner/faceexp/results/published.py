"""The records of results of others: an experiment file may give them, and the report judges them beside its own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from faceexp.results.record import Amount, Interval, Record


class CasesRecord(Record):
    """One number for each way in which the errors of two losses may fall together, with and without correction."""

    nested: Amount = Field(description="Every pair that the better loss judges wrongly, the other judges wrongly, too.")
    unrelated: Amount = Field(description="The errors of the two losses fall together by chance alone.")
    nested_corrected: Amount = Field(description="As `nested`, at the level after the correction.")
    unrelated_corrected: Amount = Field(description="As `unrelated`, at the level after the correction.")


class CountRecord(Record):
    """How many pairs a published loss judged rightly."""

    label: str = Field(description="The name of the loss.")
    right: int = Field(description="The number of pairs that were judged rightly.")
    accuracy: float = Field(description="The share of pairs that were judged rightly.")
    ci95: Interval = Field(description="The 95 % interval of that share (Wilson).")


class CountPairRecord(Record):
    """Two published losses that judged the same pairs. Loss a was right at least as often as loss b."""

    a: str = Field(description="The name of one loss.")
    b: str = Field(description="The name of the other loss.")
    difference: float = Field(description="The accuracy of a minus that of b.")
    ci95: Interval = Field(description="The 95 % interval of the difference if errors are unrelated (Newcombe).")
    p_corrected: float = Field(description="Fisher's exact p-value, if errors are unrelated, after Holm's correction.")
    best_case_p: float = Field(description="McNemar's exact p-value, if errors are nested, not corrected.")
    best_case_p_corrected: float = Field(description="The same p-value after Holm's correction.")
    verdict: Literal["distinguishable", "undecided", "indistinguishable"] = Field(
        description="`distinguishable`: even if errors are unrelated; `indistinguishable`: even if they are nested; "
        "`undecided`: it depends on the errors, which were not published."
    )
    pairs_needed: CasesRecord = Field(description="How many pairs are needed to find this difference.")


class CountPowerRecord(Record):
    """What published counts of right answers can show."""

    total: int = Field(description="The number of pairs that every loss judged.")
    alpha: float = Field(description="The two-sided level of one comparison.")
    power: float = Field(description="The probability with which a difference has to be found.")
    losses: tuple[CountRecord, ...] = Field(description="The losses.")
    pairs: tuple[CountPairRecord, ...] = Field(description="Every two losses, the largest difference first.")
    detectable: CasesRecord = Field(description="The smallest difference from the best accuracy that can be found.")
    asked: float | None = Field(None, description="The difference that somebody asked for.")
    pairs_needed: CasesRecord | None = Field(None, description="How many pairs are needed to find that difference.")


class PublishedResultRecord(Record):
    """What a publication reports of one loss."""

    label: str = Field(description="The name that the publication gives to the loss.")
    right: int = Field(description="The number of test pairs that were judged rightly.")
    sim_diff_ratio: float | None = Field(
        None, description="The mean distance of similar pairs divided by that of different pairs."
    )


class PublishedRecord(Record):
    """Results of others, which the report judges and shows beside those of the run."""

    source: str = Field(description="Where the results were published, and on which data.")
    pairs: int = Field(description="The number of test pairs, which is the same for every loss.")
    results: tuple[PublishedResultRecord, ...] = Field(description="The result of each loss.")
    power: CountPowerRecord | None = Field(None, description="What such counts of right answers can show.")
