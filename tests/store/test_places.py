"""Where finished work is kept, and what a person is told of a place that cannot be used."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from faceexp.store import Store, StoreError, default_root

ANOTHER = "name another store with --store or FACEEXP_STORE"


def test_the_default_store_is_in_the_cache_or_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.setenv("FACEEXP_STORE", "~/faces")
    assert default_root() == Path.home() / "faces"
    monkeypatch.setenv("FACEEXP_STORE", "~no_such_user/faces")
    assert default_root() == Path("~no_such_user/faces")
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("FACEEXP_STORE")
        else:
            monkeypatch.setenv("FACEEXP_STORE", unset)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert default_root() == tmp_path / "cache" / "faceexp" / "store"


def test_a_user_without_a_home_has_to_name_a_store(monkeypatch):
    for variable in ("FACEEXP_STORE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)

    def unknown(*_):
        raise RuntimeError

    for answer in (unknown, lambda *_: "~/.cache/faceexp", lambda *_: "home/.cache/faceexp"):
        monkeypatch.setattr("platformdirs.user_cache_dir", answer)
        with pytest.raises(StoreError, match="the user has no home for finished work; name a store with --store or"):
            default_root()


def test_a_store_stays_where_it_is_when_the_current_folder_changes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    store = Store(Path("here"))
    artefact = store.get("thing", {}, lambda folder: (folder / "x").write_text("x"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert artefact.path.is_relative_to(tmp_path / "here")
    assert store.find("thing", {}) == Store(tmp_path / "here").find("thing", {})
    assert store.find("thing", {}).path == artefact.path


def put_a_file(place):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way", encoding="utf-8")


def put_a_folder(place):
    (place / "in the way").mkdir(parents=True)


def put_a_loop(place):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(place)


@pytest.mark.parametrize(
    ("put", "where", "named"),
    [
        (put_a_file, ".", "."),
        (put_a_loop, ".", "."),
        (put_a_file, "..", "."),  # as where $HOME is a file
        (put_a_file, "locks", "locks"),
        (put_a_loop, "locks", "locks"),
        (put_a_file, "thing", "thing"),
        (put_a_loop, "thing", "thing"),
        (put_a_folder, "faceexp-store.json", "faceexp-store.json"),
    ],
)
def test_what_is_in_the_way_of_a_store_is_named_before_anything_is_made(tmp_path, put, where, named):
    store = Store(tmp_path / "home" / "store")
    put((store.root / where).resolve())

    def make(folder):
        raise AssertionError

    with pytest.raises(StoreError) as raised:
        store.get("thing", {}, make)
    place = store.root if named == "." else store.root / named
    assert str(raised.value).startswith(f"{place}: cannot be used: ")
    assert "; remove what is in the way, or name another " in str(raised.value)


def test_a_place_that_cannot_be_looked_at_is_one_line_for_every_question(tmp_path):
    put_a_file(tmp_path / "home")
    for root in (tmp_path / "home", tmp_path / "home" / "store", tmp_path / ("x" * 300)):
        for ask in (Store(root).contents, Store(root).clear, Store(root).remove_leftovers):
            with pytest.raises(StoreError) as raised:
                ask()
            assert str(raised.value).startswith(f"{root}: cannot be used: ")
            assert str(raised.value).endswith(ANOTHER)


OF_THE_PLACE = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EMFILE]


@pytest.mark.parametrize("code", OF_THE_PLACE)
def test_a_place_that_takes_no_more_while_something_is_made_is_no_fault_of_the_work(tmp_path, code):
    store = Store(tmp_path / "store")
    store.get("thing", {"finished": True}, lambda folder: (folder / "x").write_text("x"))

    def make(folder):
        (folder / "half").write_text("half", encoding="utf-8")
        raise OSError(code, os.strerror(code), str(folder / "half"))

    with pytest.raises(StoreError) as raised:
        store.get("thing", {}, make)
    remedy = {errno.EMFILE: "let programs open more files (ulimit -n)"}.get(code, ANOTHER)
    if code in {errno.ENOSPC, errno.EDQUOT}:
        remedy = f"free space or remove files there, or {remedy}"
    assert str(raised.value) == f"{store.root}: cannot be used: {os.strerror(code)}; {remedy}"
    assert store.contents() == {"thing": (1, Store(store.root).contents()["thing"][1])}  # nothing half written
    assert store.get("thing", {"finished": True}, make).reused


def test_an_array_that_the_disk_cannot_hold(tmp_path):
    """NumPy raises an error without a number. /dev/full is a disk that is always full."""

    def make(folder):
        with Path("/dev/full").open("wb") as file:
            np.ones(100_000).tofile(file)

    with pytest.raises(StoreError, match="the disk seems to be full; free space or remove files there, or name"):
        Store(tmp_path).get("thing", {}, make)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "photo"), PermissionError(errno.EACCES, "photo")])
def test_other_errors_of_the_system_belong_to_the_work(tmp_path, error):
    def make(folder):
        raise error

    with pytest.raises(type(error)) as raised:
        Store(tmp_path).get("thing", {}, make)
    assert raised.value is error


def test_a_store_that_is_removed_while_it_is_used(tmp_path):
    store = Store(tmp_path / "store")

    def make(folder):
        folder.rmdir()
        (folder / "x").write_text("x", encoding="utf-8")

    with pytest.raises(StoreError, match=f"store: cannot be used: No such file or directory; {ANOTHER}"):
        store.get("thing", {}, make)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ESTALE])
def test_an_artefact_that_cannot_be_read_now_is_not_removed(tmp_path, monkeypatch, code):
    store = Store(tmp_path)
    artefact = store.get("thing", {}, lambda folder: (folder / "x").write_text("x"))

    def fail(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("faceexp.store.sealed.read_bytes", fail)
        with pytest.raises(StoreError, match=os.strerror(code)):
            store.get("thing", {}, fail)
    assert store.get("thing", {}, fail) == artefact.__class__(artefact.path, artefact.key, reused=True)
