"""The runs in a folder, finished or not; one that is broken hides no other."""

from __future__ import annotations

import os

import pytest

from faceexp.errors import InputError
from faceexp.report.headline import in_few_words
from faceexp.report.terminal.runs import runs_table
from faceexp.results.runs import runs_of


def written(folder, text="", minute=0):
    """Write a file of a run as if it had been written at some minute."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text(text, encoding="utf-8")
    os.utime(folder, (60 * minute, 60 * minute))


def test_what_is_not_finished_and_what_is_broken_is_listed_as_such(tmp_path):
    written(tmp_path / "slow-12345678" / "spec.toml", minute=1)
    written(tmp_path / "slow-12345678" / "trials" / "a.json", minute=5)
    written(tmp_path / "bad-12345678" / "spec.toml")
    written(tmp_path / "bad-12345678" / "results.json", "{", minute=3)
    written(tmp_path / "notes" / "something.txt")  # no run
    slow, bad = runs_of(tmp_path, in_few_words)
    assert (slow.name, slow.state, slow.ok, slow.when) == ("slow", "not finished", 1, "1970-01-01T00:05:00+00:00")
    assert (bad.name, bad.state, bad.when) == ("bad", "broken", "1970-01-01T00:03:00+00:00")
    assert bad.finding.startswith("cannot be read as results: it is not JSON")


def test_a_folder_that_is_none_is_an_error(tmp_path):
    written(tmp_path / "file")
    with pytest.raises(InputError, match=r"file: cannot be read: Not a directory; name the folder with"):
        runs_of(tmp_path / "file", in_few_words)


def test_no_runs_say_how_to_make_one(tmp_path):
    assert (
        str(runs_table(str(tmp_path), runs_of(tmp_path, in_few_words)))
        == f"no runs in {tmp_path}; `faceexp run SPEC` makes one"
    )
