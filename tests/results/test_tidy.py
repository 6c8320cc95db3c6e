"""A run's folder holds what belongs to its file and its data, and what people have put there."""

from pathlib import Path

import pytest

from faceexp.results.folder import RunFolder
from faceexp.results.tidy import forget_model, forget_other_data, keep_only


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Two trials with models and two pictures, and files of somebody in every folder."""
    run = RunFolder(tmp_path)
    files = [run.trial("a"), run.trial("b"), run.picture(3), run.picture(12), run.page]
    files += [run.model(trial).record for trial in "ab"] + [run.model(trial).network("keras") for trial in "ab"]
    files += [run.model("a").seen_photos, run.model("b").seen_photos]
    files += [tmp_path / "notes.txt", run.picture(0).with_name("mine.png"), run.model("b").root / "mine.onnx"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return run


def names(folder: RunFolder) -> set[str]:
    return {file.relative_to(folder.root).as_posix() for file in folder.root.rglob("*") if file.is_file()}


MINE = {"notes.txt", "pictures/mine.png", "models/b/mine.onnx"}
MODEL_A = {"models/a/calibration.json", "models/a/model.keras", "models/a/seen_photos.bin"}
MODEL_B = {"models/b/calibration.json", "models/b/model.keras", "models/b/seen_photos.bin"}


def test_what_is_not_of_this_run_goes(folder: RunFolder) -> None:
    keep_only(folder, ["a", "b"], ["a"], [12])
    assert names(folder) == MINE | MODEL_A | {"trials/a.json", "trials/b.json", "pictures/12.png", "report.html"}
    keep_only(folder, ["b"], [], [])
    assert names(folder) == MINE | {"trials/b.json", "report.html"}
    assert not folder.model("a").root.exists()


def test_a_model_of_a_trial_that_fails_now_goes(folder: RunFolder) -> None:
    forget_model(folder, "b")
    forget_model(folder, "no such trial")
    assert not MODEL_B & names(folder)
    assert names(folder) >= MODEL_A
    assert names(folder) >= MINE


def test_results_that_cannot_be_read_are_not_believed(folder: RunFolder) -> None:
    """An interrupted run on other data must not leave the old results beside new models."""
    folder.results.write_text("{}", encoding="utf-8")
    forget_other_data(folder, ["key"])
    assert names(folder) == MINE


def test_without_results_nothing_is_removed(folder: RunFolder) -> None:
    """An interrupted run goes on where it was."""
    before = names(folder)
    forget_other_data(folder, ["key"])
    assert names(folder) == before
