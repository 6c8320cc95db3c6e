"""A search that is killed at any moment, or that two processes carry on at once, ends with exactly its trials."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from faceexp import pipeline

TRIALS = 20
RANGES = (
    ("[finetune]\n", f"[search]\ntrials = {TRIALS}\nseeds = [100]\nsuggested = false\n[finetune]\n"),
    ("steps = 10\n", "steps = 10\nlearning_rate = { low = 1e-4, high = 1e-1, log = true }\n"),
    ("seeds = [0, 1]", "seeds = [0]"),
    ("validate_every = 5", "validate_every = 10"),
)


@pytest.fixture
def search_spec(spec):
    return spec(*RANGES)


def search_of(folder):
    """What the results say of the search: everything that was tried, and what was chosen."""
    (results,) = folder.rglob("results.json")
    return json.loads(results.read_text(encoding="utf-8"))["search"]


def ended(place):
    """How many trials the journals have that ended: lines that set a state which is final."""
    total = 0
    for journal in place.glob("store/search/*/journal.log"):
        for line in journal.read_bytes().split(b"\n"):
            total += line.count(b'"outcome"')
    return total


def test_a_search_that_is_killed_three_times_has_the_same_trials_and_the_same_best(
    search_spec, begin, until, chance, tmp_path, tell
):
    """Two losses of twenty trials each. Where it is killed is a matter of chance, the same in every session."""
    pipeline.load(search_spec).run(tmp_path / "whole" / "runs", store=tmp_path / "whole" / "store")
    whole = search_of(tmp_path / "whole")
    place = tmp_path / "killed"
    arguments = ("run", search_spec, "--store", place / "store", "--out", place / "runs")
    met = []
    for step, after in enumerate((3, 16, 30)):
        command = begin(*arguments)

        def has_come_far(command=command, after=after):
            return ended(place) >= after or command.process.poll() is not None

        assert until(has_come_far)
        time.sleep(chance("search", step).random() / 5)
        met.append((command.process.poll() is None, ended(place)))
        command.send(signal.SIGKILL)
        command.wait()
        assert "Traceback" not in command.said()
        assert until(lambda command=command: not command.processes())
    assert all(was_running for was_running, _ in met), met
    pipeline.load(search_spec).run(place / "runs", store=place / "store")
    search = search_of(place)
    assert [len(loss["trials"]) for loss in search["losses"]] == [TRIALS, TRIALS]
    assert search == whole
    tell("searches killed after trials", [trials for _, trials in met])


def test_two_processes_at_once_have_the_trials_of_one(search_spec, begin, tmp_path):
    place = tmp_path / "both"
    commands = [begin("run", search_spec, "--store", place / "store", "--out", place / f"runs{n}") for n in (1, 2)]
    assert [command.wait() for command in commands] == [0, 0], [command.said() for command in commands]
    first, second = (search_of(place / f"runs{n}") for n in (1, 2))
    assert first == second
    assert [len(loss["trials"]) for loss in first["losses"]] == [TRIALS, TRIALS]
    # Each training was made once: the second process has waited, and found what the first one did.
    assert len(list(place.glob("store/searched/*/manifest.json"))) <= 2 * TRIALS
    assert ended(place) == 2 * TRIALS


def test_clearing_the_store_in_the_middle_of_a_search_costs_nothing_but_time(search_spec, begin, until, tmp_path, form):
    pipeline.load(search_spec).run(tmp_path / "whole" / "runs", store=tmp_path / "whole" / "store")
    place = tmp_path / "cleared"
    command = begin("run", search_spec, "--store", place / "store", "--out", place / "runs")
    for after in (4, 20):
        assert until(lambda after=after: ended(place) >= after or command.process.poll() is not None)
        assert command.process.poll() is None
        cleared = subprocess.run(
            [sys.executable, "-m", "faceexp", "cache", "--clear", "--store", place / "store"],
            capture_output=True,
            check=False,
        )
        assert cleared.returncode == 0, cleared.stderr.decode()
    assert command.wait() == 0, command.said()
    assert search_of(place) == search_of(tmp_path / "whole")


def test_a_full_disk_ends_a_search_with_one_line_and_room_lets_it_go_on(search_spec, begin, tmp_path):
    """A file that may not grow (``ulimit -f``) is as a full disk; the journal grows with every trial."""
    import resource

    pipeline.load(search_spec).run(tmp_path / "whole" / "runs", store=tmp_path / "whole" / "store")
    place = tmp_path / "full"
    arguments = ("run", search_spec, "--store", place / "store", "--out", place / "runs")
    command = begin(*arguments)
    # Features and images of these data are smaller than that, and so is a network; the journal of 20 trials is larger.
    limit = 20 * 1024
    resource.prlimit(command.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert command.wait() == 2, command.said()
    assert "Traceback" not in command.said()
    assert "cannot be used: File too large" in command.said().splitlines()[-1]
    pipeline.load(search_spec).run(place / "runs", store=place / "store")
    assert search_of(place) == search_of(tmp_path / "whole")
