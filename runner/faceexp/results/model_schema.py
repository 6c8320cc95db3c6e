"""The record of a model: what ``calibration.json`` holds, in a run's ``models/`` and in an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_serializer, field_validator

from faceexp.contract import Distance
from faceexp.experiment.schema import Preprocess
from faceexp.results.record import Number, Record
from faceexp.results.schema import CalibrationRecord, remarks
from faceexp.values import Note, NoteKind


class UsedPluginRecord(Record):
    """A plugin that a model was made with, and its options."""

    name: str = Field(description="Its name in experiment files.")
    options: Mapping[str, Any] = Field(default_factory=dict, description="The options it was given.")
    distribution: str = Field("", description="The package that brought it.")
    version: str = Field("", description="That package's version.")


class MeanRecord(Record):
    """The mean of a metric over the trials of a loss."""

    mean: Number = Field(description="Mean over the trials.")
    ci95: tuple[float, float] | None = Field(None, description="Its 95 % interval.")
    n: int = Field(description="Trials that count.")


class OriginRecord(Record):
    """Where a model comes from, as far as it is known; an exported folder carries it, so that it outlives the run."""

    run: str | None = Field(None, description="Name of the run.")
    description: str = Field("", description="What the run was for.")
    spec_hash: str | None = Field(None, description="Digest of its experiment.")
    trial: str | None = Field(None, description="The trial that ended with this model.")
    best_step: int | None = Field(None, description="The step of phase 2 whose weights were kept.")
    protocol: Mapping[str, Any] = Field(default_factory=dict, description="The table [protocol] of the experiment.")
    dataset: UsedPluginRecord | None = Field(None, description="The data set.")
    licence: str | None = Field(None, description="Terms of the data, as the installed plugin gives them.")
    source: str | None = Field(None, description="Where the data come from, as the installed plugin says.")
    model: UsedPluginRecord | None = Field(None, description="The trunk.")
    loss: UsedPluginRecord | None = Field(None, description="The loss.")
    embedding_dim: int | None = Field(None, description="Width of the embedding.")
    notes: tuple[str, ...] = Field((), description="What the run says of its data.")
    note_kinds: tuple[NoteKind, ...] = Field((), description="What each of the notes is about.")
    parts: Mapping[str, Mapping[str, int]] = Field(default_factory=dict, description="Size of each part of the trial.")
    metrics: Mapping[str, Number] = Field(default_factory=dict, description="Of the trial, on its test part.")
    summary: Mapping[str, MeanRecord] = Field(default_factory=dict, description="Of the loss, by metric.")
    trials: tuple[int, int] | None = Field(None, description="Trials of the loss that ended well, and all of them.")
    budget: Mapping[str, int] = Field(default_factory=dict, description="What the loss was given.")
    warnings: tuple[str, ...] = Field((), description="Which budgets were unequal.")
    packages: Mapping[str, str] = Field(default_factory=dict, description="Versions of what trained it.")

    @property
    def remarks(self) -> tuple[Note, ...]:
        """The notes, with what each is about."""
        return remarks(self.notes, self.note_kinds)


class ExportRecord(Record):
    """How an exported folder was made."""

    faceexp: str = Field(description="The version that exported it.")
    deviations: Mapping[str, float] = Field(
        default_factory=dict, description="By format, the largest difference from the Keras file's embeddings."
    )


class ModelRecord(Record):
    """``calibration.json``: how photos become pixels, which distance decides, and where the model comes from."""

    label: str = Field(description="Name of the row: the loss with its options.")
    seed: int | None = Field(None, description="The seed of its trial.")
    fold: int | None = Field(None, description="The fold of its trial.")
    distance: Distance = Field(description="The distance by which embeddings are compared.")
    threshold: Number = Field(description="Distance up to which two photos count as of one person.")
    criterion: str = Field("", description="How the threshold was chosen.")
    calibration: CalibrationRecord | None = Field(None, description="Thresholds and probability, from validation.")
    validation_auc: Number = Field(None, description="Area under the ROC on validation images.")
    preprocess: Preprocess = Field(description="How photos become pixels.")
    origin: OriginRecord | None = Field(None, description="Exported folders only: where the model comes from.")
    exported: ExportRecord | None = Field(None, description="Exported folders only: how it was written.")

    @field_serializer("preprocess")
    def _whole(self, preprocess: Preprocess) -> dict[str, Any]:
        """Write every key of it, also those that the experiment left at their defaults: the model rests on them."""
        return preprocess.model_dump(mode="json")

    @field_validator("origin", mode="wrap")
    @classmethod
    def _without_what_is_damaged(cls, given: object, validated: ValidatorFunctionWrapHandler) -> OriginRecord | None:
        """A model can be used without knowing where it comes from."""
        try:
            return cast("OriginRecord | None", validated(given))
        except ValidationError:
            return None
