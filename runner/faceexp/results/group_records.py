"""The records of what was measured within groups of people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from faceexp.results.record import Count, Interval, Number, Record
from faceexp.values import Kind

# What a threshold is called that was chosen for no false accept rate, but for the best balanced accuracy.
BEST = "best accuracy"
WhichRate = Literal["fmr", "fnmr"]


class TallyRecord(Record):
    """What the thresholds of a trial do to the pairs within a group, summed for each person; weights of pairs.

    A pair of two people counts for both of them. The thresholds are called by the false accept rate that validation
    aimed at, and that of the best balanced accuracy `best accuracy`.
    """

    column: str = Field(description="The column of the data.")
    group: str = Field(description="The group.")
    people: tuple[int, ...] = Field(description="The numbers of the people, the same in every trial of a run.")
    similar: tuple[float, ...] = Field(description="The weight of the similar pairs of each of them.")
    different: tuple[float, ...] = Field(description="The weight of the different pairs that show each of them.")
    rejected: Mapping[str, tuple[float, ...]] = Field(
        description="By threshold, the weight of each person's similar pairs that it rejects."
    )
    accepted: Mapping[str, tuple[float, ...]] = Field(
        description="By threshold, the weight of the different pairs that show each person and that it accepts."
    )
    pairs_of_people: Count = Field(description="How many pairs of two people are judged.")


class GroupColumnRecord(Record):
    """A column whose values are groups."""

    column: str = Field(description="The name of the column.")
    groups: tuple[str, ...] = Field(description="What the groups are called.")
    of_people: bool = Field(
        description="Whether all images of a person are in the same group. If not, images are grouped, and both images "
        "of a pair are in the group."
    )


class GroupRateRecord(Record):
    """How often a row is wrong within a group, over all its trials."""

    label: str = Field(description="The name of the row.")
    kind: Kind = Field(description="Whether it is a loss or a baseline.")
    column: str = Field(description="The column of the data.")
    group: str = Field(description="The group.")
    threshold: str = Field(
        description="The threshold, which all groups share: `best accuracy`, or the false accept rate that validation "
        "aimed at."
    )
    rate: WhichRate = Field(
        description="`fmr`: the share of different pairs that are accepted; `fnmr`: that of similar ones that are not."
    )
    people: Count = Field(description="How many people have such pairs.")
    value: Number = Field(None, description="The rate; null if it is refused.")
    ci95: Interval | None = Field(None, description="Its 95 % interval over people.")
    refused: str | None = Field(None, description="Why the rate is not given, in words.")


class GroupRatioRecord(Record):
    """How many times the rate of the best group that of the worst one is."""

    label: str = Field(description="The name of the row.")
    kind: Kind = Field(description="Whether it is a loss or a baseline.")
    column: str = Field(description="The column of the data.")
    threshold: str = Field(description="The threshold, as in the rates.")
    rate: WhichRate = Field(description="Which rate, as in the rates.")
    worst: str = Field(description="The group with the highest rate.")
    best: str = Field(description="The group with the lowest rate.")
    value: Number = Field(None, description="The ratio; null if the best group has no error, so that there is none.")
    ci95: Interval | None = Field(
        None,
        description="Its 95 % interval over people, corrected for the number of pairs of groups. If it holds 1, the "
        "difference may be chance.",
    )


class GroupsRecord(Record):
    """How often each row is wrong within the groups that the experiment file names."""

    columns: tuple[GroupColumnRecord, ...] = Field(description="The columns, in the order of the file.")
    rates: tuple[GroupRateRecord, ...] = Field((), description="The rates of every row and group.")
    ratios: tuple[GroupRatioRecord, ...] = Field(
        (), description="Worst over best group; only of columns with two groups that are not refused."
    )
