"""What every executor has to keep."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from faceexp.contract import Executor, ExecutorPlugin, Jobs, Needs
from faceexp.testing.plugin import PluginContract

# Seconds within which a small job ends, on a busy machine whose cluster has yet to start.
PATIENCE = 120.0


@dataclass(frozen=True)
class Made:
    """What jobs of the suite call: like what a run sends, it can be pickled, and so is what it returns.

    Attributes:
        folder: Which every place has.
    """

    folder: Path

    def __call__(self, job: tuple[str, float]) -> tuple[str, int]:
        """Do what a job says, its first part, and return it with the number of the process.

        The second part is how many seconds it takes.
        """
        name, seconds = job
        (self.folder / f"begun-{name}").touch()
        if name.startswith("raises"):
            raise ValueError(f"{name} was made to fail")
        time.sleep(seconds)
        (self.folder / f"ended-{name}").touch()
        return name, os.getpid()


class ExecutorContract(PluginContract):
    """What every executor has to keep; the subclass gives a fixture ``plugin``.

    Jobs do next to nothing. What they call can be pickled, so they may run in any process and on any machine that has
    faceexp and the folder of the test.
    """

    def test_each_job_gets_what_its_call_returns(self, plugin: ExecutorPlugin, tmp_path: Path) -> None:
        """Submit several jobs at once: each future has the result of its own job."""
        with opened(plugin, tmp_path) as executor:
            futures = executor.submit([(name, 0.0) for name in "abc"])
            assert len(futures) == 3, f"submit gives {len(futures)} futures for 3 jobs"
            assert [future.result(PATIENCE)[0] for future in futures] == list("abc")

    def test_more_jobs_follow(self, plugin: ExecutorPlugin, tmp_path: Path) -> None:
        """Submit jobs while others run, as a run does after each phase 1; and once none runs any more."""
        with opened(plugin, tmp_path) as executor:
            slow = executor.submit([("slow", 1.0)])
            quick = executor.submit([("quick", 0.0), ("quicker", 0.0)])
            assert [future.result(PATIENCE)[0] for future in (*quick, *slow)] == ["quick", "quicker", "slow"]
            assert executor.submit([("last", 0.0)])[0].result(PATIENCE)[0] == "last"

    def test_submit_returns_at_once(self, plugin: ExecutorPlugin, tmp_path: Path) -> None:
        """Submit a job that takes long: its future is not done when it is returned."""
        with opened(plugin, tmp_path) as executor:
            (future,) = executor.submit([("long", 2.0)])
            assert not future.done(), "submit waits until its jobs have ended"
            assert future.result(PATIENCE)[0] == "long"

    def test_an_error_costs_its_own_job(self, plugin: ExecutorPlugin, tmp_path: Path) -> None:
        """Let a job raise an error: its future has an error that says so, and the others have their results."""
        with opened(plugin, tmp_path) as executor:
            futures = executor.submit([("well", 0.0), ("raises", 0.0), ("also well", 0.0)])
            with pytest.raises(Exception, match="was made to fail"):
                futures[1].result(PATIENCE)
            assert [futures[place].result(PATIENCE)[0] for place in (0, 2)] == ["well", "also well"]

    def test_may_be_closed_while_jobs_wait(self, plugin: ExecutorPlugin, tmp_path: Path) -> None:
        """Close it while more jobs wait than could run: it does not wait for all of them."""
        with opened(plugin, tmp_path) as executor:
            futures = executor.submit([(f"waits-{number}", 1.0) for number in range(200)])
            futures[0].result(PATIENCE)
        # What it has sent out already may still begin; soon after, nothing does any more.
        time.sleep(3.0)
        begun = len([*tmp_path.glob("begun-*")])
        time.sleep(3.0)
        assert len([*tmp_path.glob("begun-*")]) == begun < 200, "jobs begin after it was closed"

    def test_may_be_closed_without_any_job(self, plugin: ExecutorPlugin, tmp_path: Path) -> None:
        """Open it and close it, as where everything is in the store."""
        with opened(plugin, tmp_path):
            pass

    def test_opens_again(self, plugin: ExecutorPlugin, tmp_path: Path) -> None:
        """Open it twice, one after the other, as a search and then its comparison do."""
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            with opened(plugin, tmp_path / name) as executor:
                assert executor.submit([(name, 0.0)])[0].result(PATIENCE)[0] == name
            assert (tmp_path / name / f"ended-{name}").exists(), "it does the job of another run"


@contextlib.contextmanager
def opened(plugin: ExecutorPlugin, folder: Path) -> Iterator[Executor]:
    """Open an executor whose jobs need one core, and close it."""
    executor = plugin.open(Jobs("made", folder / "logs", Needs(), Made(folder)))
    assert isinstance(executor, Executor), f"open gives a {type(executor).__name__}, not an Executor"
    with contextlib.closing(executor):
        yield executor
