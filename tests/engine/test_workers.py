"""Seeds side by side: the same results, in processes that may die without taking more than their trial along."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Generator

import numpy as np
import pytest

import faceexp
from faceexp.engine import worker, workers
from faceexp.engine.backend import THREADS, cores
from faceexp.engine.finished import FinishedWork
from faceexp.engine.rehearsal import Rehearsal, Rehearsed
from faceexp.engine.training import train, training
from faceexp.engine.trials import alone
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.store import Store
from faceexp.values import Event, Refused

MODULE = "a_loss_that_kills_its_process"
PLUGIN = '''\
"""A loss of the tests, in a module that processes can import."""

import os
import signal
from pathlib import Path
from typing import ClassVar

from faceexp.contract import LossPlugin


class Kills(LossPlugin):
    """Has its process killed, once, as a machine does that runs out of memory: when its first training begins."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        import tensorflow as tf  # noqa: F401 - the true one, before there is another

        rehearsed, killed = (Path(__file__).with_name(name) for name in ("rehearsed", "killed"))
        if not rehearsed.exists():
            rehearsed.touch()
        elif not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return lambda labels, embeddings: tf.reduce_mean(tf.square(embeddings))
'''


@pytest.fixture(scope="module")
def kills(tmp_path_factory, with_losses):
    """The folder of a loss that kills the process that builds it, unless that has happened already."""
    folder = tmp_path_factory.mktemp("plugin")
    with with_losses(folder, MODULE, PLUGIN, "Kills"):
        yield folder


@pytest.fixture
def study(tmp_path, small_spec, face_folder, kills):
    file = tmp_path / "x.toml"
    text = small_spec("train_in_processes", face_folder, "npairs", "kills", "supcon")
    file.write_text(text, encoding="utf-8")
    return faceexp.load(file)


@pytest.fixture
def plan(study, tmp_path):
    return study.plan(Store(tmp_path / "plan"))


def trained(plan, store, jobs, heard=None):
    """Return the trials by id, and everything that was heard, in order."""
    on_event = (lambda event: None) if heard is None else heard.append
    return {done.trial.id: done for done in train(plan, store, ValidationAuc(), on_event, jobs)}


def same(left, right):
    assert (left.status, left.reason, left.curve, left.budget) == (
        right.status,
        right.reason,
        right.curve,
        right.budget,
    )
    assert left.embeddings.keys() == right.embeddings.keys()
    for part in left.embeddings:
        np.testing.assert_array_equal(left.embeddings[part], right.embeddings[part])


def test_a_killed_process_costs_one_trial_and_the_next_run_makes_up_for_it(study, plan, kills, tmp_path):
    store = Store(tmp_path / "store")
    heard: list[Event] = []
    for mark in ("rehearsed", "killed"):
        (kills / mark).unlink(missing_ok=True)
    found = trained(plan, store, 2, heard)
    assert found.keys() == {trial.id for trial in plan.trials}
    (lost,) = [done for done in found.values() if done.status != "ok"]
    assert lost.trial.label == "kills"
    assert lost.reason == (
        "the process that ran it was killed by signal 9; it may have run out of memory: try fewer jobs"
    )
    # Both seeds reported: phase 1, and steps of each loss.
    assert {(event.stage, event.seed) for event in heard} >= {("pretrain", 0), ("pretrain", 1)}
    assert {(e.label, e.seed) for e in heard if e.stage == "finetune"} >= {("supcon", 0), ("supcon", 1), ("npairs", 0)}
    assert multiprocessing.active_children() == []

    again = trained(plan, store, 2)
    assert all(done.status == "ok" for done in again.values())
    for name, done in found.items():
        if done is not lost:
            same(again[name], done)
            assert done.trial.kind == "baseline" or "finetune" in again[name].reused
    assert "finetune" not in again[lost.trial.id].reused

    run = study.run(tmp_path / "runs", store=store.root, jobs=2)
    # Whoever ends first, what is written has the order of the plan.
    assert [trial.id for trial in run.trials] == [trial.id for trial in plan.trials]
    assert all(trial.kind == "baseline" or "finetune" in trial.reused for trial in run.trials)
    assert json.loads((run.folder / "environment.json").read_text())["jobs"] == 2


def test_a_search_does_not_train_a_loss_that_cannot_be_called(plan, kills, tmp_path):
    (kills / "rehearsed").touch()
    (kills / "killed").unlink(missing_ok=True)
    heard: list[Event] = []
    first, second = ([trial for trial in plan.trials if trial.loss and trial.seed == seed] for seed in (0, 1))
    searching = dataclasses.replace(plan, is_search=True)
    with training(searching, Store(tmp_path / "store"), ValidationAuc(), heard.append, 1) as train_groups:
        done = [*train_groups([first]), *train_groups([second])]
    (refused,) = (event for event in heard if isinstance(event, Refused))
    assert {(each.trial.label, each.status) for each in done} == {
        ("kills", "failed"),
        ("npairs", "ok"),
        ("supcon", "ok"),
    }
    assert [each.reason for each in done if each.trial.label == "kills"] == 2 * [refused.reason]
    assert refused.reason.startswith("loss 'kills': when it was called for the first time, ")
    assert [event.label for event in heard if event.stage == "finetune" and event.label == "kills"] == []


def test_a_process_that_is_killed_by_a_first_call_costs_the_row_of_that_loss(plan, kills, tmp_path):
    (kills / "rehearsed").touch()
    (kills / "killed").unlink(missing_ok=True)
    heard: list[Event] = []
    found = trained(plan, Store(tmp_path / "store"), 1, heard)
    assert {done.trial.label for done in found.values() if done.status != "ok"} == {"kills"}
    (refused,) = (event for event in heard if isinstance(event, Refused))
    assert refused.label == "kills"
    assert refused.reason.startswith("loss 'kills': when it was called for the first time, the process that ran it was")
    stages = [event.stage for event in heard]
    assert stages.index("refused") < stages.index("pretrain")
    calls = [(event.done, event.total) for event in heard if event.stage == "rehearsal"]
    assert calls == [(number, len(calls)) for number in range(1, len(calls) + 1)]
    losses = {done.trial.label for done in found.values() if done.trial.kind == "loss"}
    assert len(calls) == len(losses) + 1  # and the trunk


@pytest.mark.parametrize(
    ("minutes", "reason"),
    [
        (None, "it took more than 600 seconds"),
        (15, "it took more than 600 seconds"),
        (0.5, "it took more than 0.5 minutes, which limits.minutes_per_trial allows"),
    ],
)
def test_a_first_call_that_does_not_come_back_costs_the_row_of_that_loss(plan, tmp_path, monkeypatch, minutes, reason):
    here, there = multiprocessing.Pipe()
    loss = next(trial.loss for trial in plan.trials if trial.label == "kills")
    work = worker.Work.of(plan, Store(tmp_path), ValidationAuc())
    pool = workers.Pool(work, alone, None, minutes)
    late = object.__new__(worker.Worker)
    late.task, late.seconds = Rehearsal(loss), None if minutes is None else 60 * minutes
    late.connection, late.group, late.is_ready, late.deadline = here, deque(), True, 0.0
    monkeypatch.setattr(late, "end", lambda: None)
    pool.running = {here: late}
    (done,) = pool.messages()
    assert isinstance(done, Rehearsed)
    assert done.fault.startswith(f"loss 'kills': when it was called for the first time, {reason}; {MODULE}.py:")
    there.close()


def test_a_process_with_all_cores_computes_what_this_one_does(plan, kills, tmp_path):
    (kills / "killed").touch()
    here = trained(plan, Store(tmp_path / "here"), None)
    work = worker.Work.of(plan, Store(tmp_path / "there"), ValidationAuc())
    # What goes to a process is small: no images, no list of files.
    assert work.plan.images.size == 0
    assert len(work.plan.data.images) == 0
    none = None, alone, None, lambda event: None, lambda trials: ()
    with workers.crew(work, 1, *none, more_follows=False) as train_groups:
        there = list(train_groups([plan.trials]))
    # One group, one process: in order.
    assert [done.trial for done in there] == list(plan.trials)
    for done in there:
        same(here[done.trial.id], done)


def test_who_stops_listening_leaves_no_process_behind(plan, kills, tmp_path):
    (kills / "killed").touch()
    root = tmp_path / "store"
    trials = train(plan, Store(root), ValidationAuc(), lambda event: None, 2)
    assert isinstance(trials, Generator)
    # What needs no training is answered without processes.
    first = next(done for done in trials if done.trial.label != "raw pixels")
    assert first.status == "ok"
    assert len(multiprocessing.active_children()) == 2
    trials.close()
    assert multiprocessing.active_children() == []
    assert not list(root.glob("*/.*")), "what was half done is cleaned up"


def test_what_is_in_the_store_needs_no_process(plan, kills, tmp_path, monkeypatch):
    (kills / "killed").touch()
    store = Store(tmp_path / "store")
    here = trained(plan, store, 2)
    # More processes than seeds and folds are not started, so that these would be two, too.
    monkeypatch.setattr(workers.Pool, "hire", lambda *_: pytest.fail("a process was started"))
    for name, done in trained(plan, store, 8).items():
        same(here[name], done)


def test_an_interruption_while_the_store_is_looked_at_is_no_failed_trial(plan, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FinishedWork, "get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(train(plan, Store(tmp_path / "store"), ValidationAuc(), lambda event: None, 2))


def test_another_worker_goes_on_after_many_rows(plan, kills, tmp_path, monkeypatch):
    """TensorFlow keeps what it compiled for each of them."""
    (kills / "killed").touch()
    hired = []

    class Counted(worker.Worker):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            hired.append(self)

    monkeypatch.setattr(workers, "Worker", Counted)
    monkeypatch.setattr(workers, "MOST_STEPS", 2)
    alone = dataclasses.replace(plan, trials=tuple(trial for trial in plan.trials if trial.seed == 1))
    done = trained(alone, Store(tmp_path / "store"), 1)
    assert [trial.status for trial in done.values()] == ["ok"] * len(alone.trials)
    assert [len(one.steps) for one in hired] == [2, 2]  # phase 1 and three losses; pixels need no worker


def test_cores_are_divided(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 8)
    assert [workers.share(jobs) for jobs in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]


def test_threads_are_set_for_the_process_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv(THREADS, raising=False)
    with worker.limited_threads(3):
        assert os.environ[THREADS] == os.environ["OMP_NUM_THREADS"] == "3"
    assert THREADS not in os.environ
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_the_number_of_threads_is_part_of_what_determines_a_result(monkeypatch):
    from faceexp.engine import backend

    monkeypatch.setenv(THREADS, "3")
    assert backend.versions()["threads"] == "3"
    monkeypatch.setenv(THREADS, "")
    assert backend.versions()["threads"] == str(cores())
