"""Which plugins are known to import: remembered while nothing changes, forgotten as soon as something does."""

from __future__ import annotations

import importlib
import json
import os
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from faceexp.registry.import_cache import ImportCache, Known, recall, remember
from faceexp.registry.installed import InstalledPlugin

# A plugin, and what it needs, in folders of their own. `remember` looks at files, not at what is in them.
FOUND = InstalledPlugin("loss", "made", "outside-made", "1.0", "outside_known", "Plugin")
OTHER = InstalledPlugin("loss", "other", "outside-other", "2.0", "outside_other", "Plugin")
KNOWN, SLOW = Known("A loss."), Known("Another.", "takes 12 seconds to import")
LONG_AGO = 1_600_000_000


def age(*paths):
    """Make files and folders as old as those of an installation."""
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Import the plugin, which imports a module of another folder; return both folders, which nobody else touches."""
    plugin, needed = tmp_path / "plugin", tmp_path / "needed"
    for folder, module, source in (
        (plugin, "outside_known", "import outside_needed"),
        (needed, "outside_needed", "NUMBER = 1"),
    ):
        folder.mkdir()
        (folder / f"{module}.py").write_text(source)
        (folder / f"{module}-1.0.dist-info").mkdir()
    # Other tests, that run at the same time, may write where else Python searches.
    monkeypatch.setattr(sys, "path", [str(plugin), str(needed), *map(sysconfig.get_path, ("stdlib", "purelib"))])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.import_module("outside_known")
    age(*plugin.iterdir(), *needed.iterdir(), plugin, needed)
    yield plugin, needed
    for module in ("outside_known", "outside_needed"):
        sys.modules.pop(module, None)


@pytest.fixture
def memory(tmp_path):
    """The file that remembers."""
    return tmp_path / "store" / "plugins.json"


def test_a_plugin_is_known_while_nothing_changes(places, memory):
    assert recall(memory) == ImportCache()
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    known = recall(memory)
    assert known.plugins == {FOUND: KNOWN}
    assert {str(folder) for folder in places} < known.watched
    assert {str(next(folder.glob("*.py"))) for folder in places} < known.watched
    assert recall(memory) == known


def edit(plugin, needed):
    # Of the same size.
    (needed / "outside_needed.py").write_text("NUMBER = 2")


def remove_what_it_needs(plugin, needed):
    (needed / "outside_needed.py").unlink()
    age(needed)


def remove_it(plugin, needed):
    (plugin / "outside_known.py").unlink()
    age(plugin)


def install(plugin, needed):
    (needed / "another-3.0.dist-info").mkdir()


def uninstall(plugin, needed):
    (needed / "outside_needed-1.0.dist-info").rmdir()


def lose_a_folder(plugin, needed):
    sys.path.remove(str(needed))


def add_a_folder(plugin, needed):
    sys.path.insert(0, str(plugin / "outside_known-1.0.dist-info"))


def exchange_python(plugin, needed):
    sys.version = "3.99"


@pytest.mark.parametrize(
    "change",
    [edit, remove_what_it_needs, remove_it, install, uninstall, lose_a_folder, add_a_folder, exchange_python],
)
def test_any_change_and_nothing_is_known(places, memory, monkeypatch, change):
    monkeypatch.setattr(sys, "version", sys.version)
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    assert recall(memory).plugins == {FOUND: KNOWN}
    change(*places)
    assert recall(memory) == ImportCache()


def test_the_current_folder_counts_where_python_searches_it(places, memory, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.chdir(places[0])
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    assert recall(memory).plugins == {FOUND: KNOWN}
    monkeypatch.chdir(places[1])
    assert recall(memory) == ImportCache()


def test_a_current_folder_that_was_removed_is_no_harm(places, memory, monkeypatch, tmp_path):
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", ["", *sys.path])
        assert recall(memory) == ImportCache()
        remember(memory, ImportCache(), {OTHER: KNOWN}, time.time_ns())
    assert recall(memory).plugins == {FOUND: KNOWN}


@pytest.mark.parametrize("place", [0, 1])
def test_what_changed_while_it_was_imported_is_not_remembered(places, memory, place):
    began = time.time_ns()
    (places[place] / "outside_new.py").write_text("")
    remember(memory, ImportCache(), {FOUND: KNOWN}, began)
    assert recall(memory) == ImportCache()
    age(places[place])
    remember(memory, ImportCache(), {FOUND: KNOWN}, began)
    assert recall(memory).plugins == {FOUND: KNOWN}


def test_what_was_known_stays_known_with_all_that_it_was_imported_with(places, memory):
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    for module in ("outside_known", "outside_needed"):
        del sys.modules[module]
    known = recall(memory)
    remember(memory, known, {OTHER: SLOW}, time.time_ns())
    assert recall(memory) == ImportCache({FOUND: KNOWN, OTHER: SLOW}, known.watched)
    edit(*places)
    assert recall(memory) == ImportCache()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"python": [], "states": {}, "plugins": []}',
        b"[" * 100_000,
        b'{"python":' * 100_000,
        b"9" * 100_000,
    ],
)
def test_a_damaged_memory_is_none(memory, content):
    memory.parent.mkdir()
    memory.write_bytes(content)
    assert recall(memory) == ImportCache()


def pipe(memory):
    os.mkfifo(memory)


def folder(memory):
    memory.mkdir()


def link_to_a_device(memory):
    memory.symlink_to("/dev/zero")


def loop(memory):
    memory.symlink_to(memory)


def huge(memory):
    with memory.open("wb") as file:
        file.truncate(3_000_000_000)  # it takes no room


@pytest.mark.parametrize("put", [pipe, folder, link_to_a_device, loop, huge])
def test_what_is_no_memory_is_neither_read_nor_kept(places, memory, put):
    memory.parent.mkdir()
    put(memory)
    assert recall(memory) == ImportCache()
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    assert recall(memory).plugins == {FOUND: KNOWN}


def test_a_folder_with_something_in_it_stays_in_the_place_of_the_memory(places, memory):
    (memory / "thesis").mkdir(parents=True)
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    assert recall(memory) == ImportCache()
    assert (memory / "thesis").is_dir()


def test_a_memory_with_numbers_in_the_place_of_texts_is_none(places, memory):
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    content = json.loads(memory.read_text())
    for plugins in ([[[1, 2, 3, 4, 5, 6], ["A loss."]]], [[[None] * 6, ["A loss."]]], [["loss"]], [3], 3, {"a": 1}):
        memory.write_text(json.dumps(content | {"plugins": plugins}))
        assert recall(memory) == ImportCache()


@pytest.mark.parametrize(
    ("whole", "damaged"),
    [
        ('"plugins": [[[', '"plugins": [[[1, '),
        ('"plugins": [[["loss"', '"plugins": [[[["loss"]'),
        ('"states": {', '"states": [], "more": {'),
    ],
)
def test_a_memory_that_was_meddled_with_is_none(places, memory, whole, damaged):
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    text = memory.read_text()
    assert text.count(whole) == 1
    memory.write_text(text.replace(whole, damaged))
    assert recall(memory) == ImportCache()


def test_a_memory_that_cannot_be_written_is_no_harm(places, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    memory = Path(tmp_path / "file" / "plugins.json")
    remember(memory, ImportCache(), {FOUND: KNOWN}, time.time_ns())
    assert recall(memory) == ImportCache()
