"""Rates by group in the records of a run, against plain loops over the embeddings of its trials."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from faceexp.data.groups import Groups
from faceexp.data.splits import Split
from faceexp.experiment.evaluation import Evaluation
from faceexp.experiment.protocol import Protocol
from faceexp.results.group_records import BEST
from faceexp.results.groups import groups_record
from faceexp.results.jsonable import to_json
from faceexp.results.measure import measure
from faceexp.results.schema import TrialFile
from faceexp.store import Store
from faceexp.values import TrainedTrial, Trial

PEOPLE, IMAGES = 30, 5
LABELS = np.repeat(np.arange(PEOPLE), IMAGES)
SEX = Groups("sex", ("f", "m"), np.where(LABELS % 3 == 0, 0, 1), of_people=True)
# Of the images of each person one is of no camera.
CAMERA = Groups(
    "camera",
    ("a", "b"),
    np.arange(len(LABELS)) % IMAGES // 2 % 2 - (np.arange(len(LABELS)) % IMAGES == 4),
    of_people=False,
)


def split_of(seed):
    people = np.random.default_rng(seed).permutation(PEOPLE)
    parts = (np.flatnonzero(np.isin(LABELS, chosen)) for chosen in (people[:4], people[4:12], people[12:]))
    return Split(seed, 0, *parts)


SPLITS = tuple(split_of(seed) for seed in (0, 1))


def plan_of(*groups):
    names = tuple(f"person {number}" for number in range(PEOPLE))
    experiment = SimpleNamespace(evaluation=Evaluation(), protocol=Protocol(kind="open_set"))
    resolved = SimpleNamespace(experiment=experiment)
    return SimpleNamespace(
        labels=LABELS,
        identities=names,
        splits=SPLITS,
        images_key="made",
        data=SimpleNamespace(people_known=True),
        groups=groups,
        resolved=resolved,
        sets=(),
        templates=None,
    )


def trained(seed, label="a loss"):
    random = np.random.default_rng(7)
    rows = random.normal(size=(PEOPLE, 4))[LABELS] + 0.7 * random.normal(size=(len(LABELS), 4))
    split = SPLITS[seed]
    parts = {name: rows[getattr(split, name)].astype(np.float32) for name in ("validation", "test")}
    return TrainedTrial(Trial(f"x{seed}", label, "baseline", seed, 0), split, "ok", embeddings=parts, key=f"key {seed}")


def by_loops(files, groups, place):
    """FMR and FNMR in a group at the threshold of each trial: every person, and every pair of people, counts alike."""
    shares: dict[bool, list[float]] = {False: [], True: []}
    for seed, file in enumerate(files):
        made, split = trained(seed), SPLITS[seed]
        x, labels, group = made.embeddings["test"], LABELS[split.test], groups.group[split.test]
        errors: dict[tuple[int, int], list[bool]] = {}
        for i, j in itertools.combinations(np.flatnonzero(group == place), 2):
            accepted = math.dist(x[i], x[j]) <= file.threshold
            errors.setdefault((labels[i], labels[j]), []).append(accepted != (labels[i] == labels[j]))
        for (first, second), of_pair in errors.items():
            shares[first == second].append(float(np.mean(of_pair)))
    return np.mean(shares[False]), np.mean(shares[True])


def test_rates_of_all_trials_are_those_of_plain_loops():
    plan = plan_of(SEX, CAMERA)
    files = [measure(trained(seed), plan).trial for seed in (0, 1)]
    record = groups_record(plan.groups, files)
    assert record is not None
    assert [(column.column, column.groups, column.of_people) for column in record.columns] == [
        ("sex", ("f", "m"), True),
        ("camera", ("a", "b"), False),
    ]
    values = {(each.column, each.group, each.rate): each for each in record.rates if each.threshold == BEST}
    for groups in plan.groups:
        for place, name in enumerate(groups.names):
            fmr, fnmr = by_loops(files, groups, place)
            for rate, expected in (("fmr", fmr), ("fnmr", fnmr)):
                measured = values[groups.column, name, rate]
                if measured.refused:
                    assert (measured.value, measured.ci95) == (None, None)
                    continue
                assert measured.value == pytest.approx(expected, abs=1e-6)
                low, high = measured.ci95 or (math.nan, math.nan)
                assert low < expected < high
    assert not values["sex", "m", "fmr"].refused
    for ratio in record.ratios:
        of_groups = {
            each.group: each.value
            for each in record.rates
            if (each.column, each.threshold, each.rate) == (ratio.column, ratio.threshold, ratio.rate) and each.value
        }
        assert ratio.value == pytest.approx(max(of_groups.values()) / min(of_groups.values()))
        assert of_groups[ratio.worst] == max(of_groups.values())
    # The thresholds for false accept rates are those that validation could choose.
    aims = {aim for file in files for aim, value in file.calibration.thresholds.items() if value is not None}
    assert aims
    assert {each.threshold for each in record.rates} == {BEST, *aims}


def test_files_of_trials_hold_the_sums_and_those_without_groups_do_not(tmp_path):
    store = Store(tmp_path)
    asked = measure(trained(0), plan_of(SEX), store).trial
    again = measure(trained(0), plan_of(SEX), store).trial
    assert "evaluate" in again.reused
    assert TrialFile.model_validate_json(to_json(asked)).groups == again.groups
    assert [each.group for each in asked.groups] == ["f", "m"]
    plain = measure(trained(0), plan_of(), store).trial
    assert "groups" not in json.loads(to_json(plain))
    assert plain.metrics == asked.metrics
    # Other groups are measured anew, although all else is the same.
    other = dataclasses.replace(SEX, group=1 - SEX.group)
    assert measure(trained(0), plan_of(other), store).trial.groups[0].people == asked.groups[1].people
    assert groups_record((), [plain]) is None


def test_a_trial_that_failed_has_no_part_in_the_rates():
    plan = plan_of(SEX)
    well = measure(trained(0), plan).trial
    failed = measure(TrainedTrial(Trial("y", "a loss", "baseline", 1, 0), SPLITS[1], "failed", "why"), plan).trial
    assert groups_record(plan.groups, [well, failed]) == groups_record(plan.groups, [well])
    empty = groups_record(plan.groups, [failed])
    assert empty is not None
    assert (empty.rates, empty.ratios) == ((), ())
