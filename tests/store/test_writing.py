"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest

from faceexp.store import StoreError, link_or_copy, remove_unfinished, write_bytes, write_text


def test_write_text_replaces_a_file_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "results.json"
    write_text(path, "one")
    write_text(path, "zwei ü\n")
    assert path.read_text(encoding="utf-8") == "zwei ü\n"
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_write_text_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half" * 10_000 + "\ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_bytes_are_written_in_the_same_way(tmp_path):
    path = tmp_path / "pictures" / "0.png"
    write_bytes(path, b"\x89PNG\r\n")
    assert path.read_bytes() == b"\x89PNG\r\n"
    assert [p.name for p in path.parent.iterdir()] == ["0.png"]


def test_what_is_there_already_is_not_written_again(tmp_path):
    path = tmp_path / "results.json"
    write_text(path, "same")
    os.utime(path, (1, 1))
    write_text(path, "same")
    assert path.stat().st_mtime == 1
    write_text(path, "other")
    assert path.read_text(encoding="utf-8") == "other"
    write_text(path, "")
    assert path.read_bytes() == b""


@pytest.mark.parametrize("name", ["pipe", "loop"])
def test_a_pipe_or_a_link_to_itself_in_the_place_of_a_file_is_replaced(tmp_path, name):
    path = tmp_path / "results.json"
    os.mkfifo(path) if name == "pipe" else path.symlink_to(path)
    write_text(path, "new")
    assert stat.S_ISREG(path.lstat().st_mode)
    assert path.read_text(encoding="utf-8") == "new"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Otherwise a loss of power could leave a file of the right name with nothing in it."""
    path, flushed = tmp_path / "results.json", []

    def record(descriptor):
        flushed.append((stat.S_ISREG(os.fstat(descriptor).st_mode), path.exists()))

    monkeypatch.setattr(os, "fsync", record)
    write_text(path, "new")
    assert flushed == [(True, False), (False, True)]  # the file before it has its name, and then the folder
    flushed.clear()
    (tmp_path / "made").write_text("model", encoding="utf-8")
    link_or_copy(tmp_path / "made", tmp_path / "model.keras")
    assert len(flushed) == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_takes_no_more_leaves_the_old_file(tmp_path, monkeypatch, code):
    path = tmp_path / "results.json"
    write_text(path, "old")

    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError) as raised:
        write_text(path, "new")
    room = "" if code == errno.EIO else "free space or remove files there, or "
    assert str(raised.value) == f"{path}: cannot be used: {os.strerror(code)}; {room}name another folder"
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_what_is_in_the_way_is_named(tmp_path):
    (tmp_path / "trials").write_text("a file", encoding="utf-8")
    (tmp_path / "results.json").mkdir()
    for path, named in ((tmp_path / "trials" / "0.json", "trials"), (tmp_path / "results.json", "results.json")):
        with pytest.raises(StoreError) as raised:
            write_text(path, "x")
        assert str(raised.value).startswith(f"{tmp_path / named}: cannot be used: ")
        assert str(raised.value).endswith("; remove what is in the way, or name another folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.json", "trials"]


@pytest.mark.parametrize("can_link", [True, False])
def test_a_file_of_the_store_is_linked_or_copied_into_a_run(tmp_path, monkeypatch, can_link):
    def refuse(*_):
        raise OSError("other device")

    if not can_link:
        monkeypatch.setattr(os, "link", refuse)
    made, model = tmp_path / "made", tmp_path / "models" / "0" / "model.keras"
    made.write_text("new", encoding="utf-8")
    for before in (None, "old", "new"):
        if before == "old":
            model.unlink()
            model.write_text(before, encoding="utf-8")
        link_or_copy(made, model)
        assert model.read_text(encoding="utf-8") == "new"
        assert model.samefile(made) == can_link
        assert [p.name for p in model.parent.iterdir()] == ["model.keras"]
    assert made.read_text(encoding="utf-8") == "new"


KILLED = """
import os, signal, sys
from pathlib import Path
from faceexp.store import write_text
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
write_text(Path(sys.argv[1]), "new")
"""


def test_what_a_killed_process_was_writing_is_removed_after_an_hour(tmp_path):
    path = tmp_path / "trials" / "0.json"
    write_text(path, "old")
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == -9
    (leftover,) = (p for p in path.parent.iterdir() if p != path)
    assert path.read_text(encoding="utf-8") == "old"
    remove_unfinished(tmp_path)
    assert leftover.exists()  # another process may be writing it
    os.utime(leftover, (1, 1))
    os.utime(path, (1, 1))
    remove_unfinished(tmp_path)
    assert [p.name for p in path.parent.iterdir()] == ["0.json"]
    remove_unfinished(tmp_path / "nowhere")
