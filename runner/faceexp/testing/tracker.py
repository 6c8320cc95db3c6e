"""What every tracker has to keep."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np

from faceexp.contract import (
    FacesTold,
    TrackedEnd,
    TrackedModel,
    TrackedPoint,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrackerPlugin,
)
from faceexp.testing.plugin import PluginContract

# What stands in the files of the run that is told of.
CONTENT = b"what the run has written"
# Which of two people is on each of the images that are told of.
_WHO = np.array([0, 0, 0, 1, 1, 1, 1])


class TrackerContract(PluginContract):
    """What every tracker has to keep; the subclass gives a fixture ``plugin``.

    The run that it is told of has trials of every kind, some of which did not end well. Its folder holds a report and a
    file in the place of a network, which no library can open.
    """

    def test_hears_of_a_whole_run(self, plugin: TrackerPlugin, tmp_path: Path) -> None:
        """Tell of a run with trials of every kind and status: it takes all of them, and closes."""
        run = made_run(tmp_path)
        record(plugin, run, made_trials(run))

    def test_hears_of_the_same_run_again(self, plugin: TrackerPlugin, tmp_path: Path) -> None:
        """Tell of the same run twice, as where it goes on after an interruption: its trials are all told again."""
        run = made_run(tmp_path)
        record(plugin, run, made_trials(run)[:2])
        record(plugin, run, made_trials(run)[:3])

    def test_a_run_may_be_interrupted(self, plugin: TrackerPlugin, tmp_path: Path) -> None:
        """Close it before any trial, and before the run has ended."""
        run = made_run(tmp_path)
        record(plugin, run, (), ends=False)
        record(plugin, run, made_trials(run)[:1], ends=False)

    def test_leaves_the_files_of_the_run_alone(self, plugin: TrackerPlugin, tmp_path: Path) -> None:
        """Compare the files that the run has written before and after: results and models are read from them."""
        run = made_run(tmp_path)
        before = {path for path in run.folder.rglob("*") if path.is_file() and path.read_bytes() == CONTENT}
        record(plugin, run, made_trials(run))
        changed = sorted(path.name for path in before if not path.is_file() or path.read_bytes() != CONTENT)
        assert not changed, f"it changes or removes {', '.join(changed)}"

    def test_is_told_of_faces_only_where_that_is_asked_for(self, plugin: TrackerPlugin) -> None:
        """Look at the option that asks for embeddings and photos of people: by default it has to be ``"none"``."""
        name = plugin.faces_option
        if not name:
            return
        fields = type(plugin).model_fields
        assert name in fields, f"faces_option names {name!r}, which is none of its options"
        assert get_args(fields[name].annotation) == get_args(FacesTold), (
            f"the option {name!r} is not of the type FacesTold"
        )
        assert fields[name].default == "none", f"the option {name!r} asks for data about people by default"

    def test_hears_of_faces(self, plugin: TrackerPlugin, tmp_path: Path) -> None:
        """Tell of embeddings and of photos, in colour and in grey, where it has an option that asks for them.

        Each file is gone once the trial was recorded, and the next trial has one in the same place.
        """
        if not plugin.faces_option:
            return
        run = made_run(tmp_path)
        trial, baseline, *_ = made_trials(run)
        for asked in get_args(FacesTold):
            tracker = plugin.model_copy(update={plugin.faces_option: asked}).open(run)
            with contextlib.closing(tracker):
                for channels, each in ((3, trial), (1, baseline)):
                    faces = made_faces(tmp_path, channels if asked == "photos" else 0)
                    tracker.trial_ended(dataclasses.replace(each, faces=None if asked == "none" else faces))
                    faces.unlink()
                tracker.run_ended(made_end(run))


def made_faces(folder: Path, channels: int = 0) -> Path:
    """Return a file of seven test images of two people; with photos of so many channels, without any for none."""
    rng = np.random.default_rng(0)
    arrays = {"embeddings": rng.normal(size=(7, 3)).astype(np.float32), "identities": np.array(["Zoë A", "b"])[_WHO]}
    if channels:
        arrays["photos"] = rng.integers(0, 256, (7, 6, 4, channels), dtype=np.uint8)
    np.savez(folder / "faces.npz", **arrays)
    return folder / "faces.npz"


def made_run(folder: Path) -> TrackedRun:
    """Return a run that begins, with a folder that holds a report and the model of one trial."""
    run = TrackedRun(
        name="made",
        folder=folder / "made-0123abcd",
        experiment={"name": "made", "seeds": [0, 1], "finetune": {"steps": 20}},
        rows=("made(margin=0.5)", "raw pixels"),
    )
    model = run.folder / "models" / "made-margin-0.5-s0-f0"
    model.mkdir(parents=True, exist_ok=True)
    for path in (model / "calibration.json", model / "model.keras", run.folder / "report.html"):
        path.write_bytes(CONTENT)
    return run


def made_trials(run: TrackedRun) -> tuple[TrackedTrial, ...]:
    """Return trials of every kind and status."""
    folder = run.folder / "models" / "made-margin-0.5-s0-f0"
    trained = TrackedTrial(
        id="made-margin-0.5-s0-f0",
        label="made(margin=0.5)",
        kind="loss",
        seed=0,
        fold=0,
        settings={"loss.plugin": "made", "loss.margin": 0.5, "loss.squared": True, "finetune.steps": 20},
        metrics={"auc": 0.875, "tar@far=0.01": 0.5, "abroad/auc": 0.75},
        curve=(TrackedPoint(10, 1.5, 0.75), TrackedPoint(20, 0.5, 0.875)),
        best_step=20,
        model=TrackedModel(folder, image_shape=(12, 8, 3), embedding_dim=4, network=folder / "model.keras"),
    )
    broken = TrackedTrial(
        id="made-margin-0.5-s1-f0",
        label=trained.label,
        kind="loss",
        seed=1,
        fold=0,
        status="diverged",
        reason="the loss is not finite",
        settings=trained.settings,
        curve=(TrackedPoint(10, None, None),),
    )
    baseline = TrackedTrial("raw-pixels-s0-f0", "raw pixels", "baseline", 0, 0, metrics={"auc": 0.625})
    existing = TrackedTrial(
        "weights-s0-f0", "weights", "pretrained", 0, 0, settings={"model.plugin": "made"}, metrics={"auc": 0.75}
    )
    failed = TrackedTrial("other-s0-f0", "other", "loss", 0, 0, status="failed", reason="ValueError: made")
    return trained, baseline, existing, broken, failed


def made_end(run: TrackedRun) -> TrackedEnd:
    """Return the end of the run."""
    trained, _, existing, *_ = made_trials(run)
    models = {existing.id: trained.model} if trained.model else {}
    return TrackedEnd(run.folder, run.folder / "report.html", "made helps: AUC 0.875 instead of 0.625.", models)


def record(plugin: TrackerPlugin, run: TrackedRun, trials: Iterable[TrackedTrial], *, ends: bool = True) -> None:
    """Tell a tracker of a run with these trials, which ends or is interrupted."""
    tracker = plugin.open(run)
    assert isinstance(tracker, Tracker), f"open gives a {type(tracker).__name__}, not a Tracker"
    with contextlib.closing(tracker):
        for trial in trials:
            tracker.trial_ended(trial)
        if ends:
            tracker.run_ended(made_end(run))
