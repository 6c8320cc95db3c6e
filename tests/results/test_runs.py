"""The runs in a folder, finished or not; one that is broken hides no other."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Console

from faceexp.errors import InputError
from faceexp.report.few_words import in_few_words
from faceexp.report.terminal.runs import runs_table
from faceexp.results.runs import ListedRunRecord, runs_of

WHEN = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def drawn():
    """``drawn(renderable, width)``: what a terminal would show."""

    def draw(renderable, width):
        output = io.StringIO()
        Console(width=width, file=output, color_system=None).print(renderable, crop=False)
        return output.getvalue()

    return draw


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


@pytest.mark.parametrize("width", [80, 140])
def test_the_name_of_a_run_can_be_copied_whatever_the_width(width, drawn):
    names = ["a-very-long-name-of-an-experiment-that-somebody-has-chosen-12345678", f"{'x' * 150}-12345678"]
    counts = {"rows": 6, "ok": 17, "failed": 1, "finding": "a"}
    runs = [
        ListedRunRecord(folder=f"runs/{names[0]}", name="x", state="finished", when=WHEN, **counts),
        ListedRunRecord(folder=f"runs/{names[1]}", name="x", state="not finished", when=WHEN),
    ]
    lines = [line.strip() for line in drawn(runs_table("runs", runs, width), width).splitlines()]
    assert [line for line in lines if line in names] == names
    assert "6 rows, 17 trials ok, 1 failed: a" in " ".join(lines)
    assert "not finished: interrupted, or still going on; no trial has ended" in " ".join(lines)


def test_short_names_stand_in_a_table(drawn):
    run = ListedRunRecord(folder="runs/smoke-1", name="smoke", state="finished", when=WHEN, rows=6, ok=18, finding="a")
    text = drawn(runs_table("runs", [run], 140), 140)
    assert " ".join(text.split()).endswith("6 18 0 a")


def test_no_runs_say_how_to_make_one(tmp_path):
    text = str(runs_table(str(tmp_path), runs_of(tmp_path, in_few_words), 80))
    assert text == f"no runs in {tmp_path}; `faceexp run SPEC` makes one"
