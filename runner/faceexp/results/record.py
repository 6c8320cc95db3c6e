"""What every record is: a frozen part of a JSON file, in which each key has a type and a description.

The records that both a run and a model hold are here as well. So whoever opens a model need not import everything that
describes a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from faceexp.values import Note, NoteKind


def _finite(value: object) -> object:
    """Return ``None`` for infinity and for a result that is no number, because JSON has no word for them."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rate(text: str) -> str:
    """Return the text of a rate, or refuse it."""
    if not 0 <= float(text) <= 1:
        raise ValueError(f"{text} is not a rate")
    return text


def _file_name(text: str) -> str:
    """Return a text that names a file in a folder, or refuse it: with a path in it, it could lead out of the folder."""
    if not text or text in (".", "..") or len(text) > 200 or any(letter in "/\\\0" for letter in text):
        raise ValueError("is no name of a file")
    return text


def _defined(values: object) -> object:
    """Return nothing for a curve with values that are not defined: it cannot be drawn, nor be averaged with others."""
    is_broken = isinstance(values, list | tuple) and any(_finite(value) is None for value in values)
    return () if is_broken else values


# How many of something there are.
Count = Annotated[int, Field(ge=0)]
# The name of a trial's files, without their ending.
TrialId = Annotated[str, AfterValidator(_file_name)]
Number = Annotated[float | None, BeforeValidator(_finite)]
Curve = Annotated[tuple[float, ...], BeforeValidator(_defined)]
Interval = tuple[float, float]
# The content of a JSON file, before it is a record or after it was one.
JsonObject = dict[str, Any]
# A rate as the key of a JSON object: text that is a number from 0 to 1.
Rate = Annotated[str, AfterValidator(_rate)]
# A number that is written as it is given, so that a count of pairs stays a whole number in JSON.
Amount = Annotated[int | float | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """A frozen part of the files of a run. Keys that a newer version has added are ignored when a file is read."""

    # A class is built when the first record of it is made, since most commands need only a few of them. Only `Number`
    # may be given what is not finite: everywhere else that is a mistake, which JSON could not hold.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        from_attributes=True,
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    def __getitem__(self, key: str) -> object:
        """Return the value of a key of the JSON file: ``trial["reason"]`` is ``trial.reason``."""
        for name, field in type(self).model_fields.items():
            if key == (field.alias or name):
                return getattr(self, name)
        raise KeyError(key)

    def to_jsonable(self) -> JsonObject:
        """Return the record as JSON data. A key that was not given stays out, so that older files stay as they are."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class BudgetRecord(Record):
    """How much training a trial was given. A comparison is fair where all losses were given the same."""

    pretrain_images: Count = Field(
        0, description="How many images phase 1 saw. An image that is seen twice counts twice."
    )
    steps: Count = Field(0, description="The number of optimiser steps of phase 2.")
    images: Count = Field(0, description="How many images phase 2 saw. An image that is seen twice counts twice.")
    trainable_parameters: Count = Field(
        0, description="The number of weights that phase 2 trains, with those of the loss."
    )


class LossBudgetRecord(Record):
    """How much training a loss was given, as the mean over its trials that ended well."""

    label: str = Field(description="The name of the row.")
    loss: str = Field(description="The name of the loss plugin; of a weighted sum, those of its losses.")
    pretrain_images: Count = Field(
        0, description="How many images phase 1 saw. An image that is seen twice counts twice."
    )
    steps: Count = Field(0, description="The number of optimiser steps of phase 2.")
    images: Count = Field(0, description="How many images phase 2 saw. An image that is seen twice counts twice.")
    trainable_parameters: Count = Field(
        0, description="The number of weights that phase 2 trains, with those of the loss."
    )
    settings_tried: Count = Field(
        1, description="How many rows of this run have the same loss plugin. Trying more settings is a budget, too."
    )


class PartRecord(Record):
    """How much data one part of a split holds."""

    images: Count = Field(description="The number of images.")
    people: Count = Field(description="The number of people that they show.")
    pairs: Count | None = Field(None, description="The number of pairs that are judged. The training part has none.")
    similar: Count | None = Field(None, description="How many of these pairs show the same person.")
    of_pairs: Count | None = Field(
        None, description="How many pairs the list names, if some of them cannot be judged; null where all are."
    )
    of_images: Count | None = Field(
        None,
        description="Of a part that is the same for all trials: how many images it would have, if some cannot be used "
        "or are left out; null where all are used.",
    )


class CalibrationRecord(Record):
    """What the pairs of the validation part say about distances, and what became of that on the test part."""

    threshold: Number = Field(description="The distance that gives the best balanced accuracy.")
    far: Number = Field(None, description="The share of different pairs that this threshold accepts.")
    tar: Number = Field(None, description="The share of similar pairs that this threshold accepts.")
    thresholds: Mapping[Rate, Number] = Field(
        default_factory=dict,
        description="The threshold for each false accept rate, which is its name; null where there are too few pairs "
        "or people.",
    )
    slope: Number = Field(
        None,
        description="How much the log odds that a pair is similar change per unit of distance. It is never above 0; at "
        "0, the distance says nothing.",
    )
    intercept: Number = Field(None, description="The log odds that a pair at distance 0 is similar.")
    n_similar: Count | None = Field(None, description="The number of similar pairs.")
    n_different: Count | None = Field(None, description="The number of different pairs.")
    people: Count | None = Field(None, description="The number of people that these pairs show.")
    far_range: Mapping[Rate, Interval | None] = Field(
        default_factory=dict,
        description="For each false accept rate, which is its name, the rate that other people are likely to meet at "
        "its threshold, from the lower to the upper end of a 90 % interval. Where it ends above four times the rate, "
        "or where there are too few people, there is no threshold. It is null where there is no such range.",
    )
    threshold_far_range: Interval | None = Field(
        None, description="The same range for the threshold of the best balanced accuracy."
    )
    test_far: Number = Field(None, description="The share of different test pairs that this threshold accepts.")
    test_tar: Number = Field(None, description="The share of similar test pairs that this threshold accepts.")
    test_far_at: Mapping[Rate, Number] = Field(
        default_factory=dict,
        description="The share of different test pairs that the threshold for each false accept rate accepts.",
    )
    test_people: Count | None = Field(None, description="The number of people in the test part.")
    test_seen: Count | None = Field(
        None,
        description="How many of these people are in the training or in the validation part as well.",
    )
    test_accuracy_range: Interval | None = Field(
        None,
        description="The 95 % interval of the balanced accuracy on test pairs at this threshold, by how much the test "
        "people differ; null for too few of them.",
    )


def remarks(notes: Sequence[str], kinds: Sequence[NoteKind]) -> tuple[Note, ...]:
    """Return each note with what it is about. Older files do not say it, so the beginning of the sentence decides."""
    if len(kinds) == len(notes):
        return tuple(Note(kind, text) for kind, text in zip(kinds, notes, strict=True))
    return tuple(Note("closed_set" if text.startswith("closed set") else "data", text) for text in notes)
