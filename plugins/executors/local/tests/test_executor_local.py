import threading

import pytest
from faceexp_executor_local import Local

from faceexp.contract import Jobs, Needs
from faceexp.testing import ExecutorContract


class TestLocalContract(ExecutorContract):
    @pytest.fixture
    def plugin(self):
        return Local(processes=2)


def test_as_many_jobs_run_side_by_side_as_there_are_processes(tmp_path):
    """Each job waits for the other, so that neither would end alone; a third one waits for its turn."""
    both = threading.Barrier(2)

    def call(job):
        return both.wait(60) if job < 2 else job

    executor = Local(processes=2).open(Jobs("made", tmp_path / "logs", Needs(), call))
    first, second, third = executor.submit([0, 1, 2])
    assert {first.result(60), second.result(60)} == {0, 1}
    assert third.result(60) == 2
    executor.close()


def test_by_default_jobs_share_the_cores(tmp_path, monkeypatch):
    """On eight cores there is room for two jobs of three cores, and for one of twelve."""
    monkeypatch.setattr("faceexp_executor_local._cores", lambda: 8)
    numbers = []
    monkeypatch.setattr("faceexp_executor_local.Processes", lambda jobs, number: numbers.append(number))
    for cpus in (1, 3, 12):
        Local().open(Jobs("made", tmp_path / "logs", Needs(cpus=cpus), len))
    assert numbers == [8, 2, 1]
