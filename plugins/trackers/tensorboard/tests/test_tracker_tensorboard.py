"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from faceexp_tracker_tensorboard import EVENTS, TensorBoard

from faceexp.testing import TrackerContract
from faceexp.testing.tracker import made_end, made_run, made_trials, record

metadata = pytest.importorskip("tensorboard.plugins.hparams.metadata")
event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


class TestTensorBoardContract(TrackerContract):
    @pytest.fixture(params=[False, True], ids=["usual", "folder"])
    def plugin(self, request, tmp_path):
        return TensorBoard(folder=str(tmp_path / "events") if request.param else None)


def read(folder):
    reader = event_accumulator.EventAccumulator(str(folder))
    reader.Reload()
    return reader


def scalars(reader):
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def hparams(reader):
    content = reader.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    given = metadata.parse_session_start_info_plugin_data(content)
    return given.group_name, {name: getattr(v, v.WhichOneof("kind")) for name, v in given.hparams.items()}


def words(reader, tag):
    (event,) = reader.Tensors(tag)
    return event.tensor_proto.string_val[0].decode()


def test_curves_metrics_and_settings_are_read_back(tmp_path):
    run = made_run(tmp_path)
    trials = made_trials(run)
    record(TensorBoard(), run, trials)
    for trial in trials:
        reader = read(run.folder / "tensorboard" / trial.id)
        expected = {f"metrics/{name}": [(trial.best_step, np.float32(value))] for name, value in trial.metrics.items()}
        for name in ("loss", "validation"):
            points = [(point.step, getattr(point, name)) for point in trial.curve]
            expected[f"curve/{name}"] = [(step, np.float32(value)) for step, value in points if value is not None]
        assert scalars(reader) == {tag: points for tag, points in expected.items() if points}
        settings = {"label": trial.label, "seed": trial.seed, "fold": trial.fold, **trial.settings}
        assert hparams(reader) == (trial.id, settings)
        content = reader.summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
        # 1 is success and 2 failure.
        assert metadata.parse_session_end_info_plugin_data(content).status == (1 if trial.status == "ok" else 2)
    assert words(read(run.folder / "tensorboard" / "other-s0-f0"), "status") == "failed: ValueError: made"


def test_what_was_found_is_a_text(tmp_path):
    run = made_run(tmp_path)
    record(TensorBoard(), run, ())
    reader = read(run.folder / "tensorboard")
    assert words(reader, "finding") == made_end(run).finding
    assert words(reader, "report") == str(run.folder / "report.html")
    record(TensorBoard(folder=str(tmp_path / "all")), run, (), ends=False)
    assert not list((tmp_path / "all").rglob("*"))


def test_a_run_that_goes_on_is_there_once(tmp_path):
    run = made_run(tmp_path)
    (trial, *_) = made_trials(run)
    plugin = TensorBoard(folder=str(tmp_path / "all"))
    record(plugin, run, [trial], ends=False)
    record(plugin, run, [dataclasses.replace(trial, metrics={"auc": 0.5})])
    folder = tmp_path / "all" / run.folder.name / trial.id
    assert len(list(folder.glob(f"{EVENTS}*"))) == 1
    assert scalars(read(folder))["metrics/auc"] == [(20, 0.5)]


def test_tensorflow_stays_out(tmp_path):
    """TensorBoard's package can do with it and without it; a process that imports it takes half a gigabyte more."""
    code = """
import json, pathlib, sys
from faceexp_tracker_tensorboard import TensorBoard
from faceexp.contract import TrackedEnd, TrackedRun, TrackedTrial
folder = pathlib.Path(sys.argv[1])
tracker = TensorBoard().open(TrackedRun("made", folder))
tracker.trial_ended(TrackedTrial("a", "a", "loss", 0, 0, status="failed", settings={"b": 1}, metrics={"c": 2.0}))
tracker.run_ended(TrackedEnd(folder, folder / "report.html", "nothing"))
print(json.dumps(sorted({"tensorflow", "keras", "torch"} & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
