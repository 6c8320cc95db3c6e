"""Artefacts are made once, whole, and found again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from faceexp.store import Store, digest


class Maker:
    """Writes two files, and counts how often."""

    def __init__(self, text="made"):
        self.times, self.text = 0, text

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(self.text, encoding="utf-8")
        (folder / "b.bin").write_bytes(bytes(range(256)))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def folders(store, kind="thing"):
    """Return everything in a kind's folder, temporary things too."""
    parent = store.root / kind
    return sorted(path.name for path in parent.iterdir()) if parent.is_dir() else []


def test_an_artefact_is_made_once(store):
    make = Maker()
    assert store.find("thing", {"a": 1}) is None
    first = store.get("thing", {"a": 1}, make)
    again = store.get("thing", {"a": 1}, make)
    found = store.find("thing", {"a": 1})
    assert make.times == 1
    assert (first.reused, again.reused) == (False, True)
    assert first.path == again.path == found.path
    assert first.key == again.key == digest({"a": 1})
    assert (first.path / "deep" / "a.txt").read_text(encoding="utf-8") == "made"
    assert folders(store) == [first.path.name]


def test_other_inputs_and_kinds_are_other_artefacts(store):
    make = Maker()
    paths = {
        store.get("thing", {"a": 1}, make).path,
        store.get("thing", {"a": 2}, make).path,
        store.get("other", {"a": 1}, make).path,
    }
    assert make.times == len(paths) == 3


def test_the_manifest_says_what_it_is(store):
    artefact = store.get("thing", {"seed": 3, "where": Path("x")}, Maker())
    manifest = json.loads((artefact.path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["kind"] == "thing"
    assert manifest["inputs"] == {"seed": 3, "where": "x"}
    assert sorted(manifest["files"]) == ["b.bin", "deep/a.txt"]
    # sha256 of bytes(range(256)), known elsewhere
    assert manifest["files"]["b.bin"] == "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_make_leaves_nothing(store, error):
    def fail(folder):
        (folder / "half").write_text("half", encoding="utf-8")
        raise error

    with pytest.raises(error):
        store.get("thing", {}, fail)
    assert folders(store) == []
    assert store.find("thing", {}) is None
    make = Maker()
    assert not store.get("thing", {}, make).reused
    assert make.times == 1


def cut(folder):
    (folder / "b.bin").write_bytes(b"short")


def lose(folder):
    (folder / "deep" / "a.txt").unlink()


def add(folder):
    (folder / "new").write_text("who put this here?", encoding="utf-8")


def forget(folder):
    (folder / "manifest.json").unlink()


def scramble(folder):
    (folder / "manifest.json").write_text("{", encoding="utf-8")


def empty(folder):
    (folder / "manifest.json").write_text("{}", encoding="utf-8")


def replace(folder):
    (folder / "manifest.json").write_text("[]", encoding="utf-8")


@pytest.mark.parametrize("damage", [cut, lose, add, forget, scramble, empty, replace])
def test_a_damaged_artefact_is_made_again(store, damage):
    make = Maker()
    artefact = store.get("thing", {}, make)
    damage(artefact.path)
    again = store.get("thing", {}, make)
    assert make.times == 2
    assert not again.reused
    assert sorted(p.name for p in again.path.iterdir()) == ["b.bin", "deep", "manifest.json"]
    assert store.get("thing", {}, make).reused


TWO_AT_ONCE = """
import sys, time
from pathlib import Path
from faceexp.store import Store

root = Path(sys.argv[1])

def make(folder):
    with (root / "log").open("a") as file:
        file.write("made")
    time.sleep(0.3)
    (folder / "value").write_text("whole")

print("ready", flush=True)
sys.stdin.readline()
artefact = Store(root).get("thing", {"shared": True}, make)
print(artefact.reused, (artefact.path / "value").read_text())
"""


def test_two_processes_make_it_once(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_AT_ONCE, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(process.communicate(timeout=30)[0] for process in processes) == ["False whole\n", "True whole\n"]
    assert (tmp_path / "log").read_text(encoding="utf-8") == "made"
