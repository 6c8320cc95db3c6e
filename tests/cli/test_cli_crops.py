"""``faceexp crops`` as a person uses it: counts on the screen, a sheet in a file."""

from __future__ import annotations

import json

import pytest
from PIL import Image


@pytest.fixture
def file(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return spec()


def test_photos_are_counted_and_shown(faceexp, file, folder, tmp_path):
    (folder / "p03" / "notes.jpg").write_text("Remember to replace this by the photo.")
    code, out, err = faceexp("crops", file, "--people", "4", "--out", "sheets/faces.png")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].endswith(" photos of 4 people")
    assert "cannot be used         1" in out
    assert any(line.strip().startswith("p03/notes.jpg: cannot be decoded") for line in lines)
    assert "photos are taken whole" in out
    assert err.splitlines()[-1] == "contact sheet in sheets/faces.png"
    with Image.open(tmp_path / "sheets" / "faces.png") as sheet:
        assert sheet.width > 1000


def test_json_and_a_page(faceexp, file, tmp_path):
    code, out, _ = faceexp("crops", file, "--out", "faces.html", "--json", "--set", "preprocess.size=[16, 16]")
    answer = json.loads(out)
    assert code == 0
    assert sum(map(len, answer["kinds"].values())) == answer["photos"]
    assert "<figure>" in (tmp_path / "faces.html").read_text(encoding="utf-8")


def test_another_form_is_refused_before_anything_is_looked_at(faceexp, file):
    code, _, err = faceexp("crops", file, "--out", "faces.pdf")
    assert code == 2
    assert err == "error: --out faces.pdf: has to end in .png or .html, the two forms of the contact sheet\n"


def test_a_file_that_cannot_be_written_is_one_line(faceexp, file, tmp_path):
    (tmp_path / "taken").write_text("")
    code, _, err = faceexp("crops", file, "--out", "taken/faces.png")
    assert code == 2
    assert err.startswith("error: --out taken/faces.png: cannot be written: ")
