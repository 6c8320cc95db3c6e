"""The command ``runs``: which runs there are, and what each found."""

from __future__ import annotations

import json


def test_runs_are_listed_with_what_they_found(faceexp, finished, trial, summary, row):
    folder = finished([trial("pull"), trial("push", status="failed")], [summary("pull", "accuracy", 0.9, None)])
    code, out, err = faceexp("runs", folder.parent)
    assert (code, err) == (0, "")
    assert row(out, folder.name).endswith("2 1 1 no question was asked")
    code, out, _ = faceexp("runs", folder.parent, "--json")
    (listed,) = json.loads(out)
    assert (code, listed["state"], listed["rows"], listed["ok"], listed["failed"]) == (0, "finished", 2, 1, 1)
    assert listed["folder"] == str(folder)


def test_control_characters_in_the_name_of_a_folder_are_not_obeyed(faceexp, tmp_path):
    folder = tmp_path / "runs" / "\x1b[31m[bold]-12345678"
    folder.mkdir(parents=True)
    (folder / "spec.toml").write_text("", encoding="utf-8")
    out = faceexp("runs", tmp_path / "runs")[1]
    assert r"[bold]-12345678" in out
    assert "\x1b" not in out


def test_without_a_folder_there_are_no_runs(faceexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert faceexp("runs") == (0, "no runs in runs; `faceexp run SPEC` makes one\n", "")
    assert faceexp("runs", "--json") == (0, "[]\n", "")
