"""The records of a search: what was tried of each loss, what was chosen, and what that gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from faceexp.results.record import Count, Number, Record
from faceexp.results.verdict import ClaimRecord


class SettingRecord(Record):
    """One of several settings of a loss, each of which was trained in this run."""

    label: str = Field(description="The name of its row.")
    of: str = Field(description="The loss that it is a setting of, by the name that the experiment file gives it.")
    chosen: bool = Field(description="Whether the loss is judged by this setting. Nothing of test decides that.")
    validation: Number = Field(
        None, description="The mean over its trials of the score of the checkpoint that is kept, on validation images."
    )


class TriedRecord(Record):
    """One trial of a search."""

    number: Count = Field(description="Which one, counted from 0.")
    values: Mapping[str, Any] = Field(description="The settings, by their names.")
    score: Number = Field(description="The mean validation score over seeds and folds; null where there is none.")
    state: Literal["ok", "pruned", "diverged", "failed"] = Field(
        description="How it ended. `pruned`: it was not trained to the end, since others did better."
    )
    trainings: Count = Field(description="With how many seeds and folds it was trained.")


class SearchedRecord(Record):
    """The search of one loss, or of the trunk and phase 1."""

    label: str = Field(description="The name of the loss's row; `phase 1`.")
    ranges: Mapping[str, str] = Field(description="What was searched: each setting with its values, in words.")
    suggested: tuple[str, ...] = Field(description="Settings whose values plugins suggest; the file has the rest.")
    logarithmic: tuple[str, ...] = Field((), description="Settings that were searched by orders of magnitude.")
    defaults: Mapping[str, Any] = Field(description="What each setting is where nothing is written.")
    best: Mapping[str, Any] = Field(description="The settings that were chosen; empty if no trial ended well.")
    score: Number = Field(None, description="The validation score of these.")
    default_score: Number = Field(None, description="That of the defaults, if they were among the trials.")
    at_edge: tuple[str, ...] = Field(
        (), description="Settings whose chosen value is the first or last of its range: a wider one may do better."
    )
    importances: Mapping[str, Number] = Field(
        default_factory=dict, description="The share of each setting in what makes scores differ (Optuna's PED-ANOVA)."
    )
    reasons: tuple[str, ...] = Field((), description="Why trials failed or diverged, each reason once.")
    trainings: Count = Field(description="How many trainings were made.")
    steps: Count = Field(description="Optimiser steps of one training; of phase 1, with the settings that were chosen.")
    images: Count = Field(description="Images of one training, repetitions counted; likewise.")
    trials: tuple[TriedRecord, ...] = Field(description="Every trial, in order.")


class SearchRecord(Record):
    """What was searched before the losses were compared, and what it gained."""

    trials: Count = Field(description="How many trials each loss was given.")
    sampler: str = Field(description="How settings were proposed.")
    pruner: str = Field(description="Whether trials ended before all seeds and folds.")
    seeds: tuple[int, ...] = Field(description="The seeds of the search, none of which the comparison has.")
    trainings: Count = Field(description="With how many seeds and folds each trial is trained.")
    people_tested: Count = Field(
        description="How many people the comparison tests who took part in the search: in other splits of theirs, they "
        "are among those to train or to validate on."
    )
    phase1: SearchedRecord | None = Field(
        None,
        description="The search of the trunk and of phase 1, which all losses share; it came before theirs. Its score "
        "is that of the phase-1 embedding.",
    )
    losses: tuple[SearchedRecord, ...] = Field(description="The search of each loss.")
    gains: tuple[ClaimRecord, ...] = Field(
        (), description="Each loss with the settings that were chosen, compared with its defaults, on test."
    )
