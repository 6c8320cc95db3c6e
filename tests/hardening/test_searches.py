"""A search that is killed at any moment, or that two processes carry on at once, ends with exactly its trials."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from faceexp import pipeline

# Of each of two losses. Every training compiles a step of its own, which takes seconds.
TRIALS = {"short": 4, "full": 20}
# When it is killed: which share of the trials have ended.
MOMENTS = (0.1, 0.4, 0.75)


@pytest.fixture(scope="module")
def trials(form):
    return TRIALS[form.name]


@pytest.fixture(scope="module")
def search_spec(spec, trials):
    return spec(
        ("[finetune]\n", f"[search]\ntrials = {trials}\nseeds = [100]\nsuggested = false\n[finetune]\n"),
        ("steps = 10\n", "steps = 10\nlearning_rate = { low = 1e-4, high = 1e-1, log = true }\n"),
        ("seeds = [0, 1]", "seeds = [0]"),
        ("validate_every = 5", "validate_every = 10"),
    )


@pytest.fixture(scope="module")
def whole(search_spec, tmp_path_factory):
    """What a search finds that nobody disturbs."""
    place = tmp_path_factory.mktemp("whole")
    pipeline.load(search_spec).run(place / "runs", store=place / "store")
    return search_of(place)


def search_of(folder):
    """What the results say of the search: everything that was tried, and what was chosen."""
    (results,) = folder.rglob("results.json")
    return json.loads(results.read_text(encoding="utf-8"))["search"]


def ended(place):
    """How many trials the journals have that ended."""
    return sum(journal.read_bytes().count(b'"outcome"') for journal in place.glob("store/search/*/journal.log"))


def test_a_search_that_is_killed_three_times_has_the_same_trials_and_the_same_best(
    search_spec, whole, trials, begin, until, chance, tmp_path, tell
):
    """Forty trials of two losses in the full form. When exactly it is killed is chance, the same in every session."""
    place = tmp_path / "killed"
    arguments = ("run", search_spec, "--store", place / "store", "--out", place / "runs")
    met = []
    for step, after in enumerate(MOMENTS):
        command = begin(*arguments)

        def has_come_far(command=command, after=after):
            return ended(place) >= after * 2 * trials or command.process.poll() is not None

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
    assert [len(loss["trials"]) for loss in search["losses"]] == [trials, trials]
    assert search == whole
    tell("searches killed after trials", [number for _, number in met])


def test_two_processes_at_once_have_the_trials_of_one(search_spec, whole, trials, begin, tmp_path):
    place = tmp_path / "both"
    commands = [begin("run", search_spec, "--store", place / "store", "--out", place / f"runs{n}") for n in (1, 2)]
    assert [command.wait() for command in commands] == [0, 0], [command.said() for command in commands]
    first, second = (search_of(place / f"runs{n}") for n in (1, 2))
    assert first == second == whole
    assert [len(loss["trials"]) for loss in first["losses"]] == [trials, trials]
    # Each training was made once: the second process has waited, and found what the first one did.
    assert len(list(place.glob("store/searched/*/manifest.json"))) <= 2 * trials
    assert ended(place) == 2 * trials


def test_clearing_the_store_in_the_middle_of_a_search_costs_nothing_but_time(
    search_spec, whole, trials, begin, until, tmp_path
):
    place = tmp_path / "cleared"
    command = begin("run", search_spec, "--store", place / "store", "--out", place / "runs")
    for share in (0.2, 0.6):
        after = int(share * 2 * trials)
        assert until(lambda after=after: ended(place) >= after or command.process.poll() is not None)
        if share > 0.2 and command.process.poll() is not None:
            break  # the search has ended while the store was cleared for the first time
        assert command.process.poll() is None
        cleared = subprocess.run(
            [sys.executable, "-m", "faceexp", "cache", "--clear", "--store", place / "store"],
            capture_output=True,
            check=False,
        )
        assert cleared.returncode == 0, cleared.stderr.decode()
    assert command.wait() == 0, command.said()
    assert search_of(place) == whole
