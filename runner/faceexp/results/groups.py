"""From the embeddings of a trial to sums for each group, and from those of all trials to rates by group."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_args

import numpy as np

from faceexp.data.groups import Groups
from faceexp.evaluation import groups as evaluation
from faceexp.results.group_records import (
    BEST,
    GroupColumnRecord,
    GroupRateRecord,
    GroupRatioRecord,
    GroupsRecord,
    TallyRecord,
    WhichRate,
)
from faceexp.results.schema import TrialFile
from faceexp.values import Plan, TrainedTrial


def tallies_of(trained: TrainedTrial, plan: Plan, thresholds: Mapping[str, float]) -> Iterator[TallyRecord]:
    """Yield what the thresholds of a trial do to the test pairs within each group; nothing where no groups are asked.

    Args:
        trained: The trial and its embeddings.
        plan: The plan that it is part of.
        thresholds: Distances, by name.
    """
    split = trained.split
    labels = plan.labels[split.test]
    usable = {name: value for name, value in thresholds.items() if math.isfinite(value)}
    for asked in plan.groups:
        group = asked.group[split.test]
        for place, name in enumerate(asked.names):
            members = np.flatnonzero(group == place)
            tally = evaluation.tally(
                trained.embeddings["test"], labels, trained.distance, members, usable, split.test_pairs
            )
            yield TallyRecord(
                column=asked.column,
                group=name,
                people=tuple(tally.people.tolist()),
                similar=tuple(tally.similar.tolist()),
                different=tuple(tally.different.tolist()),
                rejected={name: tuple(weights.tolist()) for name, weights in tally.rejected.items()},
                accepted={name: tuple(weights.tolist()) for name, weights in tally.accepted.items()},
                pairs_of_people=tally.pairs_of_people,
            )


def groups_record(asked: Sequence[Groups], trials: Iterable[TrialFile]) -> GroupsRecord | None:
    """Return the rates of every row by group; ``None`` where no groups are asked.

    Args:
        asked: The groups that the experiment asks about.
        trials: The trials with their sums. A group of a row that no trial has is left out.
    """
    if not asked:
        return None
    rates: list[GroupRateRecord] = []
    ratios: list[GroupRatioRecord] = []
    of_rows: dict[str, list[TrialFile]] = {}
    for trial in trials:
        if trial.groups:
            of_rows.setdefault(trial.label, []).append(trial)
    for files in of_rows.values():
        for groups in asked:
            for threshold in dict.fromkeys(name for file in files for each in file.groups for name in each.accepted):
                for rate in get_args(WhichRate):
                    of_groups = _rates(files, groups, threshold, rate)
                    rates += [
                        _rate_record(files[0], groups.column, threshold, rate, *each) for each in of_groups.items()
                    ]
                    ratios += _ratio_record(files[0], groups.column, threshold, rate, of_groups)
    columns = (
        GroupColumnRecord(column=groups.column, groups=groups.names, of_people=groups.of_people) for groups in asked
    )
    return GroupsRecord(columns=tuple(columns), rates=tuple(rates), ratios=tuple(ratios))


def _rates(files: Sequence[TrialFile], groups: Groups, threshold: str, rate: WhichRate) -> dict[str, evaluation.Rate]:
    """Return a rate of each group over the trials of a row that have the threshold."""
    tallies: dict[str, list[evaluation.Tally]] = {name: [] for name in groups.names}
    for record in (record for file in files for record in file.groups):
        if record.column == groups.column and threshold in record.accepted:
            tallies[record.group].append(_tally(record))
    aim = None if threshold == BEST else float(threshold)
    return {
        name: evaluation.fmr(given, threshold, aim) if rate == "fmr" else evaluation.fnmr(given, threshold)
        for name, given in tallies.items()
        if given
    }


def _tally(record: TallyRecord) -> evaluation.Tally:
    return evaluation.Tally(
        np.array(record.people, np.int64),
        np.array(record.similar, np.float64),
        np.array(record.different, np.float64),
        {name: np.array(weights, np.float64) for name, weights in record.rejected.items()},
        {name: np.array(weights, np.float64) for name, weights in record.accepted.items()},
        record.pairs_of_people,
    )


def _rate_record(
    trial: TrialFile, column: str, threshold: str, rate: WhichRate, group: str, measured: evaluation.Rate
) -> GroupRateRecord:
    return GroupRateRecord(
        label=trial.label,
        kind=trial.kind,
        column=column,
        group=group,
        threshold=threshold,
        rate=rate,
        people=len(measured.people),
        value=measured.value,
        ci95=measured.ci95,
        refused=measured.refused or None,
    )


def _ratio_record(
    trial: TrialFile, column: str, threshold: str, rate: WhichRate, of_groups: Mapping[str, evaluation.Rate]
) -> list[GroupRatioRecord]:
    ratio = evaluation.worst_over_best(of_groups)
    if ratio is None:
        return []
    return [
        GroupRatioRecord(
            label=trial.label,
            kind=trial.kind,
            column=column,
            threshold=threshold,
            rate=rate,
            worst=ratio.worst,
            best=ratio.best,
            value=ratio.value,
            ci95=ratio.ci95,
        )
    ]
