"""What a run has lost before anything was compared, and the error rates that count it: records, and what fills them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import Field

from faceexp.data.lost import Lost
from faceexp.data.splits import Split
from faceexp.data.test_set import PlannedSet
from faceexp.evaluation.acquisition import Acquisition, acquisition, acquisition_of_list
from faceexp.results.record import Count, Interval, Number, Record
from faceexp.statistics import comparisons as statistics
from faceexp.values import Kind, Plan

if TYPE_CHECKING:
    from faceexp.results.schema import TrialFile

# The rates of a trial, as they are summarised; lower is better in all of them.
RATES = ("fmr", "fnmr", "far", "frr")


class AcquisitionRecord(Record):
    """What a test part has lost before anything was compared, as shares."""

    fta: Number = Field(description="Failure to acquire: the share of its images of which no crop could be made.")
    fte: Number = Field(
        description="Failure to enrol: the share of its people who have too few usable images to take part; where a "
        "list names pairs of templates, the share of its templates of which no image can be used."
    )
    lost_similar: Number = Field(
        description="The share of attempts of people as themselves that could not be made: `fta`, or the share of the "
        "similar pairs of a list that are lost."
    )
    lost_different: Number = Field(description="The same for attempts as somebody else.")


class MeanRateRecord(Record):
    """A rate of a row, as the mean over its trials."""

    mean: Number = Field(description="The mean.")
    ci95: Interval | None = Field(None, description="Its 95 % interval; null for fewer than two trials.")


class ErrorRatesRecord(Record):
    """How often a row is wrong at its threshold: of what was compared, and with what was lost."""

    label: str = Field(description="The name of the row.")
    kind: Kind = Field(description="Whether it is a loss or a baseline.")
    fmr: MeanRateRecord = Field(description="False match rate: the share of different pairs that are accepted.")
    fnmr: MeanRateRecord = Field(description="False non-match rate: the share of similar pairs that are rejected.")
    far: MeanRateRecord = Field(description="False accept rate: FMR (1 - FTA).")
    frr: MeanRateRecord = Field(description="False reject rate: FTA + FNMR (1 - FTA).")


class FailuresRecord(Record):
    """Images that could not be used, and what that does to the error rates of each row."""

    images: Count = Field(description="How many images could not be used, of people who were to take part.")
    of_images: Count = Field(0, description="Of how many images, these included; 0 in runs of older versions.")
    people: Count = Field(description="How many people did not take part since too few of their images could be used.")
    fta: Number = Field(description="Failure to acquire of the test parts, as the mean over seeds and folds.")
    fte: Number = Field(description="Failure to enrol of the test parts, as the mean over seeds and folds.")
    rates: tuple[ErrorRatesRecord, ...] = Field((), description="The error rates of each row.")


def acquisition_of(plan: Plan, split: Split) -> Acquisition | None:
    """Return what the test part of a split has lost; ``None`` where nothing was lost in the whole run."""
    if plan.lost is None:
        return None
    by_person = plan.resolved.experiment.protocol.kind == "open_set"
    return acquisition(plan.lost, plan.labels, split, by_person=by_person)


def failures_record(
    plan: Plan, trials: Iterable[TrialFile], ratio: float, *, average_seeds: bool
) -> FailuresRecord | None:
    """Return what a run has lost; ``None`` where that is nothing.

    Args:
        plan: The plan of the run.
        trials: Its trials, with their calibration.
        ratio: The r in the variance of means.
        average_seeds: Whether seeds are averaged within each fold first.
    """
    of_cells = {(split.seed, split.fold): lost for split in plan.splits if (lost := acquisition_of(plan, split))}
    if plan.lost is None or not of_cells:
        return None
    # A template is not lost with one of its images, so what is lost of images does not tell its rates; a list of pairs
    # of templates does.
    judged = () if plan.templates and not plan.lost.of_templates else trials
    return _record(plan.lost, len(plan.labels), of_cells, judged, ratio, average_seeds=average_seeds)


def acquisition_of_set(faces: PlannedSet) -> Acquisition | None:
    """Return what a test set has lost; ``None`` where that is nothing."""
    return acquisition_of_list(faces.lost.tested[0]) if faces.lost else None


def failures_of_set(
    faces: PlannedSet, plan: Plan, trials: Iterable[TrialFile], ratio: float, *, average_seeds: bool
) -> FailuresRecord | None:
    """Return what a test set has lost; ``None`` where that is nothing.

    Args:
        faces: The test set.
        plan: The plan of the run.
        trials: Its trials, as they are measured on the set.
        ratio: The r in the variance of means on the set.
        average_seeds: Whether seeds are averaged within each fold first.
    """
    lost = acquisition_of_set(faces)
    if faces.lost is None or lost is None:
        return None
    of_cells = {(split.seed, split.fold): lost for split in plan.splits}
    judged = () if plan.templates and not faces.lost.of_templates else trials
    return _record(faces.lost, len(faces.rows), of_cells, judged, ratio, average_seeds=average_seeds)


def _record(
    lost: Lost,
    used: int,
    of_cells: Mapping[tuple[int, int], Acquisition],
    judged: Iterable[TrialFile],
    ratio: float,
    *,
    average_seeds: bool,
) -> FailuresRecord:
    measured = [
        trial.alone().model_copy(update={"metrics": _rates(trial, of_cells[trial.cell])})
        for trial in judged
        if trial.status == "ok"
    ]
    directions = dict.fromkeys(RATES, False)
    summary = statistics.summarise(measured, directions, ratio, (), rates=RATES, average_seeds=average_seeds)
    rows: dict[str, dict[str, MeanRateRecord]] = {}
    for row in summary:
        rows.setdefault(row.label, {})[row.metric] = MeanRateRecord(mean=row.mean, ci95=row.ci95)
    kinds = {trial.label: trial.kind for trial in measured}
    return FailuresRecord(
        images=len(lost.labels),
        of_images=used + len(lost.labels),
        people=lost.people,
        fta=fmean(each.fta for each in of_cells.values()),
        fte=fmean(each.fte for each in of_cells.values()),
        rates=_rows(rows, kinds),
    )


def _rows(rows: Mapping[str, Mapping[str, MeanRateRecord]], kinds: Mapping[str, Kind]) -> tuple[ErrorRatesRecord, ...]:
    unknown = MeanRateRecord(mean=None)
    return tuple(
        ErrorRatesRecord(label=label, kind=kinds[label], **{rate: rates.get(rate, unknown) for rate in RATES})
        for label, rates in rows.items()
    )


def _rates(trial: TrialFile, lost: Acquisition) -> dict[str, float | None]:
    """Return the error rates of a trial at its threshold, without and with what was lost."""
    known = trial.calibration
    if known is None or known.test_far is None or known.test_tar is None:
        return dict.fromkeys(RATES)
    fmr, fnmr = known.test_far, 1 - known.test_tar
    return {"fmr": fmr, "fnmr": fnmr, "far": lost.far(fmr), "frr": lost.frr(fnmr)}
