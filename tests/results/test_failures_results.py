"""Error rates with what was lost, in the records of a run, against arithmetic by hand."""

from __future__ import annotations

from statistics import fmean
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from faceexp.data.lost import Lost
from faceexp.data.splits import Split
from faceexp.data.templates import Templates
from faceexp.results.collect import split_records
from faceexp.results.failures import acquisition_of, failures_record
from faceexp.results.schema import TrialFile
from faceexp.values import Plan

LABELS = np.repeat(np.arange(6, dtype=np.int32), 5)
# Two of person 4's images are lost, one of person 0's, and all four of somebody who therefore takes no part.
LOST = Lost(np.array([4, 4, 0, -1, -1, -1, -1]), people=1)


def split_of(seed, tested):
    people = (LABELS < 2, np.isin(LABELS, [2, 3]), np.isin(LABELS, tested))
    return Split(seed, 0, *map(np.flatnonzero, people))


SPLITS = (split_of(0, [4, 5]), split_of(1, [0, 5]))


def plan_of(lost, kind="open_set"):
    resolved = SimpleNamespace(experiment=SimpleNamespace(protocol=SimpleNamespace(kind=kind)))
    made: Any = SimpleNamespace(
        labels=LABELS,
        splits=SPLITS,
        lost=lost,
        resolved=resolved,
        data=SimpleNamespace(fingerprint="made"),
        templates=None,
    )
    return cast("Plan", made)


def trial(label, seed, far, tar, **rest):
    content = {"id": f"{label}-{seed}", "label": label, "kind": "loss", "seed": seed, "fold": 0, "status": "ok"}
    return TrialFile.model_validate(
        content | {"calibration": {"threshold": 1.0, "test_far": far, "test_tar": tar}} | rest
    )


TRIALS = [trial("a", 0, 0.10, 0.80), trial("a", 1, 0.20, 0.70), trial("b", 0, 0.0, 1.0), trial("b", 1, None, None)]
FTA = [(2 + 4 / 3) / (10 + 2 + 4 / 3), (1 + 4 / 3) / (10 + 1 + 4 / 3)]


def test_every_row_has_its_rates_without_and_with_what_was_lost():
    record = failures_record(plan_of(LOST), TRIALS, 0.0, average_seeds=False)
    assert record is not None
    assert (record.images, record.people) == (7, 1)
    assert record.fta == pytest.approx(fmean(FTA))
    assert record.fte == pytest.approx(1 / 7)
    a, b = record.rates
    assert (a.label, b.label) == ("a", "b")
    assert [a.fmr.mean, a.fnmr.mean] == pytest.approx([0.15, 0.25])
    assert a.frr.mean == pytest.approx(
        fmean(lost + wrong * (1 - lost) for lost, wrong in zip(FTA, (0.2, 0.3), strict=True))
    )
    assert a.far.mean == pytest.approx(fmean(wrong * (1 - lost) for lost, wrong in zip(FTA, (0.1, 0.2), strict=True)))
    low, high = a.frr.ci95 or (0.0, 0.0)
    assert 0 <= low < (a.frr.mean or 0) < high <= 1
    # Whoever loses no pair that was compared is still wrong where nothing could be compared.
    assert (b.fnmr.mean, b.fnmr.ci95) == (0, None)
    assert b.frr.mean == pytest.approx(FTA[0])


def test_a_trial_that_failed_has_no_rates():
    failed = trial("c", 0, None, None, status="failed", calibration=None)
    record = failures_record(plan_of(LOST), [*TRIALS, failed], 0.0, average_seeds=False)
    assert record is not None
    assert [row.label for row in record.rates] == ["a", "b"]


def test_a_template_is_not_lost_with_an_image():
    """So what is lost is counted, but no rates of attempts follow from it."""
    plan: Any = plan_of(LOST)
    plan.templates = Templates("template", np.arange(len(LABELS)))
    record = failures_record(plan, TRIALS, 0.0, average_seeds=False)
    assert record is not None
    assert (record.images, record.rates) == (7, ())
    assert record.fta == pytest.approx(fmean(FTA))


def test_where_nothing_is_lost_nothing_is_said():
    whole = plan_of(None)
    assert failures_record(whole, TRIALS, 0.0, average_seeds=False) is None
    assert acquisition_of(whole, SPLITS[0]) is None
    assert [part.acquisition for part in split_records(whole, SPLITS)] == [None, None]


def test_the_parts_of_a_run_say_what_they_have_lost():
    parts = split_records(plan_of(LOST), SPLITS)
    assert [part.acquisition.fta for part in parts if part.acquisition] == pytest.approx(FTA)
    # In a closed set, images have no part.
    parts = split_records(plan_of(LOST, "closed_set"), SPLITS)
    assert [part.acquisition.fta for part in parts if part.acquisition] == pytest.approx([7 / 37] * 2)
