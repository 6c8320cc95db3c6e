"""The records of a run: what ``results.json``, ``trials/<id>.json`` and ``environment.json`` hold, with their types.

All code that writes or reads these files does it through a record, so that each key has one spelling, one type and one
description. ``docs/results.md`` and ``docs/results.schema.json`` are made from the descriptions here; after a change,
run ``python -m faceexp.results.describe_files docs``.

Keys may be added at any time. When a key is removed, or when the meaning of a key changes, :data:`SCHEMA` has to rise.
The keys that have a default below are those that older versions did not write, so that their files can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from faceexp.contract import Distance
from faceexp.results.evidence import DiagnosticsRecord, SetEvidenceRecord
from faceexp.results.failures import AcquisitionRecord, FailuresRecord
from faceexp.results.group_records import GroupsRecord, TallyRecord
from faceexp.results.identification import IdentificationRecord
from faceexp.results.published import PublishedRecord
from faceexp.results.record import (
    BudgetRecord,
    CalibrationRecord,
    Count,
    Interval,
    LossBudgetRecord,
    Number,
    PartRecord,
    Record,
    TrialId,
    remarks,
)
from faceexp.results.search_record import SearchRecord, SettingRecord
from faceexp.results.set_record import OverSetsRecord, SetRatesRecord, SetRecord
from faceexp.results.verdict import VerdictRecord
from faceexp.statistics.comparisons import Verdict
from faceexp.values import Kind, Note, NoteKind, Status

# The number of the form of all these files. It is the first key of results.json, so that a program can check it before
# it reads anything else.
SCHEMA = 1


class CheckpointRecord(Record):
    """One point of the training curve of phase 2."""

    step: Count = Field(description="How many optimiser steps were done.")
    loss: Number = Field(description="The mean value of the loss since the point before.")
    validation: Number = Field(
        description="The score on validation images, which `chosen_by` names. The point with the highest one is kept."
    )


class TrialRecord(Record):
    """One loss or one baseline that was trained and tested with one seed and one fold."""

    id: TrialId = Field(description="The name of the trial's files. It is made of label, seed and fold.")
    loss: str = Field(
        "", description="The name of the loss plugin or of the baseline; of a weighted sum, those of its losses."
    )
    label: str = Field(
        description="The name of the row in tables: the loss with the options in which it differs, or the baseline."
    )
    kind: Kind = Field(description="Whether this is a loss, an embedding that is only measured, or a baseline.")
    seed: int = Field(description="The seed from which split, first weights and batches are drawn.")
    fold: Count = Field(description="The fold, counted from 0.")
    status: Status = Field(
        description="How it ended. `diverged`: a number was not finite; `failed`: an error was raised."
    )
    reason: str | None = Field(None, description="Why the status is not `ok`.")
    metrics: Mapping[str, Number] = Field(
        default_factory=dict,
        description="The value of each metric on the test part. It is null where it is not defined.",
    )
    met: Mapping[str, Number] = Field(
        default_factory=dict,
        description="The FAR, or FPIR, that was met at each rate that the experiment file asks for, by the name of the "
        "metric. It is at most the rate in that name.",
    )
    identification: IdentificationRecord | None = Field(None, description="The gallery and the ranks, if asked for.")
    sets: Mapping[str, Mapping[str, Number]] = Field(
        default_factory=dict, description="For each test set, which is its name, the metrics on it."
    )
    rates_of_sets: Mapping[str, SetRatesRecord] = Field(
        default_factory=dict, description="For each test set, what stands beside these metrics."
    )
    fold_accuracies: tuple[Number, ...] = Field(
        (), description="As `fold_accuracies` of a test set, in a run that is shown as measured on one."
    )
    auc_without: Mapping[int, Number] = Field(
        default_factory=dict,
        description="Of an embedding that is only measured, the area under the ROC curve without each group of test "
        "people. The name of a group is the remainder of its people's numbers in the data, divided by 50.",
    )
    threshold: Number = Field(
        None, description="Up to this distance a pair is accepted. It is chosen on validation pairs."
    )
    distance: Distance | None = Field(None, description="The distance by which embeddings are compared.")
    best_step: Count = Field(0, description="The step of phase 2 whose weights are kept.")
    validation_auc: Number = Field(
        None, description="The area under the ROC curve on validation images, by which `verify` chooses a model."
    )
    seconds: Mapping[str, float] = Field(
        default_factory=dict,
        description="The time that each stage took when it was computed, even if it was found in the store later.",
    )
    reused: tuple[str, ...] = Field((), description="The stages whose results were found in the store.")
    unseeded: tuple[str, ...] = Field(
        (),
        description="Operations of the loss that draw random numbers for which there is no seed. Another run may give "
        "other numbers where there are any.",
    )
    nondeterministic: bool = Field(
        False,
        description="Whether it needed an operation that has no deterministic form on the device that trained. Another "
        "run may give numbers whose last digits differ.",
    )
    curve: tuple[CheckpointRecord, ...] = Field((), description="The training curve of phase 2; empty for a baseline.")
    budget: BudgetRecord | None = Field(None, description="How much training it was given.")

    @property
    def cell(self) -> tuple[int, int]:
        """Seed and fold. Trials with the same cell share their split, so a test pairs them."""
        return self.seed, self.fold


class TrialFile(TrialRecord):
    """``trials/<id>.json``: a trial with everything that a report shows of it."""

    evidence: DiagnosticsRecord | None = Field(
        None, description="Curves, histograms and pairs; null if the trial did not end well."
    )
    calibration: CalibrationRecord | None = Field(
        None, description="Thresholds and probability; null if the trial did not end well."
    )
    evidence_of_sets: Mapping[str, SetEvidenceRecord] = Field(
        default_factory=dict, description="The same for each test set, which is its name."
    )

    groups: tuple[TallyRecord, ...] = Field(
        (), description="What the thresholds do within the groups that the experiment file names, if it names any."
    )

    def alone(self) -> TrialRecord:
        """Return the trial without what only its own file holds, as it is in ``results.json``."""
        return TrialRecord.model_validate({name: getattr(self, name) for name in TrialRecord.model_fields})


class SplitRecord(Record):
    """How the data were cut into parts for one seed and one fold."""

    seed: int = Field(description="The seed of the trials that use this split.")
    fold: Count = Field(description="The fold of these trials, counted from 0.")
    key: str | None = Field(
        None,
        description="A digest of the data and the cut. Two runs with the same key can be tested against each other.",
    )
    train: PartRecord = Field(description="The part that networks are trained on.")
    validation: PartRecord = Field(description="The part that threshold and checkpoint are chosen on.")
    test: PartRecord = Field(description="The part that metrics are computed on.")
    acquisition: AcquisitionRecord | None = Field(
        None, description="What the test part has lost before anything was compared; null if every image could be used."
    )

    @property
    def cell(self) -> tuple[int, int]:
        """Seed and fold of the trials that use this split."""
        return self.seed, self.fold


class SummaryRecord(Record):
    """One metric of one row, over all trials of that row."""

    label: str = Field(description="The name of the row.")
    kind: Kind = Field(description="Whether it is a loss, an embedding that is only measured, or a baseline.")
    metric: str = Field(description="The name of the metric.")
    mean: Number = Field(description="The mean over the trials that have a value.")
    ci95: Interval | None = Field(None, description="The 95 % interval of the mean; null for fewer than two trials.")
    n: Count = Field(0, description="The number of trials that have a value.")
    comparable: Number = Field(
        None,
        description="The mean by which rows are ranked: where a row lacks trials of others, it is adjusted by how rows "
        "with all trials did in them.",
    )
    standard_error: Number = Field(
        None, description="For `fold_accuracy`: the standard deviation of the folds over the root of their number."
    )
    folds: Count | None = Field(None, description="For `fold_accuracy`: the number of folds.")
    met: Number = Field(
        None, description="The mean FAR, or FPIR, that was met, at each rate that the experiment file asks for."
    )
    group: str = Field("", description="Letters. Two rows that share a letter cannot be told apart by the tests.")


class ComparisonRecord(Record):
    """One metric of two rows, over the seeds and folds that both have."""

    metric: str = Field(description="The name of the metric.")
    a: str = Field(description="The name of one row.")
    b: str = Field(description="The name of the other row.")
    difference: Number = Field(description="The mean of a minus b.")
    ci95: Interval | None = Field(
        None, description="The 95 % interval of the difference. It is not widened for the number of comparisons."
    )
    p_corrected: Number = Field(
        None, description="The p-value of the paired test after Holm's correction; null where nothing was tested."
    )
    verdict: Verdict = Field(
        description="`a>b`: a is better than b, and the corrected p-value is 5 % or less. Better may mean lower."
    )
    effect_size: Number = Field(
        None, description="The difference divided by the standard deviation of the paired differences (Cohen's d_z)."
    )
    minimum_detectable_difference: Number = Field(
        None,
        description="The difference that the test, before the correction, would find in 80 % of repeated runs.",
    )


class InstalledPluginRecord(Record):
    """A plugin that the run used."""

    kind: str = Field(description="The kind of plugin: `loss`, `model`, `dataset`, `sampler` or `detector`.")
    name: str = Field(description="The name of the plugin in experiment files.")
    distribution: str = Field(description="The package that the plugin was installed with.")
    version: str = Field(description="The version of that package.")
    digest: str = Field(
        "", description="A digest of the plugin's code and of the versions of what it needs; empty if it is not known."
    )


class RunRecord(Record):
    """``results.json``: everything that a run found."""

    schema_number: int = Field(alias="schema", description="The number of the form that the files have.")
    name: str = Field(description="The name of the experiment.")
    description: str = Field("", description="What the experiment is for, in its author's words.")
    spec_hash: str = Field(
        "",
        description="A digest of the experiment. The name of the folder ends in its first eight digits, and in "
        "`-2`, `-3`, ... where earlier folders hold results of other code of a plugin.",
    )
    plugins: tuple[InstalledPluginRecord, ...] = Field((), description="The plugins that the run used.")
    protocol: str = Field("", description="The kind of protocol: `open_set`, `closed_set` or `pairs_file`.")
    notes: tuple[str, ...] = Field((), description="Sentences that a reader should know about the data.")
    note_kinds: tuple[NoteKind, ...] = Field((), description="What each of the notes is about, in the same order.")
    people_enough: Count | None = Field(
        None,
        description="How many people in the data would be enough to test and to tune on; null if there are enough, "
        "or if it is not known.",
    )
    warnings: tuple[str, ...] = Field(
        (),
        description="Sentences that name the losses which were given another budget than most, those whose random "
        "numbers have no seed, and rows that needed an operation without a deterministic form.",
    )
    method: str = Field("", description="How intervals and comparisons are computed, in words.")
    test_train_ratio: float | None = Field(
        None, description="The number of test images divided by that of training images."
    )
    variance_ratio: float | None = Field(
        None,
        description="The r in the variance s^2 (1/n + r): test people (or images) divided by all that are not tested.",
    )
    average_seeds: bool = Field(
        False, description="Whether seeds are averaged within each fold first, since they test the same pairs."
    )
    verdict: VerdictRecord | None = Field(None, description="What the run answers, in its primary metric.")
    parts: tuple[SplitRecord, ...] = Field((), description="How the data were cut for each seed and fold.")
    budgets: tuple[LossBudgetRecord, ...] = Field((), description="How much training each loss was given.")
    published: PublishedRecord | None = Field(None, description="Results of others that the experiment file gives.")
    failures: FailuresRecord | None = Field(
        None, description="What was lost before anything was compared; null if every image could be used."
    )
    groups: GroupsRecord | None = Field(
        None, description="How often each row is wrong within groups of people, if the experiment file names any."
    )
    measured_on: str | None = Field(
        None, description="The test set that the numbers are of; null where they are of the test part of each split."
    )
    test_sets: tuple[SetRecord, ...] = Field((), description="The test sets that every trial is measured on as well.")
    over_sets: OverSetsRecord | None = Field(
        None, description="How the rows rank over the test part and all test sets, in the primary metric."
    )
    chosen_by: Literal["auc", "map_at_r"] = Field(
        "auc", description="The metric on validation images that checkpoints and settings were chosen by."
    )
    trials: tuple[TrialRecord, ...] = Field(description="Every trial, in the order in which they were planned.")
    summary: tuple[SummaryRecord, ...] = Field(description="The mean and its interval for each row and each metric.")
    comparisons: tuple[ComparisonRecord, ...] = Field(description="The comparison of every two rows, metric by metric.")
    settings: tuple[SettingRecord, ...] = Field(
        (),
        description="Losses of which several settings were trained. Means, comparisons and verdicts are of the chosen "
        "ones; `trials` holds all.",
    )
    search: SearchRecord | None = Field(
        None, description="What was searched before the losses were compared, if the experiment file asks for that."
    )
    seconds: Mapping[str, float] = Field(
        default_factory=dict, description="The time that the steps after the trials took."
    )

    @field_validator("trials")
    @classmethod
    def _are_distinct(cls, trials: tuple[TrialRecord, ...]) -> tuple[TrialRecord, ...]:
        """Refuse two trials with the same files, or with the same loss, seed and fold: one would count twice."""
        for values in ([trial.id for trial in trials], [(trial.label, *trial.cell) for trial in trials]):
            if len(set(values)) < len(values):
                raise ValueError("a trial is there twice")
        return trials

    @property
    def ratio(self) -> float | None:
        """The r in the variance of means; runs of older versions counted training images alone."""
        return self.test_train_ratio if self.variance_ratio is None else self.variance_ratio

    @property
    def remarks(self) -> tuple[Note, ...]:
        """The notes, each with what it is about."""
        return remarks(self.notes, self.note_kinds)

    @property
    def failed(self) -> tuple[TrialRecord, ...]:
        """The trials that did not end well."""
        return tuple(trial for trial in self.trials if trial.status != "ok")

    @property
    def cells(self) -> frozenset[tuple[int, int]]:
        """Every seed and fold that has a trial."""
        return frozenset(trial.cell for trial in self.trials)


class EnvironmentRecord(Record):
    """``environment.json``: the machine and the software that the run was made with."""

    python: str = Field("", description="The version of Python.")
    platform: str = Field("", description="The operating system.")
    processor: str = Field("", description="The processor.")
    cores: int | None = Field(None, description="The number of processor cores.")
    gpu: str = Field("", description="The GPU that trained; empty where the processor did.")
    jobs: Count = Field(1, description="The number of processes that shared the work.")
    executor: str = Field("", description="The executor that ran the trials; empty where processes of the machine did.")
    threads: Count | None = Field(None, description="With an executor: how many threads each trial had.")
    plugins: tuple[InstalledPluginRecord, ...] = Field((), description="The plugins that the run used.")
    packages: Mapping[str, str] = Field(default_factory=dict, description="The version of every installed package.")
