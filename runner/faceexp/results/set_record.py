"""The records of test sets: what each holds, what it shares with the data that are trained on, and ranks over all."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from faceexp.results.failures import AcquisitionRecord, FailuresRecord
from faceexp.results.group_records import GroupsRecord
from faceexp.results.identification import IdentificationRecord
from faceexp.results.record import Count, Number, PartRecord, Record


class SetRatesRecord(Record):
    """What stands beside the metrics of a trial on a test set."""

    met: Mapping[str, Number] = Field(default_factory=dict, description="As `met` of the trial.")
    identification: IdentificationRecord | None = Field(None, description="As `identification` of the trial.")
    fold_accuracies: tuple[Number, ...] = Field(
        (),
        description="Of a set whose pairs lie in folds, the accuracy of each at the threshold that is best on its "
        "others. Their mean is `fold_accuracy`.",
    )
    auc_without: Mapping[int, Number] = Field(default_factory=dict, description="As `auc_without` of the trial.")


class SetRecord(Record):
    """A test set."""

    name: str = Field(description="What tables call it.")
    source: str = Field("", description="Where it comes from.")
    key: str = Field("", description="A digest of its images and pairs.")
    measured: PartRecord = Field(description="How much it holds.")
    shared: Mapping[str, Count] = Field(
        default_factory=dict,
        description="How many people are named alike in the data that are trained on, and how many images of the set "
        "are equal or nearly equal to one there. `overlap.csv` lists all of them.",
    )
    groups: GroupsRecord | None = Field(
        None, description="How often each row is wrong within groups of its people, if the experiment file names any."
    )
    acquisition: AcquisitionRecord | None = Field(
        None, description="What it has lost before anything was compared; null if every image could be used."
    )
    failures: FailuresRecord | None = Field(
        None, description="What that does to the error rates of each row; null if every image could be used."
    )
    dropped_people: Count = Field(0, description="How many people were left out because they are shared.")
    dropped_images: Count = Field(0, description="How many images of these people.")


class OverSetsRecord(Record):
    """How rows rank over the test part, which is called `test`, and the test sets."""

    metric: str = Field(description="The name of the metric.")
    means: Mapping[str, Mapping[str, Number]] = Field(
        description="For each row, and for each set, the mean of the metric over the trials that ended well."
    )
    sets: Count = Field(0, description="How many sets rank the rows.")
    mean_rank: Mapping[str, float] = Field(
        default_factory=dict, description="The mean rank of each row that has a value on every set, the best first."
    )
    fewest_sets: Count | None = Field(
        None, description="How many sets it takes at least before any two of so many rows can be told apart."
    )
    p: Number = Field(
        None,
        description="The p-value of Friedman's test; null where there are too few sets or rows to decide anything.",
    )
    critical: Number = Field(None, description="Nemenyi's critical difference of two mean ranks at 5 %.")
    apart: tuple[tuple[str, str], ...] = Field(
        (), description="Which rows are told apart by their mean ranks, the better one first."
    )
