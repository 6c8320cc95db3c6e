"""The record of a model: what ``calibration.json`` holds, in the ``models/`` of a run and in an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_serializer, field_validator

from faceexp.contract import Distance
from faceexp.experiment.schema import Precision, Preprocess
from faceexp.results.record import (
    BudgetRecord,
    CalibrationRecord,
    Count,
    Interval,
    JsonObject,
    Number,
    PartRecord,
    Record,
    remarks,
)
from faceexp.values import Note, NoteKind


class UsedPluginRecord(Record):
    """A plugin that the model was made with, and its options."""

    name: str = Field(description="The name of the plugin in experiment files.")
    options: Mapping[str, Any] = Field(default_factory=dict, description="The options that the plugin was given.")
    distribution: str = Field("", description="The package that the plugin was installed with.")
    version: str = Field("", description="The version of that package.")


class SummedPluginRecord(UsedPluginRecord):
    """A loss of a weighted sum that the model was made with, and its options."""

    weight: Number = Field(description="What the value of the loss was multiplied by.")


class MeanRecord(Record):
    """The mean of a metric over the trials of a loss."""

    mean: Number = Field(description="The mean over the trials that have a value.")
    ci95: Interval | None = Field(None, description="The 95 % interval of the mean; null for fewer than two trials.")
    n: Count = Field(description="The number of trials that have a value.")


class OriginBudgetRecord(BudgetRecord):
    """How much training the loss of the model was given, as the mean over its trials that ended well."""

    settings_tried: Count = Field(1, description="How many rows of the run have the same loss plugin.")


class OriginRecord(Record):
    """Where a model comes from, as far as that is known. An exported folder carries it, so it outlives the run."""

    run: str | None = Field(None, description="The name of the run.")
    description: str = Field("", description="What the run was for.")
    spec_hash: str | None = Field(None, description="The digest of the experiment.")
    trial: str | None = Field(None, description="The id of the trial that ended with this model.")
    best_step: Count | None = Field(None, description="The step of phase 2 whose weights are kept.")
    protocol: Mapping[str, Any] = Field(
        default_factory=dict, description="The table `[protocol]` of the experiment file, without paths."
    )
    dataset: UsedPluginRecord | None = Field(None, description="The data set, without its options.")
    licence: str | None = Field(None, description="The terms of the data, as the plugin of the data set states them.")
    source: str | None = Field(None, description="Where the data come from, as that plugin states it.")
    model: UsedPluginRecord | None = Field(None, description="The trunk of the network.")
    loss: UsedPluginRecord | None = Field(
        None, description="The loss; of a weighted sum, the names of its losses, with neither options nor package."
    )
    summed: tuple[SummedPluginRecord, ...] = Field(
        (), description="The losses of the weighted sum that the loss is; empty where it is none."
    )
    only_measured: bool = Field(
        False, description="Whether the run has trained nothing of the model, and only measured it: it existed before."
    )
    files: Mapping[str, str | None] = Field(
        default_factory=dict,
        description="The names of the files of a network that existed before, each with its SHA-256 if that is known.",
    )
    embedding_dim: Count | None = Field(None, description="How many numbers an embedding has.")
    precision: Precision | None = Field(
        None, description="What the layers computed in, in training and where they were measured; in files, in float32."
    )
    notes: tuple[str, ...] = Field((), description="The sentences of the run about its data.")
    note_kinds: tuple[NoteKind, ...] = Field((), description="What each of the notes is about, in the same order.")
    parts: Mapping[str, PartRecord] = Field(
        default_factory=dict, description="The size of the parts `train`, `validation` and `test` of the trial."
    )
    metrics: Mapping[str, Number] = Field(
        default_factory=dict, description="The metrics of the trial on its test part."
    )
    summary: Mapping[str, MeanRecord] = Field(
        default_factory=dict, description="The means of the loss over its trials. Each name is that of a metric."
    )
    trials: tuple[Count, Count] | None = Field(
        None, description="How many trials of the loss ended well, and how many there were."
    )
    budget: OriginBudgetRecord | None = Field(None, description="How much training the loss was given.")
    warnings: tuple[str, ...] = Field((), description="Sentences that name unequal budgets of the run.")
    packages: Mapping[str, str] = Field(
        default_factory=dict, description="The versions of the packages that matter most for training."
    )

    @property
    def remarks(self) -> tuple[Note, ...]:
        """The notes, each with what it is about."""
        return remarks(self.notes, self.note_kinds)

    @field_validator("budget", mode="before")
    @classmethod
    def _unknown_if_empty(cls, given: object) -> object:
        """Older versions wrote an empty table where the budget is not known."""
        return given or None

    @field_serializer("parts")
    def _as_given(self, parts: Mapping[str, PartRecord]) -> JsonObject:
        """Leave out the pairs of the training part, which has none, as ``results.json`` does."""
        return {name: part.to_jsonable() for name, part in parts.items()}


class ExportRecord(Record):
    """How an exported folder was made."""

    faceexp: str = Field(description="The version of faceexp that exported it.")
    deviations: Mapping[str, float] = Field(
        default_factory=dict,
        description="The largest difference from the embeddings of the Keras file, as a share of the largest value in "
        "any embedding. Each name is that of a format.",
    )
    tested: str = Field("", description="How often the model was right on its test people, in a sentence.")


class SeenPhotosRecord(Record):
    """What `seen_photos.bin` holds: digests of the photos that a model saw in its training and validation parts."""

    count: Count = Field(description="How many photos they are.")
    sha256: str = Field(description="The digest of the file, by which a damaged one is told.")


class MeasuredRecord(Record):
    """What all trials of a run show of a network that is only measured: they test the same network on other people."""

    trials: Count = Field(description="How many trials they are.")
    people: Count = Field(description="How many people they test.")
    auc: Number = Field(description="The area under the ROC curve, as the mean over the trials.")
    interval: Interval | None = Field(
        None,
        description="Its interval by how much these people differ, at the level that is left after the correction for "
        "all rows of the run; null for too few people.",
    )
    beats_guessing: bool = Field(description="Whether it is shown to be above 0.5, which is guessing.")


class ModelRecord(Record):
    """``calibration.json``: how photos become pixels, which distance decides, and where the model comes from."""

    label: str = Field(description="The name of the row: the loss with the options in which it differs.")
    seed: int | None = Field(None, description="The seed of the trial.")
    fold: Count | None = Field(None, description="The fold of the trial.")
    distance: Distance = Field(description="The distance by which embeddings are compared.")
    threshold: Number = Field(description="Up to this distance two photos count as of one person.")
    criterion: str = Field("", description="How the threshold was chosen, in words.")
    calibration: CalibrationRecord | None = Field(
        None, description="Other thresholds and what a probability is computed from."
    )
    validation_auc: Number = Field(None, description="The area under the ROC curve on validation images.")
    preprocess: Preprocess = Field(description="How photos become pixels.")
    flip: bool = Field(
        False, description="Whether each photo is embedded together with its mirror image: their sum, of length 1."
    )
    measured: MeasuredRecord | None = Field(
        None,
        description="What all trials of the run show of the network, if it is only measured. Null where the run was "
        "interrupted.",
    )
    existed: bool = Field(
        False,
        description="Whether the network, or the trunk behind which a loss was trained, had trained weights before the "
        "run. Whom it was trained on is not known then.",
    )
    trunk: UsedPluginRecord | None = Field(
        None,
        description="The plugin that opens the network from pixels to features, where no file of Keras holds it. The "
        "file `model.keras` then maps features to embeddings; without that file, the features are the embeddings.",
    )
    seen_photos: SeenPhotosRecord | None = Field(
        None,
        description="What `seen_photos.bin` holds. Null in exported folders, and if the images of the data set are no "
        "files.",
    )
    origin: OriginRecord | None = Field(None, description="Where the model comes from; in exported folders only.")
    exported: ExportRecord | None = Field(None, description="How the folder was written; in exported folders only.")

    @field_serializer("preprocess")
    def _whole(self, preprocess: Preprocess) -> JsonObject:
        """Write every key, also those that the experiment file left out, because the network rests on all of them."""
        return preprocess.model_dump(mode="json")

    @field_validator("origin", mode="wrap")
    @classmethod
    def _without_what_is_damaged(cls, given: object, validated: ValidatorFunctionWrapHandler) -> OriginRecord | None:
        """Ignore an origin that cannot be read: a model can be used without knowing where it comes from."""
        try:
            return cast("OriginRecord | None", validated(given))
        except ValidationError:
            return None


class OwnThresholdRecord(Record):
    """``own_threshold.json`` beside a model: what labelled pairs of the user's own say about its distances.

    Where this file is, it decides instead of the validation pairs of the run.
    """

    pairs: str = Field(description="The name of the file that listed the pairs, without its folder.")
    sha256: str = Field(description="The digest of that file.")
    people_from: Literal["columns", "folders"] | None = Field(
        None,
        description="How it is known whom the photos show: from columns of the list, or from the folders of the "
        "photos; null where it is not known.",
    )
    label: str = Field(description="The name of the row of the model that the threshold was set for.")
    model_threshold: Number = Field(description="The threshold that this model came with.")
    calibration: CalibrationRecord = Field(description="The threshold of these pairs, and what else follows from them.")
    photos: Count | None = Field(None, description="How many photos the pairs name.")
    seen: Count | None = Field(
        None, description="How many of them the model saw in its training; null where that is not known."
    )
    faceexp: str = Field("", description="The version of faceexp that set it.")

    @property
    def caveat(self) -> str:
        """Why the threshold is not to be believed: the model saw some of the photos; empty if it saw none."""
        if not self.seen:
            return ""
        return f"the model saw {self.seen:,} of the {self.photos or self.seen:,} photos of these pairs in its training"
