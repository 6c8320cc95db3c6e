"""Which experiment used what, and which artefacts go when a store becomes too large."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import filelock
import pytest

from faceexp.errors import InputError
from faceexp.store import LOCKS, MARK, Store
from faceexp.store.uses import BEGINNING

SIZE = 100_000


def make(folder):
    (folder / "x").write_bytes(b"x" * SIZE)


@pytest.fixture
def store(tmp_path):
    """A store with four artefacts, of which number 0 was used last an hour ago, and each other one a minute later."""
    store = Store(tmp_path / "store")
    for number in range(4):
        artefact = store.get("thing", {"number": number}, make)
        hour_ago = (artefact.path / "manifest.json").stat().st_mtime - 3600 + 60 * number
        os.utime(artefact.path / "manifest.json", (hour_ago, hour_ago))
    return store


def numbers(store):
    """Which of the artefacts are there; nothing counts as used by looking."""
    manifests = (store.root / "thing").glob("*/manifest.json")
    return sorted(json.loads(file.read_text(encoding="utf-8"))["inputs"]["number"] for file in manifests)


def test_what_was_used_least_recently_goes_first(store):
    assert store.find("thing", {"number": 0}) is not None, "it is used now"
    removed, freed = store.prune(2 * SIZE + 10_000)
    assert (removed, numbers(store)) == (2, [0, 3])
    assert 2 * SIZE < freed < 2 * SIZE + 10_000
    assert store.prune(10**9) == (0, 0)
    assert store.prune(0)[0] == 2
    assert numbers(store) == []


def test_what_a_run_has_used_since_it_began_stays(store):
    with store.at_work():
        store.find("thing", {"number": 1})
        store.get("thing", {"number": 9}, make)
        assert store.prune(0)[0] == 3
        assert numbers(store) == [1, 9]
    assert not list((store.root / LOCKS).glob("run-*")), "a run that has ended leaves nothing"
    assert store.prune(0)[0] == 2


def test_a_run_does_not_begin_while_somebody_looks_who_is_at_work(store):
    """Whoever looks tries the locks of runs, and removes the files of those that nobody holds."""
    begun, end = threading.Event(), threading.Event()

    def work():
        with store.at_work():
            begun.set()
            end.wait()

    run = threading.Thread(target=work, daemon=True)
    with filelock.FileLock(store.root / LOCKS / BEGINNING):
        run.start()
        assert not begun.wait(0.3)
    begun.wait()
    assert len(list((store.root / LOCKS).glob("run-*"))) == 1
    end.set()
    run.join()


HOLD = """
import sys, time
from faceexp.store import Store
with Store(sys.argv[1]).at_work():
    print("begun", flush=True)
    time.sleep(600)
"""


def test_a_run_that_was_killed_holds_nothing(store):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    store.find("thing", {"number": 2})
    assert store.prune(0)[0] == 3
    process.kill()
    process.communicate()
    assert list((store.root / LOCKS).glob("run-*"))
    assert store.prune(0)[0] == 1
    assert not list((store.root / LOCKS).glob("run-*"))


def test_what_is_being_made_or_grows_stays(store):
    with store.growing("search", {"number": 0}):
        assert store.prune(0)[0] == 4
        assert store.grown("search", {"number": 0}) is not None
    assert store.prune(0)[0] == 1


def test_experiments_are_told_by_what_they_used(store):
    one, two = Store(store.root, "one-12345678"), Store(store.root, "two-12345678")
    one.get("thing", {"number": 7}, make)
    for each in (one, two, two):
        each.find("thing", {"number": 0})
    two.find("thing", {"number": 1})
    held = store.by_experiment()
    assert {name: number for name, (number, _) in held.items()} == {"one-12345678": 2, "two-12345678": 2, "": 2}
    assert all(number * SIZE < size < number * SIZE + 5_000 for number, size in held.values())
    store.prune(2 * SIZE + 10_000)
    assert set(store.by_experiment()) <= {"one-12345678", "two-12345678"}
    store.clear()
    assert store.by_experiment() == {}
    assert sorted(path.name for path in store.root.iterdir() if path.is_file()) == [MARK]


def test_the_limit_stays_with_the_store(store):
    assert store.limit is None
    store.set_limit(5_000)
    assert Store(store.root).limit == 5_000
    store.get("thing", {"number": 11}, make)
    assert store.limit == 5_000
    store.set_limit(None)
    assert store.limit is None


@pytest.mark.parametrize("text", ["[]", "{", '{"limit": "5"}', '{"limit": -1}', '{"limit": true}'])
def test_a_limit_that_is_none(store, text):
    (store.root / MARK).write_text(text, encoding="utf-8")
    assert store.limit is None


def test_a_folder_that_is_no_store_is_not_pruned(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    for touch in (lambda: Store(tmp_path).prune(0), lambda: Store(tmp_path).set_limit(5)):
        with pytest.raises(InputError, match="is not marked as a store"):
            touch()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
