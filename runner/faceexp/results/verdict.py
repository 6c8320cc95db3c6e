"""The records of what a run answers: whether rows beat guessing, which losses help, and which may be the best."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from faceexp.experiment.asked import Question
from faceexp.experiment.baselines import PHASE1
from faceexp.results.record import Count, Interval, Number, Record
from faceexp.statistics.power.question import ALPHA


class ClaimRecord(Record):
    """What is shown of one row, compared with a reference."""

    label: str = Field(description="The name of the row.")
    reference: str = Field(description="The name of the row that it is compared with.")
    difference: Number = Field(description="The mean of the row minus that of the reference.")
    interval: Interval | None = Field(
        None, description="The interval of the difference at the corrected level; null where nothing was tested."
    )
    p_corrected: Number = Field(None, description="The p-value after Holm's correction over the rows of the question.")
    verdict: Literal["better", "worse", "practically equal", "undecided"] = Field(
        description="`practically equal`: the interval is within the margin of equivalence; `better` and `worse`: the "
        "corrected p-value is 5 % or less; `undecided`: none of these is shown."
    )
    trials: Count = Field(0, description="The number of values that were compared.")
    people: Count | None = Field(
        None,
        description="How many people the row was tested on in all trials, if it is judged by how much these differ; "
        "null where it is judged by how much trials differ.",
    )


class StandingRecord(Record):
    """What is shown of one loss, compared with the best of the others."""

    label: str = Field(description="The name of the loss.")
    difference: Number = Field(description="The mean of the loss minus the best mean of the others.")
    interval: Interval | None = Field(
        None, description="The simultaneous interval of that difference; null where nothing was tested."
    )
    may_be_best: bool = Field(description="Whether the loss may be the best.")
    practically_best: bool = Field(
        False, description="Whether it is shown to be at most the margin of equivalence worse than the best."
    )


class EffortRecord(Record):
    """A number of trials, and what it finds."""

    seeds: Count = Field(description="The number of seeds.")
    trials: Count = Field(description="The number of trials of each row.")
    detectable: Number = Field(
        description="The difference that is found in 80 % of repetitions, after the correction; null if no possible "
        "difference is large enough."
    )
    minutes: Number = Field(None, description="Minutes of computing on this machine, if one process does it all.")


class NeededRecord(Record):
    """What it would take to decide more."""

    undecided: Count = Field(description="How many losses the question `helps` could not decide.")
    now: EffortRecord = Field(description="What this run finds.")
    more: EffortRecord | None = Field(None, description="What twice as many seeds would find.")
    limit: Number = Field(None, description="No number of seeds finds a smaller difference with these people.")
    label: str | None = Field(None, description="The undecided loss whose difference is the largest.")
    difference: Number = Field(None, description="That difference.")
    seeds: Count | None = Field(None, description="How many seeds would find it; null if no number would.")
    people: Count | None = Field(None, description="How many people would find it with as many trials.")


class SpreadRecord(Record):
    """How much of the spread of a loss's difference from the phase-1 embedding is people, and how much is training."""

    label: str = Field(description="The name of the loss.")
    people_share: Number = Field(description="The share of people in the variance from trial to trial.")
    training_share: Number = Field(description="The share of training: other weights and batches, the same people.")
    interval: Interval | None = Field(None, description="The 95 % interval of the share of people.")


class LookRecord(Record):
    """One look at the trials of a run that goes on until its questions are decided."""

    seeds: tuple[int, ...] = Field(description="The seeds that this look added.")
    trained: Count = Field(description="How many losses were trained with these seeds: those still in question.")
    settled: tuple[str, ...] = Field((), description="The losses about which nothing was in question after it.")
    seconds: float = Field(0.0, description="How long the training of these seeds took.")


class VerdictRecord(Record):
    """What the run answers, in its primary metric."""

    metric: str = Field(description="The name of the primary metric, declared in the experiment file.")
    questions: tuple[Question, ...] = Field(description="The questions that the experiment file asks.")
    equivalence: float = Field(description="The margin of equivalence, in units of the metric.")
    alpha: float = Field(
        ALPHA,
        description="The probability of a false claim that each question was allowed; with several looks, at each.",
    )
    same_people: bool = Field(
        False, description="Whether all trials test the same people, so that claims hold for these people only."
    )
    guessing: tuple[ClaimRecord, ...] = Field(
        (),
        description="Every row's AUC compared with 0.5, which is guessing. An embedding that is only measured is "
        "judged by people, who are left out of all trials in turn: seeds are only other choices of people there.",
    )
    simplest: tuple[ClaimRecord, ...] = Field(
        (), description="Each loss compared with raw pixels and PCA: the one that it differs least from is named."
    )
    reference: str = Field(
        PHASE1.label,
        description="The row that every loss starts from, with which it is compared: the phase-1 embedding, or a "
        "trunk with trained weights where there is no phase 1.",
    )
    helps: tuple[ClaimRecord, ...] = Field((), description="Each loss compared with the row that all start from.")
    best: tuple[StandingRecord, ...] = Field((), description="Each loss compared with the best of the others.")
    needed: NeededRecord | None = Field(None, description="What it would take to decide more.")
    spread: tuple[SpreadRecord, ...] = Field(
        (), description="What the spread between trials comes from, where seeds share people and folds do not."
    )
    looks: tuple[LookRecord, ...] = Field(
        (), description="The looks at the trials, if the run went on until its questions were decided."
    )

    in_question: tuple[str, ...] = Field((), description="The losses about which further looks could decide something.")
