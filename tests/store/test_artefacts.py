"""Artefacts are made once, whole, and found again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.errors import InputError
from faceexp.store import UNFINISHED, Store, StoreError, digest


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


def nest(folder):
    (folder / "manifest.json").write_text("[" * 100_000, encoding="utf-8")


def list_the_files(folder):
    rewrite(folder, files=[])


def name_another_kind(folder):
    rewrite(folder, kind="other")


def name_another_key(folder):
    rewrite(folder, key="0" * 64)


def lead_outside(folder):
    rewrite(folder, files={"../../outside.txt": "0" * 64, "/etc/passwd": "0" * 64})


def rewrite(folder, **changes):
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(content | changes), encoding="utf-8")


def swell(folder):
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(3_000_000_000)  # it takes no room


def make_a_pipe(folder):
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def make_a_folder(folder):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


def add_a_pipe(folder):
    os.mkfifo(folder / "pipe")


def link_a_file(folder):
    """The link leads to the same content, but that may change."""
    (folder / "b.bin").rename(outside(folder) / "b.bin")
    (folder / "b.bin").symlink_to(outside(folder) / "b.bin")


def link_a_folder(folder):
    (folder / "deep").rename(outside(folder) / "deep")
    (folder / "deep").symlink_to(outside(folder) / "deep")


def link_the_manifest(folder):
    (folder / "manifest.json").rename(outside(folder) / "manifest.json")
    (folder / "manifest.json").symlink_to(outside(folder) / "manifest.json")


def link_the_artefact(folder):
    folder.rename(outside(folder) / "artefact")
    folder.symlink_to(outside(folder) / "artefact")


def link_to_itself(folder):
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def put_a_file_in_its_place(folder):
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def outside(folder):
    """Return a folder beside the store."""
    beside = folder.parents[2] / "outside"
    beside.mkdir(exist_ok=True)
    return beside


DAMAGES = [
    cut,
    lose,
    add,
    forget,
    scramble,
    empty,
    replace,
    nest,
    list_the_files,
    name_another_kind,
    name_another_key,
    lead_outside,
    swell,
    make_a_pipe,
    make_a_folder,
    add_a_pipe,
    link_a_file,
    link_a_folder,
    link_the_manifest,
    link_the_artefact,
    link_to_itself,
    put_a_file_in_its_place,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artefact_is_made_again(store, damage):
    make = Maker()
    artefact = store.get("thing", {}, make)
    damage(artefact.path)
    again = store.get("thing", {}, make)
    assert make.times == 2
    assert not again.reused
    assert sorted(p.name for p in again.path.iterdir()) == ["b.bin", "deep", "manifest.json"]
    assert store.get("thing", {}, make).reused
    # What a link led to is still there, and nothing half removed.
    assert folders(store) == [again.path.name]
    beside = store.root.parent / "outside"
    assert not beside.exists() or list(beside.rglob("*"))


def test_an_artefact_of_an_earlier_version_is_used(store):
    """Its manifest names no key."""
    make = Maker()
    path = store.get("thing", {"a": 1}, make).path
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    del manifest["key"]
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert store.get("thing", {"a": 1}, make).reused


def test_an_artefact_in_the_place_of_another_is_not_taken_for_it(store):
    make = Maker()
    one, two = (store.get("thing", {"a": number}, make).path for number in (1, 2))
    shutil.rmtree(two)
    shutil.copytree(one, two)
    assert not store.get("thing", {"a": 2}, make).reused


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


# Processes that are killed ----------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from faceexp.store import Store, sealed

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def make(folder):
    (folder / "half").write_bytes(b"x" * 1000)
    if sys.argv[2] == "making":
        die()

if sys.argv[2] == "sealing":
    sealed._checksums = die
if sys.argv[2] == "removing":
    sealed.shutil.rmtree = die
    Store(Path(sys.argv[1])).get("thing", {}, make)
    Store(Path(sys.argv[1])).clear()
if sys.argv[2] == "placing":
    Path.rename = die
Store(Path(sys.argv[1])).get("thing", {}, make)
"""


@pytest.mark.parametrize("moment", ["making", "sealing", "placing", "removing"])
def test_what_a_killed_process_leaves_is_counted_and_removed(tmp_path, moment):
    root = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", KILLED, root, moment], check=False)
    assert done.returncode == -signal.SIGKILL
    cleared, used, swept = (Store(shutil.copytree(root, tmp_path / name)) for name in ("cleared", "used", "swept"))
    ((kind, (number, size)),) = cleared.contents().items()
    assert (kind, number) == (UNFINISHED, 1)
    assert size >= 1000
    cleared.clear()
    assert (cleared.contents(), folders(cleared)) == ({}, [])
    # It is removed when the same artefact is made again,
    artefact = used.get("thing", {}, Maker())
    assert (artefact.reused, folders(used)) == (False, [artefact.path.name])
    # and also without that.
    artefact = swept.get("thing", {"another": True}, Maker())
    swept.remove_leftovers()
    assert folders(swept) == [artefact.path.name]


def test_a_store_that_was_killed_before_it_was_marked_can_be_cleared(store):
    (store.root / "locks").mkdir(parents=True)
    new = store.root / ".unfinished-x"
    new.write_text("half of the mark", encoding="utf-8")
    store.clear()
    assert new.exists()  # another process may be writing it
    os.utime(new, (1, 1))
    store.clear()
    assert not new.exists()
    (store.root / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="is not marked as a store"):
        store.clear()


ALIVE = """
import sys
from pathlib import Path
from faceexp.store import Store

def make(folder):
    (folder / "value").write_text("whole")
    print("making", flush=True)
    sys.stdin.readline()

artefact = Store(Path(sys.argv[1])).get("thing", {"alive": True}, make)
print((artefact.path / "value").read_text())
"""


def test_what_a_process_is_making_is_left_alone(store):
    """Another process counts, sweeps and clears meanwhile."""
    store.get("thing", {}, Maker())
    process = subprocess.Popen(
        [sys.executable, "-c", ALIVE, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "making\n"
    assert list(store.contents()) == ["thing"]
    store.remove_leftovers()
    store.clear()
    assert store.contents() == {}
    assert process.communicate("go on\n", timeout=30)[0] == "whole\n"
    assert store.contents()["thing"][0] == 1


def test_folders_of_other_programs_are_no_leftovers(tmp_path):
    names = [f".{'a' * 32}", f".{'a' * 31}-x", f"{'a' * 32}-x", f".{'A' * 32}-x"]
    store = Store(tmp_path)
    store.get("thing", {}, Maker())
    for name in names:
        (tmp_path / "thing" / name).mkdir()
    (tmp_path / "unmarked" / "thing" / f".{'a' * 32}-x").mkdir(parents=True)
    for root in (tmp_path, tmp_path / "unmarked"):
        assert UNFINISHED not in Store(root).contents()
        Store(root).remove_leftovers()
    store.clear()
    assert folders(store) == sorted(names)
    assert (tmp_path / "unmarked" / "thing" / f".{'a' * 32}-x").is_dir()


def test_nothing_is_counted_or_removed_through_a_link(tmp_path):
    elsewhere, store = Store(tmp_path / "elsewhere"), Store(tmp_path / "store")
    kept = elsewhere.get("thing", {}, Maker())
    (elsewhere.root / "thing" / f".{'a' * 32}-x").mkdir()
    store.get("other", {}, Maker())
    (store.root / "thing").symlink_to(elsewhere.root / "thing")
    (store.root / "other" / ("a" * 32)).symlink_to(kept.path)
    assert list(store.contents()) == ["other"]
    store.clear()
    assert sorted(folders(elsewhere)) == [f".{'a' * 32}-x", kept.path.name]
    assert elsewhere.find("thing", {})


def test_what_vanishes_while_it_is_counted_is_not_counted(store, monkeypatch):
    for number in range(3):
        store.get("thing", {"number": number}, Maker())

    def vanish(manifest):
        shutil.rmtree(manifest.parent)
        return manifest.parent.parent.name

    with monkeypatch.context() as patch:
        patch.setattr("faceexp.store.artefacts.kind_in", vanish)
        assert store.contents() == {"thing": (3, 0)}
    assert store.contents() == {}


def test_a_manifest_that_is_cut_off_still_says_whose_it_is(store):
    path = store.get("thing", {}, Maker()).path
    text = (path / "manifest.json").read_text(encoding="utf-8")
    (path / "manifest.json").write_text(text[: len(text) // 2], encoding="utf-8")
    assert store.contents()["thing"][0] == 1
    store.clear()
    assert folders(store) == []


# Everything together ----------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here, without a chance to tidy up."""


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "fail", "crash", "fill", "damage", "clear", "sweep"]),
        st.integers(0, 1),
        st.integers(0, len(DAMAGES) - 1),
    ),
    max_size=12,
)


def maker(step, key, patch):
    """Return what makes an artefact, or begins to."""

    def make(folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(f"value {key}", encoding="utf-8")
        if step == "fail":
            raise ValueError
        if step == "fill":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if step == "crash":
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            raise Crash
        (folder / "b.bin").write_bytes(bytes(range(256)))

    return make


def act(store, step, key, number, patch):
    artefact = store.find("thing", {"key": key})
    if step == "damage" and artefact:
        DAMAGES[number](artefact.path)
    elif step == "clear":
        store.clear()
    elif step == "sweep":
        store.remove_leftovers()
    else:
        store.get("thing", {"key": key}, maker(step, key, patch))


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_happens_a_store_returns_what_was_made(steps):
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home) / "store")
        for step, key, number in steps:
            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(ValueError, Crash, StoreError):
                act(store, step, key, number, patch)
            shutil.rmtree(Path(home) / "outside", ignore_errors=True)
        for key in (0, 1):
            path = store.get("thing", {"key": key}, maker("get", key, None)).path
            assert (path / "deep" / "a.txt").read_text(encoding="utf-8") == f"value {key}"
            assert (path / "b.bin").read_bytes() == bytes(range(256))
            assert sorted(file.name for file in path.iterdir()) == ["b.bin", "deep", "manifest.json"]
        store.remove_leftovers()
        assert len(folders(store)) == 2


def test_who_has_to_wait_for_growing_work_is_told_before(tmp_path):
    store = Store(tmp_path)
    told = []
    with store.growing("search", {"a": 1}, lambda: told.append("nobody was there")):
        pass
    assert store.grown("search", {"a": 1}) is not None
    assert store.grown("search", {"a": 2}) is None
    begun, may_end = threading.Event(), threading.Event()

    def hold():
        with store.growing("search", {"a": 1}):
            begun.set()
            may_end.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    assert begun.wait(60)

    def on_wait():
        told.append("wait")
        may_end.set()

    with store.growing("search", {"a": 1}, on_wait):
        other.join()
    assert told == ["wait"]
