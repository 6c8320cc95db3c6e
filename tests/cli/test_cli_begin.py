"""The command ``init``: from somebody's folder of photos to a file that runs as it stands."""

from __future__ import annotations

import json
import shutil

import pytest

from faceexp import pipeline
from faceexp.store import Store


def test_the_file_runs_as_it_stands(faceexp, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = faceexp("init", "faces")
    assert (code, err) == (0, "")
    assert out.startswith("- 12 people with 6 photos each, 72 in all; 16 x 16 pixels; no photo has colours\n")
    *_, crops, dry, run = out.splitlines()
    assert [line.split("#")[0].strip() for line in (crops, dry, run)] == [
        "faceexp crops faces.toml",  # the waves of these images are no faces, so nobody can be sure
        "faceexp run faces.toml --dry-run",
        "faceexp run faces.toml",
    ]
    assert 'path = "faces"\n' in (tmp_path / "faces.toml").read_text(encoding="utf-8")
    plan = pipeline.load("faces.toml").plan(Store(tmp_path / "store"))
    assert len(plan.splits) == 10
    assert [note.text for note in plan.notes if note.kind == "adapted"] == []  # every size was right


def test_a_file_that_is_there_is_never_overwritten(faceexp, folder, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("precious", encoding="utf-8")
    code, _, err = faceexp("init", folder, "--out", file)
    assert (code, err) == (2, f"error: --out {file}: is there already and is not overwritten; name another file\n")
    assert file.read_text(encoding="utf-8") == "precious"


def test_photos_elsewhere_are_named_by_their_whole_path(faceexp, folder, tmp_path):
    file = tmp_path / "deep" / "er" / "mine.toml"
    file.parent.mkdir(parents=True)
    assert faceexp("init", folder, "--out", file)[0] == 0
    assert f'path = "{folder}"' in file.read_text(encoding="utf-8")


def test_as_json(faceexp, folder, tmp_path):
    code, out, _ = faceexp("init", folder, "--out", tmp_path / "mine.toml", "--json")
    data = json.loads(out)
    assert code == 0
    assert {key: data[key] for key in ("people", "images", "detects", "sure")} == {
        "people": 12,
        "images": 72,
        "detects": False,
        "sure": False,
    }


def spoiled_by_a_photo_of_nobody(folder):
    shutil.copy(folder / "p00" / "0.png", folder / "me.png")


def spoiled_by_a_folder_without_photos(folder):
    (folder / "empty").mkdir()


def spoiled_by_lack_of_people(folder):
    for number in range(1, 12):
        shutil.rmtree(folder / f"p{number:02}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (spoiled_by_a_folder_without_photos, "no image directly inside this identity folder"),
        (spoiled_by_a_photo_of_nobody, "put each into a folder named after the person it shows"),
        (spoiled_by_lack_of_people, "1 identity, but a comparison of faces needs two or more"),
    ],
)
def test_what_is_wanted_is_said_where_a_folder_is_laid_out_otherwise(faceexp, folder, tmp_path, spoil, message):
    spoil(folder)
    code, _, err = faceexp("init", folder, "--out", tmp_path / "mine.toml")
    assert code == 2
    assert message in err
    assert not (tmp_path / "mine.toml").exists()


def test_a_folder_around_that_of_the_photos_names_the_right_one(faceexp, folder, tmp_path):
    (tmp_path / "around").mkdir()
    inner = folder.rename(tmp_path / "around" / "photos")
    code, _, err = faceexp("init", inner.parent, "--out", tmp_path / "mine.toml")
    assert code == 2
    assert f"error: {inner}: holds several folders; if these are people, name this one\n" in err


def test_a_place_that_cannot_be_written_is_said(faceexp, folder, tmp_path):
    code, _, err = faceexp("init", folder, "--out", tmp_path / "nowhere" / "mine.toml")
    assert code == 2
    assert "cannot be written: No such file or directory; name another file" in err
