"""Trials where an executor runs them: the same results, what waits for what, and what a lost place costs."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import faceexp
from faceexp.contract import Executor, ExecutorPlugin, Jobs, LostError
from faceexp.engine import place as places
from faceexp.engine.elsewhere import MOST_LOSSES
from faceexp.engine.failures import failed
from faceexp.engine.place import Outcome, Sent
from faceexp.engine.rehearsal import Rehearsed
from faceexp.engine.training import train
from faceexp.errors import InputError, Problem
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.experiment.executor import ExecutorRef
from faceexp.experiment.table import PluginRef
from faceexp.store import Store, StoreError
from faceexp.values import Event, Note, Noted, TrainedTrial, Trial

Tasks = tuple[Any, ...]
# What is done with a job in the place of its call, by the number of the job: it may raise an error.
Answer = Callable[[Sent, Tasks, int], Outcome]


class Made(ExecutorPlugin):
    """An executor of the tests."""

    def open(self, jobs):
        raise NotImplementedError


def calling(sent: Sent, tasks: Tasks, number: int) -> Outcome:
    return sent(tasks)


def pretending(sent: Sent, tasks: Tasks, number: int) -> Outcome:
    """Say that all went well; nothing is trained."""
    plan = sent.work.plan
    done = [failed(each, plan, "pretended") if isinstance(each, Trial) else Rehearsed(each) for each in tasks]
    return Outcome(tuple(done))


class Threads(Executor):
    """Two threads that answer jobs."""

    def __init__(self, jobs: Jobs, answer: Answer) -> None:
        self.jobs, self.answer = jobs, answer
        self.threads = ThreadPoolExecutor(2)
        self.batches: list[list[Tasks]] = []
        self.is_closed = False
        jobs.folder.mkdir()

    def submit(self, jobs):
        begun = sum(map(len, self.batches))
        self.batches.append([*jobs])
        numbered = enumerate(jobs, begun)
        return [self.threads.submit(self.answer, self.jobs.call, job, number) for number, job in numbered]

    def close(self):
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.is_closed = True


@pytest.fixture
def study(tmp_path, small_spec, face_folder):
    file = tmp_path / "x.toml"
    file.write_text(small_spec("elsewhere", face_folder, "npairs", "supcon"), encoding="utf-8")
    return faceexp.load(file)


@pytest.fixture
def plan(study, tmp_path):
    return study.plan(Store(tmp_path / "plan"))


@pytest.fixture
def elsewhere(plan, tmp_path, chosen, monkeypatch):
    """``elsewhere(answer, cpus=1)``: what comes of all trials, what was told, and the executor."""

    def run(answer: Answer, refuses: Exception | None = None, **settings: Any):
        opened: list[Threads] = []

        def open_it(self: Made, jobs: Jobs) -> Executor:
            if refuses is not None:
                raise refuses
            opened.append(Threads(jobs, answer))
            return opened[-1]

        monkeypatch.setattr(Made, "open", open_it)
        experiment = plan.resolved.experiment.model_copy(update={"executor": ExecutorRef(plugin="made", **settings)})
        resolved = dataclasses.replace(plan.resolved, executor=chosen("made", Made()), experiment=experiment)
        sent, heard = dataclasses.replace(plan, resolved=resolved), list[Event]()
        done: dict[str, TrainedTrial] = {}
        for each in train(sent, Store(tmp_path / "store", "an-experiment"), ValidationAuc(), heard.append, None):
            assert each.trial.id not in done, "a trial came twice"
            done[each.trial.id] = each
        return done, heard, opened[0] if opened else None

    return run


def told(heard) -> list[str]:
    return [event.note.text for event in heard if isinstance(event, Noted)]


def ends_of(done) -> set[str]:
    """Return how trials ended; pixels need no training, so that nobody asks an executor for them."""
    return {each.reason for each in done.values() if each.trial.label != "raw pixels"}


def names(batch: list[Tasks]) -> list[list[str]]:
    return [[task.id if isinstance(task, Trial) else "rehearsal" for task in job] for job in batch]


def test_the_same_numbers_as_in_processes_of_this_machine(plan, elsewhere, tmp_path):
    """The threads are the same, one for each trial, so the bits are."""
    there, heard, executor = elsewhere(calling, cpus=1)
    here = {done.trial.id: done for done in train(plan, Store(tmp_path / "here"), ValidationAuc(), heard.append, 2)}
    assert there.keys() == here.keys() == {trial.id for trial in plan.trials}
    for name, done in there.items():
        assert (done.status, done.reason, done.curve) == (here[name].status, here[name].reason, here[name].curve)
        assert done.status == "ok"
        for part, embeddings in done.embeddings.items():
            np.testing.assert_array_equal(embeddings, here[name].embeddings[part])
    assert executor.is_closed
    assert multiprocessing.active_children() == []
    assert not (tmp_path / "store" / "jobs").exists(), "where nothing was lost, nobody needs logs"


def test_what_is_finished_needs_no_executor(elsewhere, tmp_path):
    elsewhere(calling)
    again, _, executor = elsewhere(lambda *_: pytest.fail("a job ran"))
    assert executor is None
    assert {each.status for each in again.values()} == {"ok"}


def test_phase_1_of_all_seeds_comes_first_and_the_losses_of_a_seed_wait_for_it(plan, elsewhere):
    """The phase-1 embedding is the first row that needs it; pixels wait for nothing."""
    done, heard, executor = elsewhere(pretending)
    counted = [(event.done, event.total) for event in heard if event.stage == "jobs"]
    total = sum(trial.label != "raw pixels" for trial in plan.trials)
    assert counted == [(number, total) for number in range(total + 1)]
    rehearsals, first, *then = map(names, executor.batches)
    assert rehearsals == [["rehearsal"] * 3]  # the trunk and two losses
    seeds = plan.resolved.experiment.seeds
    assert {job[0] for job in first} >= {f"phase-1-embedding-s{seed}-f0" for seed in seeds}
    assert not {job[0] for job in first} & {f"{loss}-s{seed}-f0" for loss in ("npairs", "supcon") for seed in seeds}
    following = [name for batch in then for job in batch for name in job]
    assert sorted(following) == [f"{loss}-s{seed}-f0" for loss in ("npairs", "supcon") for seed in seeds]
    assert len(done) == len(plan.trials)


def test_several_trials_of_a_seed_may_be_one_job(elsewhere):
    _, _, executor = elsewhere(pretending, trials_per_job=2)
    sizes = sorted(len(job) for batch in executor.batches[2:] for job in batch)
    assert sizes == [2, 2]


def test_a_job_has_time_for_each_of_its_trials(elsewhere):
    _, _, executor = elsewhere(pretending, trials_per_job=3, minutes=10, cpus=4, gpus=1, memory=8)
    needs = executor.jobs.needs
    assert (needs.minutes, needs.cpus, needs.gpus, needs.memory) == (30, 4, 1, 8)
    assert executor.jobs.call.threads == 4


def test_a_lost_place_costs_only_time(plan, elsewhere, tmp_path):
    """Every job but those of rehearsals is lost once, and its trials run again, each in a job of its own."""
    lost = set[str]()

    def losing(sent, tasks, number):
        if isinstance(tasks[0], Trial) and not {task.id for task in tasks} <= lost:
            lost.update(task.id for task in tasks)
            raise LostError("the node has gone")
        return pretending(sent, tasks, number)

    done, heard, executor = elsewhere(losing, trials_per_job=2)
    assert ends_of(done) == {"pretended"}
    assert done.keys() == {trial.id for trial in plan.trials}
    texts = told(heard)
    assert "executor 'made': a job was lost (the node has gone); it runs again: npairs, supcon" in texts
    retried = [job for batch in executor.batches[1:] for job in batch if len(job) == 1]
    assert len(retried) >= len(plan.trials)
    # Its logs may say why.
    assert executor.jobs.folder.is_dir()


def test_a_trial_whose_place_is_always_lost_fails_and_the_others_go_on(plan, elsewhere):
    """It is the phase-1 embedding of one seed, for which the losses of this seed wait: they run all the same."""
    tried = []

    def losing(sent, tasks, number):
        if isinstance(tasks[0], Trial) and tasks[0].id == "phase-1-embedding-s1-f0":
            tried.append(number)
            raise LostError("killed")
        return pretending(sent, tasks, number)

    done, _, _ = elsewhere(losing)
    assert len(tried) == MOST_LOSSES
    assert done["phase-1-embedding-s1-f0"].reason == "the place where it ran was lost 3 times: killed"
    del done["phase-1-embedding-s1-f0"]
    assert ends_of(done) == {"pretended"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda *_: Outcome(unfit="node7: numpy is 1.0"), "node7: numpy is 1.0"),
        (lambda *_: "done", "a job gives a str, not what its call has returned"),
        (lambda *_: 1 / 0, "a job failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_no_other_place_would_mend_ends_the_run(elsewhere, answer, message):
    with pytest.raises(InputError) as caught:
        elsewhere(answer)
    assert [str(problem) for problem in caught.value.problems] == [f"executor 'made': {message}"]


def test_a_store_that_a_place_cannot_use_ends_the_run(elsewhere):
    with pytest.raises(StoreError, match="full"):
        elsewhere(lambda *_: Outcome(broken_store=StoreError(Problem("the disk is full"))))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError(Problem("no cluster answers")), "no cluster answers"),
        (RuntimeError("broken\nat many lines"), "RuntimeError: broken at many lines"),
    ],
)
def test_an_executor_that_cannot_be_opened_is_named(elsewhere, error, message):
    with pytest.raises(InputError) as caught:
        elsewhere(calling, refuses=error)
    assert [str(problem) for problem in caught.value.problems] == [f"executor 'made': {message}"]


def test_notes_of_a_place_are_told(elsewhere):
    def noting(sent, tasks, number):
        outcome = pretending(sent, tasks, number)
        return dataclasses.replace(outcome, notes=(Noted("note", 1, 1, note=Note("phase1", f"job {number}")),))

    _, heard, _ = elsewhere(noting)
    assert "job 0" in told(heard)


def sent_of(plan, folder, **changed) -> Sent:
    from faceexp.engine.backend import software
    from faceexp.engine.trials import alone
    from faceexp.engine.worker import Work

    work = Work.of(plan, Store(folder), ValidationAuc())
    folder.mkdir(exist_ok=True)
    return dataclasses.replace(
        Sent("a-run", folder, work, alone, 1, None, software(), places.digests(plan.resolved)), **changed
    )


def test_a_place_says_why_it_is_unfit(plan, tmp_path):
    """Trials there would fail, or they would be others than those that the run asks for."""
    sent = sent_of(plan, tmp_path / "store")
    others = {
        "faceexp (its code) is another one": {"software": sent.software | {"engine": "other"}},
        "tensorflow is ": {"software": sent.software | {"tensorflow": "1.0"}},
        "the loss 'npairs' has other code": {"plugins": sent.plugins | {("loss", "npairs"): "other"}},
        "the loss 'nowhere' is not installed": {"plugins": {("loss", "nowhere"): "any"}},
        f"the store {tmp_path / 'store'} is not there": {"folder": tmp_path / "not mounted"},
    }
    for reason, changed in others.items():
        outcome = dataclasses.replace(sent, **changed)((plan.trials[0],))
        assert not outcome.done
        assert reason in outcome.unfit


def test_an_executor_gets_no_options_of_trackers(plan, chosen, tmp_path):
    """They may be addresses with passwords; nor does a place need the packages of these."""
    tables = {"trackers": (PluginRef(plugin="made"),), "executor": ExecutorRef(plugin="made")}
    resolved = dataclasses.replace(
        plan.resolved,
        experiment=plan.resolved.experiment.model_copy(update=tables),
        trackers=(chosen("made", Made()),),
        executor=chosen("made", Made()),
    )
    work = sent_of(dataclasses.replace(plan, resolved=resolved), tmp_path / "store").work
    assert work.plan.resolved.trackers == ()
    assert work.plan.resolved.executor is None
    assert (work.plan.resolved.experiment.trackers, work.plan.resolved.experiment.executor) == ((), None)


def test_other_gpus_need_another_worker(plan, tmp_path, monkeypatch):
    sent = sent_of(plan, tmp_path / "store")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    first = places._crews.begin(sent)
    assert places._crews.waiting(sent) is first
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert places._crews.waiting(sent) is None
    second = places._crews.begin(sent)
    assert first.is_closed
    assert not second.is_closed
    sent.end()
    assert second.is_closed
    with pytest.raises(RuntimeError, match="ended"):
        places._crews.begin(sent)
