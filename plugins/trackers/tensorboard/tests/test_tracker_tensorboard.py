"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from faceexp_tracker_tensorboard import CONFIG, EVENTS, METADATA, SPRITE, TENSORS, TensorBoard
from PIL import Image
from werkzeug.test import Client
from werkzeug.wrappers import Response

from faceexp.testing import TrackerContract
from faceexp.testing.tracker import made_end, made_faces, made_run, made_trials, record

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


@pytest.fixture
def projector():
    """Ask TensorBoard's own projector about the runs in a folder: what it answers is what its page shows."""
    plugin = pytest.importorskip("tensorboard.plugins.projector.projector_plugin")
    multiplexer = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_multiplexer")
    provider = pytest.importorskip("tensorboard.backend.event_processing.data_provider")
    base = pytest.importorskip("tensorboard.plugins.base_plugin")

    def opened(folder):
        found = multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
        found.Reload()
        data = provider.MultiplexerDataProvider(found, str(folder))
        context = base.TBContext(data_provider=data, logdir=str(folder))
        routes = plugin.ProjectorPlugin(context).get_plugin_apps()
        return lambda route, **query: Client(routes[route], Response).get("/", query_string=query)

    return opened


@pytest.mark.parametrize("channels", [0, 1, 3], ids=["embeddings", "grey photos", "photos"])
def test_the_projector_shows_test_images(projector, tmp_path, channels):
    run = made_run(tmp_path)
    trial, *others = made_trials(run)
    faces = made_faces(tmp_path, channels)
    record(TensorBoard(), run, [dataclasses.replace(trial, faces=faces), *others])
    ask = projector(run.folder / "tensorboard")
    assert ask("/runs").json == [trial.id]
    (shown,) = ask("/info", run=trial.id).json["embeddings"]
    assert (shown["tensorName"], shown["tensorShape"]) == ("test", [7, 3])
    with np.load(faces) as told:
        tensor = np.frombuffer(ask("/tensor", run=trial.id, name="test").data, np.float32).reshape(7, 3)
        np.testing.assert_array_equal(tensor, told["embeddings"])
        names = ask("/metadata", run=trial.id, name="test").text.splitlines()
        assert names == told["identities"].tolist()
        sprite = ask("/sprite_image", run=trial.id, name="test")
        assert (sprite.status_code == 200) == bool(channels)
        if channels:
            # 7 photos of 6 x 4 pixels, three in a row.
            assert shown["sprite"]["singleImageDim"] == [4, 6]
            pixels = np.asarray(Image.open(io.BytesIO(sprite.data))).reshape(18, 12, channels)
            for number, photo in enumerate(told["photos"]):
                top, left = 6 * (number // 3), 4 * (number % 3)
                np.testing.assert_array_equal(pixels[top : top + 6, left : left + 4], photo)


def test_names_that_would_break_lines_do_not(tmp_path):
    run, faces = made_run(tmp_path), tmp_path / "odd.npz"
    (trial, *_) = made_trials(run)
    np.savez(faces, embeddings=np.zeros((3, 1), np.float32), identities=np.array(["a\tb\nc", "\udcff", "d"]))
    record(TensorBoard(), run, [dataclasses.replace(trial, faces=faces)])
    folder = run.folder / "tensorboard" / trial.id
    assert (folder / METADATA).read_text(encoding="utf-8").splitlines() == ["a b c", "\\udcff", "d"]


def test_no_face_stays_where_none_is_asked_for_any_more(tmp_path):
    run = made_run(tmp_path)
    (trial, *_) = made_trials(run)
    record(TensorBoard(), run, [dataclasses.replace(trial, faces=made_faces(tmp_path, 3))])
    folder = run.folder / "tensorboard" / trial.id
    projection = {CONFIG, TENSORS, METADATA, SPRITE}
    assert projection <= {path.name for path in folder.iterdir()}
    record(TensorBoard(), run, [trial])
    assert not projection & {path.name for path in folder.iterdir()}


def test_faces_that_cannot_be_written_cost_nothing_else(tmp_path, monkeypatch):
    run = made_run(tmp_path)
    (trial, *_) = made_trials(run)
    tracker = TensorBoard().open(run)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savetxt", full)
    with pytest.raises(OSError, match="No space left"):
        tracker.trial_ended(dataclasses.replace(trial, faces=made_faces(tmp_path)))
    folder = run.folder / "tensorboard" / trial.id
    assert scalars(read(folder))["metrics/auc"] == [(20, 0.875)]
    assert not (folder / CONFIG).exists(), "the projector looks for nothing that is not there"


def test_tensorflow_stays_out(tmp_path):
    """TensorBoard's package can do with it and without it; a process that imports it takes half a gigabyte more."""
    code = """
import json, pathlib, sys
from faceexp_tracker_tensorboard import TensorBoard
from faceexp.contract import TrackedEnd, TrackedRun, TrackedTrial
folder, faces = map(pathlib.Path, sys.argv[1:])
tracker = TensorBoard().open(TrackedRun("made", folder))
tracker.trial_ended(TrackedTrial("a", "a", "loss", 0, 0, status="failed", settings={"b": 1}, metrics={"c": 2.0}))
tracker.trial_ended(TrackedTrial("b", "b", "loss", 0, 0, faces=faces))
tracker.run_ended(TrackedEnd(folder, folder / "report.html", "nothing"))
print(json.dumps(sorted({"tensorflow", "keras", "torch"} & set(sys.modules))))
"""
    arguments = [tmp_path, made_faces(tmp_path, 3)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
