"""A search and the place of its journals: full disks, other processes that clear the store or search as well."""

from __future__ import annotations

import errno
import os
import shutil
import threading

import pytest

from faceexp.search.study import JOURNAL
from faceexp.store import Store, StoreError

TEXT = (
    '[[losses]]\nplugin = "contrastive"\nmargin = { low = 0.5, high = 20, log = true }\n[[losses]]\nplugin = "npairs"\n'
)


@pytest.mark.parametrize("after", [1, 9, 40])
def test_a_full_disk_ends_a_search_with_the_message_of_the_store_and_room_lets_it_go_on(
    after, text_of, searched, counter, tmp_path, monkeypatch
):
    text = text_of(TEXT, search="trials = 6")
    whole = searched(text, tmp_path / "whole")
    left = after

    def full(file):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"cannot be used: No space left on device; free space or remove files"):
            searched(text, tmp_path / "full")
    done = searched(text, tmp_path / "full")
    assert [each.tried for each in done.searched] == [each.tried for each in whole.searched]


def test_clearing_the_store_leaves_a_search_that_somebody_carries_on(text_of, searched, counter, tmp_path, monkeypatch):
    """Everything else is gone; the search goes on and tries what it would have tried."""
    monkeypatch.setattr("faceexp.store.artefacts.PATIENCE", 0.01)
    text = text_of(TEXT, search="trials = 4")
    whole = searched(text, tmp_path / "whole")
    cleared: list[list[str]] = []

    def clear_once(trial):
        if not cleared:
            Store(tmp_path / "store").clear()
            cleared.append(sorted(Store(tmp_path / "store").contents()))
        return "ok"

    counter.outcome = clear_once
    done = searched(text, tmp_path / "store")
    assert cleared == [["search"]]
    assert [each.tried for each in done.searched] == [each.tried for each in whole.searched]
    # Nobody carries it on any more.
    Store(tmp_path / "store").clear()
    assert Store(tmp_path / "store").contents() == {}


def test_two_searches_at_once_are_one(text_of, searched, counter, tmp_path):
    """The second one waits for the first, and then has nothing to train."""
    text = text_of(TEXT, search="trials = 5\nseeds = [100]")
    done = []
    threads = [threading.Thread(target=lambda: done.append(searched(text, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = done
    assert [each.tried for each in first.searched] == [each.tried for each in second.searched]
    assert [len(each.tried) for each in first.searched] == [5, 5]
    assert counter.calls == 10


def test_work_that_grows_is_nobody_elses_and_stays_when_it_is_interrupted(tmp_path):
    store = Store(tmp_path)

    def interrupted():
        with store.growing("search", {"a": 1}) as folder:
            (folder / JOURNAL).write_text("so far\n", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with store.growing("search", {"a": 1}) as folder:
        assert (folder / JOURNAL).read_text(encoding="utf-8") == "so far\n"
    with store.growing("search", {"a": 2}) as folder:
        assert not (folder / JOURNAL).exists()
    assert store.contents()["search"][0] == 2


def test_an_error_of_what_grows_is_no_fault_of_the_place(tmp_path):
    with pytest.raises(PermissionError), Store(tmp_path).growing("search", {}) as folder:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    def removed():
        with Store(tmp_path).growing("search", {}) as folder:
            shutil.rmtree(folder)
            (folder / JOURNAL).read_bytes()

    with pytest.raises(StoreError, match="No such file"):
        removed()
