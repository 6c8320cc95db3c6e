"""What a run will take: measured where it was measured, and otherwise said to be a rule of thumb."""

from __future__ import annotations

import pytest

import faceexp
from faceexp.engine import training, trials
from faceexp.engine.backend import versions
from faceexp.engine.finished import MissingError
from faceexp.experiment.schema import Finetune, PluginRef
from faceexp.results import outlook as outlook_module
from faceexp.results.measure import measure
from faceexp.results.outlook import COMPILE, START, TRIAL, outlook
from faceexp.store import Store
from faceexp.values import TrainedTrial


@pytest.fixture
def plan(planned, tmp_path):
    """Two losses on three folds of two seeds, with raw pixels and phase 1."""

    def build(**tables):
        losses = {name: faceexp.plugin("loss", name) for name in ("contrastive", "npairs")}
        tables = {"seeds": (0, 1), "baselines": ("pixels", "phase1"), **tables}
        return planned(tmp_path / "store", losses, **tables)

    return build


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def finished(monkeypatch, is_done, seconds):
    """Let some trials lie in the store, with the times that they took."""

    class Known(trials.Engine):
        def run(self, trial):
            if not is_done(trial):
                raise MissingError
            return TrainedTrial(trial, self.plan.splits[0], "ok", seconds=seconds)

    monkeypatch.setattr(training, "Engine", Known)
    monkeypatch.setattr(outlook_module, "measure", lambda trained, plan, store: trained)


def test_a_run_that_is_new_is_estimated_by_the_rule(plan, store):
    expected = outlook(plan(), store, 1)
    assert (expected.trials, expected.finished, expected.rows) == (
        8,
        0,
        4,
    )  # raw pixels take no training, but they were not measured
    assert expected.basis == "rule of thumb"
    # To start, to compile two losses, to measure eight trials, and hardly any training.
    assert 17 / 60 < expected.minutes < 25 / 60
    assert 0 < expected.megabytes < 5


def test_a_run_that_is_finished_takes_nothing(plan, store, monkeypatch):
    finished(monkeypatch, lambda trial: True, {"pretrain": 1.0, "features": 0.0, "finetune": 1.0})
    expected = outlook(plan(), store, 1)
    assert (expected.finished, expected.minutes, expected.megabytes) == (8, 0, 0)
    assert expected.basis == "nothing left to do"


def test_one_more_seed_takes_as_long_as_those_before(plan, store, monkeypatch):
    """Phase 1 took 100 seconds and phase 2 of each loss 50: for one more seed that is 200, and what is done once."""
    finished(monkeypatch, lambda trial: trial.seed == 0, {"pretrain": 90.0, "features": 10.0, "finetune": 50.0})
    expected = outlook(plan(), store, 1)
    assert expected.basis == "times of this experiment in the store"
    assert expected.finished == 4  # the baselines count, as they do in the run
    assert expected.minutes == pytest.approx((200 + START + 2 * COMPILE + 4 * TRIAL) / 60)


def test_one_more_loss_needs_no_phase_1(plan, store, monkeypatch):
    finished(monkeypatch, lambda trial: trial.label != "npairs", {"pretrain": 900.0, "features": 0.0, "finetune": 50.0})
    assert outlook(plan(), store, 1).minutes == pytest.approx((2 * 50 + START + COMPILE + 2 * TRIAL) / 60)


def test_steps_count(plan, store, monkeypatch):
    """A loss with ten times the steps takes ten times as long."""
    sampler = PluginRef(plugin="balanced", options={"classes_per_batch": 4, "images_per_class": 2})
    longer = {"npairs": {"finetune": Finetune(sampler=sampler, steps=100, validate_every=5)}}
    finished(monkeypatch, lambda trial: trial.label != "npairs", {"pretrain": 0.0, "features": 0.0, "finetune": 50.0})
    expected = outlook(plan(entries=longer), store, 1)
    assert expected.minutes == pytest.approx((2 * 500 + START + COMPILE + 2 * TRIAL) / 60)


def test_a_trunk_that_is_trained_in_phase_2_takes_far_longer(plan, store):
    sampler = PluginRef(plugin="balanced", options={"classes_per_batch": 4, "images_per_class": 2})
    slow, quick = (
        outlook(plan(finetune=Finetune(sampler=sampler, trainable=which, steps=100_000)), store, 1).minutes
        for which in ("all", "embedding")
    )
    assert slow > 1.5 * quick


def test_another_number_of_processes_is_other_work(plan, store, monkeypatch):
    """The number of threads of each process is part of every key."""
    seen = []

    class Asking(trials.Engine):
        def run(self, trial):
            seen.append(versions()["threads"])
            raise MissingError

    monkeypatch.setattr(training, "Engine", Asking)
    monkeypatch.setattr(training, "share", lambda jobs: 7)
    before = versions()["threads"]
    for jobs in (1, 2):
        outlook(plan(), store, jobs)
    assert seen == [before] * 8 + ["7"] * 8
    assert versions()["threads"] == before


def test_raw_pixels_are_finished_when_they_were_measured(plan, store):
    planned = plan(baselines=("pixels",), seeds=(0,))
    assert outlook(planned, store, 1).finished == 0
    engine = trials.Engine(planned, store, lambda *_: 0.0, lambda _: None)
    measure(engine.run(planned.trials[0]), planned, store)
    assert outlook(planned, store, 1).finished == 1
