"""The records of a run: what ``results.json``, ``trials/<id>.json`` and ``environment.json`` hold, with their types.

Whatever writes or reads these files does it through a record, so that a key has one spelling, one type and one
description. ``docs/results.md`` and ``docs/results.schema.json`` are made from the descriptions here.

Keys may be added at any time. A key that is removed, or whose meaning changes, raises :data:`SCHEMA`, and the old form
is still read. Keys with a default below are those that older runs do not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from faceexp.contract import Distance
from faceexp.results.published import PublishedRecord
from faceexp.results.record import Interval, Number, Record
from faceexp.statistics.comparisons import Verdict
from faceexp.values import Kind, Note, NoteKind, Status

# The only statement of it: the first key of results.json.
SCHEMA = 1


class CheckpointRecord(Record):
    """A point of a training curve."""

    step: int = Field(description="Optimiser steps done.")
    loss: Number = Field(description="Mean loss since the point before.")
    validation: Number = Field(description="Area under the ROC on validation images; the highest is kept.")


class BudgetRecord(Record):
    """What a trial was given."""

    pretrain_images: int = Field(0, description="Images seen in phase 1, repetitions counted.")
    steps: int = Field(0, description="Optimiser steps of phase 2.")
    images: int = Field(0, description="Images seen in phase 2, repetitions counted.")
    trainable_parameters: int = Field(0, description="Weights that phase 2 trains, those of the loss included.")


class TrialRecord(Record):
    """One loss or baseline, trained and tested with one seed and fold."""

    id: str = Field(description="Names the trial's files: label, seed and fold.")
    loss: str = Field("", description="Name of the loss plugin, or of the baseline.")
    label: str = Field(description="Name of the row: the loss with the options that distinguish it, or the baseline.")
    kind: Kind = Field(description="Whether it is a loss or a baseline.")
    seed: int = Field(description="The seed of split, weights and batches.")
    fold: int = Field(description="The fold, counted from 0.")
    status: Status = Field(description="ok; diverged: a number was not finite; failed: something was raised.")
    reason: str | None = Field(None, description="Why it is not ok.")
    metrics: Mapping[str, Number] = Field(
        default_factory=dict, description="Each metric on the test part, by name; null where it is not defined."
    )
    threshold: Number = Field(None, description="Distance up to which a pair is accepted; from validation pairs.")
    distance: Distance | None = Field(None, description="The distance by which embeddings are compared.")
    best_step: int = Field(0, description="The step of phase 2 whose weights were kept.")
    seconds: Mapping[str, float] = Field(
        default_factory=dict, description="Time of each stage, also of one that was found in the store."
    )
    reused: tuple[str, ...] = Field((), description="Stages that were found in the store.")
    curve: tuple[CheckpointRecord, ...] = Field((), description="The training curve of phase 2.")
    budget: BudgetRecord | None = Field(None, description="What the trial was given.")

    @property
    def cell(self) -> tuple[int, int]:
        """Seed and fold; trials of one cell are paired."""
        return self.seed, self.fold


class JudgedPairRecord(Record):
    """A pair of test images and what was said of it."""

    distance: float = Field(description="Between the two embeddings.")
    similar: bool = Field(description="Whether both images show one person.")
    accepted: bool = Field(description="Whether the threshold says so.")
    images: tuple[int, int] = Field(description="The images, as pictures/<number>.png where they are kept.")
    identities: tuple[str, str] = Field(description="Whom the images show.")


class RatesRecord(Record):
    """Two rates at one threshold."""

    far: Number = Field(description="Share of different pairs that are accepted (FMR).")
    tar: Number = Field(description="Share of similar pairs that are accepted (1 - FNMR).")


class MapRecord(Record):
    """Embeddings in the plane of their largest variance."""

    x: tuple[float, ...] = Field(description="First principal component of each image.")
    y: tuple[float, ...] = Field(description="Second principal component.")
    identity: tuple[str, ...] = Field(description="Whom each image shows.")
    explained: float = Field(description="Share of the variance that the plane shows.")


class DiagnosticsRecord(Record):
    """What lies behind a trial's metrics: curves, histograms, telling pairs."""

    far: tuple[float, ...] = Field((), description="False accept rates at vertices of the ROC, ascending.")
    tar: tuple[float, ...] = Field((), description="True accept rates at the same vertices.")
    edges: tuple[float, ...] = Field((), description="Borders of the bins of the histograms, in units of distance.")
    similar: tuple[int, ...] = Field((), description="Similar pairs in each bin.")
    different: tuple[int, ...] = Field((), description="Different pairs in each bin.")
    hardest: tuple[JudgedPairRecord, ...] = Field((), description="The hardest pairs of each kind of decision.")
    met: Mapping[str, RatesRecord] = Field(
        default_factory=dict, description="By the false accept rate aimed at on validation: what came of it on test."
    )
    map: MapRecord | None = Field(None, description="The first seed and fold only: embeddings of at most 20 people.")


class CalibrationRecord(Record):
    """What validation pairs say about distances."""

    threshold: Number = Field(description="Distance of best balanced accuracy.")
    far: Number = Field(None, description="Share of different validation pairs that it accepts.")
    tar: Number = Field(None, description="Share of similar ones.")
    thresholds: Mapping[str, Number] = Field(
        default_factory=dict, description="Distance threshold by false accept rate; null where pairs are too few."
    )
    slope: Number = Field(None, description="Of the log odds that a pair is similar, for each unit of distance.")
    intercept: Number = Field(None, description="The log odds at distance 0.")
    n_similar: int | None = Field(None, description="Similar validation pairs.")
    n_different: int | None = Field(None, description="Different validation pairs.")


class TrialFile(TrialRecord):
    """``trials/<id>.json``: the trial, and what a report shows beside its numbers."""

    evidence: DiagnosticsRecord | None = Field(None, description="Curves, histograms and pairs; null if it failed.")
    calibration: CalibrationRecord | None = Field(None, description="Thresholds and probability; null if it failed.")

    def alone(self) -> TrialRecord:
        """Return the trial as ``results.json`` has it."""
        return TrialRecord.model_validate({name: getattr(self, name) for name in TrialRecord.model_fields})


class PartRecord(Record):
    """How much is in a part of a split."""

    images: int = Field(description="Images.")
    people: int = Field(description="Different identities.")
    pairs: int | None = Field(None, description="Pairs that are judged; not of the training part.")
    similar: int | None = Field(None, description="Those of them that show one person.")


class SplitRecord(Record):
    """How the data were cut for one seed and fold."""

    seed: int = Field(description="The seed.")
    fold: int = Field(description="The fold.")
    key: str | None = Field(None, description="The same in two runs that cut the same data alike.")
    train: PartRecord = Field(description="What is trained on.")
    validation: PartRecord = Field(description="What threshold and checkpoint are chosen on.")
    test: PartRecord = Field(description="What is judged.")

    @property
    def cell(self) -> tuple[int, int]:
        """Seed and fold."""
        return self.seed, self.fold


class LossBudgetRecord(Record):
    """What a loss was given: the mean over its trials."""

    label: str = Field(description="Name of the row.")
    loss: str = Field(description="Name of the loss plugin.")
    pretrain_images: int = Field(0, description="Images seen in phase 1, repetitions counted.")
    steps: int = Field(0, description="Optimiser steps of phase 2.")
    images: int = Field(0, description="Images seen in phase 2, repetitions counted.")
    trainable_parameters: int = Field(0, description="Weights that phase 2 trains, those of the loss included.")
    settings_tried: int = Field(1, description="Rows of the same loss plugin in this run.")


class SummaryRecord(Record):
    """One metric of one row over its trials."""

    label: str = Field(description="Name of the row.")
    kind: Kind = Field(description="Whether it is a loss or a baseline.")
    metric: str = Field(description="Name of the metric.")
    mean: Number = Field(description="Mean over the trials that count.")
    ci95: Interval | None = Field(None, description="Its 95 % interval; null for fewer than two trials.")
    n: int = Field(0, description="Trials that count.")
    group: str = Field("", description="Letters: rows that share one cannot be told apart.")


class ComparisonRecord(Record):
    """One metric of two rows over the trials they have in common."""

    metric: str = Field(description="Name of the metric.")
    a: str = Field(description="One row.")
    b: str = Field(description="The other.")
    difference: Number = Field(description="Mean of a minus b.")
    ci95: Interval | None = Field(None, description="95 % interval of the difference, of this pair alone.")
    p_corrected: Number = Field(None, description="p of the paired test after Holm's correction; null without a test.")
    verdict: Verdict = Field(description="a>b: a is better, in the direction of the metric, at 5 %.")
    effect_size: Number = Field(None, description="Difference over the deviation of the paired differences.")
    minimum_detectable_difference: Number = Field(
        None, description="What an uncorrected test finds in 80 % of repetitions, given the spread that was seen."
    )


def remarks(notes: Sequence[str], kinds: Sequence[NoteKind]) -> tuple[Note, ...]:
    """Return notes with what each is about; in older files, which do not on_progress, the sentence's beginning does."""
    if len(kinds) == len(notes):
        return tuple(Note(kind, text) for kind, text in zip(kinds, notes, strict=True))
    return tuple(Note("closed_set" if text.startswith("closed set") else "data", text) for text in notes)


class RunRecord(Record):
    """``results.json``: everything a run found."""

    schema_number: int = Field(SCHEMA, alias="schema", description="Number of this form of the file.")
    name: str = Field(description="Name of the experiment.")
    description: str = Field("", description="What the experiment is for.")
    spec_hash: str = Field("", description="Digest of the experiment; the folder's name ends in its beginning.")
    protocol: str = Field("", description="open_set, closed_set or pairs_file.")
    notes: tuple[str, ...] = Field((), description="What a reader should know about the data, in sentences.")
    note_kinds: tuple[NoteKind, ...] = Field((), description="What each of the notes is about.")
    warnings: tuple[str, ...] = Field((), description="Which losses were given other budgets than most.")
    method: str = Field("", description="How intervals and comparisons are computed.")
    test_train_ratio: float | None = Field(None, description="Test images for each training image, n_test / n_train.")
    parts: tuple[SplitRecord, ...] = Field((), description="How the data were cut, for each seed and fold.")
    budgets: tuple[LossBudgetRecord, ...] = Field((), description="What each loss was given.")
    published: PublishedRecord | None = Field(None, description="Results of others.")
    trials: tuple[TrialRecord, ...] = Field(description="Every trial, in the plan's order.")
    summary: tuple[SummaryRecord, ...] = Field(description="Mean and interval of each row and metric.")
    comparisons: tuple[ComparisonRecord, ...] = Field(description="Every pair of rows, metric by metric.")
    seconds: Mapping[str, float] = Field(default_factory=dict, description="Time of what follows the trials.")

    @property
    def remarks(self) -> tuple[Note, ...]:
        """The notes, with what each is about."""
        return remarks(self.notes, self.note_kinds)

    @property
    def failed(self) -> tuple[TrialRecord, ...]:
        """The trials that did not end well."""
        return tuple(trial for trial in self.trials if trial.status != "ok")

    @property
    def cells(self) -> frozenset[tuple[int, int]]:
        """Every seed and fold that has a trial."""
        return frozenset(trial.cell for trial in self.trials)


class InstalledPluginRecord(Record):
    """A plugin that a run used."""

    kind: str = Field(description="loss, model, dataset or sampler.")
    name: str = Field(description="Its name in experiment files.")
    distribution: str = Field(description="The package that brought it.")
    version: str = Field(description="That package's version.")


class EnvironmentRecord(Record):
    """``environment.json``: what a run was made with; everything is empty where the file is lost."""

    python: str = Field("", description="Version of Python.")
    platform: str = Field("", description="The operating system.")
    processor: str = Field("", description="The processor.")
    cores: int | None = Field(None, description="Cores of the machine.")
    jobs: int = Field(1, description="Processes among which the run was divided.")
    plugins: tuple[InstalledPluginRecord, ...] = Field((), description="The plugins that were used.")
    packages: Mapping[str, str] = Field(default_factory=dict, description="Every installed package and its version.")
