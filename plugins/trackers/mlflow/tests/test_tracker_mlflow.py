"""A real MLflow with SQLite: its own client reads back what was recorded."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faceexp_tracker_mlflow import MAX_VALUE, MOST_METRICS, MOST_SETTINGS, Mlflow

from faceexp.contract import TrackedPoint
from faceexp.testing import TrackerContract
from faceexp.testing.tracker import CONTENT, made_end, made_run, made_trials, record

mlflow = pytest.importorskip("mlflow")
# MLflow under the newest SQLAlchemy; nothing of ours is in it.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*:DeprecationWarning")


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A database whose tables are made once, which takes some seconds; artefacts lie beside it."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def client(uri):
    return mlflow.MlflowClient(tracking_uri=uri)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    # MLflow puts artefacts into the current directory.
    monkeypatch.chdir(tmp_path)
    yield
    # The tracker needs no address for the whole process; what reads models back does.
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module", autouse=True)
def _environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


class TestMlflowContract(TrackerContract):
    @pytest.fixture
    def plugin(self, uri):
        return Mlflow(tracking_uri=uri, experiment="contract")


def runs(client, name):
    """Return the run of MLflow, and those nested in it by the names of their trials."""
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id])
    (whole,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in found if run is not whole]
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} <= {whole.info.run_id}
    return whole, {run.info.run_name: run for run in nested}


def test_every_metric_and_setting_is_read_back(uri, client, tmp_path):
    run = made_run(tmp_path)
    trials = made_trials(run)
    record(Mlflow(tracking_uri=uri, experiment="whole"), run, trials)
    whole, nested = runs(client, "whole")
    assert (whole.info.run_name, whole.info.status) == (run.folder.name, "FINISHED")
    assert whole.data.tags["mlflow.note.content"] == made_end(run).finding
    assert whole.data.tags["faceexp.folder"] == str(run.folder)
    assert set(nested) == {trial.id for trial in trials}
    for trial in trials:
        recorded = nested[trial.id]
        names = {"auc": "auc", "tar@far=0.01": "tar_far_0.01", "abroad/auc": "abroad/auc"}
        last = {f"curve/{name}": getattr(trial.curve[-1], name) for name in ("loss", "validation") if trial.curve}
        metrics = {names[name]: value for name, value in trial.metrics.items()}
        assert recorded.data.metrics == metrics | {key: value for key, value in last.items() if value is not None}
        for name in metrics:
            assert [point.step for point in client.get_metric_history(recorded.info.run_id, name)] == [trial.best_step]
        settings = {"label": trial.label, "seed": trial.seed, "fold": trial.fold, **trial.settings}
        assert recorded.data.params == {key: str(value) for key, value in settings.items()}
        assert recorded.info.status == ("FINISHED" if trial.status == "ok" else "FAILED")
        assert recorded.data.tags["faceexp.kind"] == trial.kind
        assert recorded.data.tags.get("faceexp.reason", "") == trial.reason
    curve = client.get_metric_history(nested[trials[0].id].info.run_id, "curve/loss")
    assert [(point.step, point.value) for point in curve] == [(p.step, p.loss) for p in trials[0].curve]


@pytest.mark.parametrize("models", [True, False])
def test_report_experiment_and_models_are_artefacts(uri, client, tmp_path, models):
    run, name = made_run(tmp_path), f"artefacts {models}"
    trial, _, told_at_the_end, *_ = made_trials(run)
    record(Mlflow(tracking_uri=uri, experiment=name, models=models), run, [trial, told_at_the_end])
    mlflow.set_tracking_uri(uri)
    whole, nested = runs(client, name)
    folder = client.download_artifacts(whole.info.run_id, "", str(tmp_path))
    assert sorted(file.path for file in client.list_artifacts(whole.info.run_id)) == ["experiment.json", "report.html"]
    assert json.loads(Path(folder, "experiment.json").read_text(encoding="utf-8")) == run.experiment
    for each in (trial, told_at_the_end):
        files = {file.path for file in client.list_artifacts(nested[each.id].info.run_id, "model")}
        assert files == ({"model/MLmodel", "model/calibration.json", "model/model.keras"} if models else set()), each.id
    assert len(logged_models(client, name)) == 2 * models


def logged_models(client, name):
    return client.search_logged_models([client.get_experiment_by_name(name).experiment_id])


@pytest.mark.parametrize("is_whole", [True, False], ids=["network", "plugin opens it"])
def test_a_model_has_its_signature_and_its_bytes(uri, client, tmp_path, is_whole):
    run, name = made_run(tmp_path), f"signature {is_whole}"
    trial = made_trials(run)[0]
    assert trial.model
    if not is_whole:
        trial = dataclasses.replace(trial, model=dataclasses.replace(trial.model, network=None, embedding_dim=None))
    record(Mlflow(tracking_uri=uri, experiment=name), run, [trial])
    mlflow.set_tracking_uri(uri)
    (model,), nested = logged_models(client, name), runs(client, name)[1]
    its_run = nested[trial.id]
    assert (model.name, model.source_run_id, model.status.name) == ("model", its_run.info.run_id, "READY")
    assert (model.tags["faceexp.trial"], model.tags["faceexp.label"]) == (trial.id, trial.label)
    (output,) = its_run.outputs.model_outputs
    assert (output.model_id, output.step) == (model.model_id, trial.best_step)

    folder = Path(client.download_artifacts(its_run.info.run_id, "model", str(tmp_path)))
    for file in trial.model.folder.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes() == CONTENT
    described = mlflow.models.Model.load(folder)
    ((images,), (embeddings,)) = (schema.inputs for schema in (described.signature.inputs, described.signature.outputs))
    assert (images.type, images.shape) == (np.uint8, (-1, 12, 8, 3))
    assert (embeddings.type, embeddings.shape) == (np.float32, (-1, 4 if is_whole else -1))
    assert (described.model_id, described.run_id) == (model.model_id, its_run.info.run_id)
    assert set(described.flavors) == ({"faceexp", "keras", "python_function"} if is_whole else {"faceexp"})
    assert mlflow.models.get_model_info(f"models:/{model.model_id}").signature == described.signature


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's own, of a type of its own
def test_mlflow_itself_opens_a_network(uri, client, tmp_path):
    """Pixels go in as the signature says, and what comes out is computed here without Keras."""
    keras = pytest.importorskip("keras")
    run = made_run(tmp_path)
    trial = made_trials(run)[0]
    rng = np.random.default_rng(0)
    pixels, kernel = rng.integers(0, 256, (5, 12, 8, 3), np.uint8), rng.normal(size=(12 * 8 * 3, 4)).astype(np.float32)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(4, use_bias=False)]
    network = keras.Sequential([keras.Input((12, 8, 3)), *layers])
    network.set_weights([kernel])
    network.save(trial.model.network)
    record(Mlflow(tracking_uri=uri, experiment="opened"), run, [trial])
    mlflow.set_tracking_uri(uri)
    (model,) = logged_models(client, "opened")
    opened = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    expected = pixels.reshape(5, -1).astype(np.float64) / 255 @ kernel
    np.testing.assert_allclose(opened.predict(pixels), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(mlflow.MlflowException, match="schema"):
        opened.predict(pixels[:, :6])


def test_a_model_that_cannot_be_copied_costs_nothing_else(uri, client, tmp_path, monkeypatch):
    run = made_run(tmp_path)
    trial = made_trials(run)[0]
    assert trial.model
    gone = dataclasses.replace(trial.model, folder=run.folder / "models" / "gone")

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tracker = Mlflow(tracking_uri=uri, experiment="gone").open(run)
    with pytest.raises(FileNotFoundError, match="gone"):
        tracker.trial_ended(dataclasses.replace(trial, id="gone", model=gone))
    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "log_model_artifacts", full)
        with pytest.raises(OSError, match="No space left"):
            tracker.trial_ended(dataclasses.replace(trial, id="full"))
    tracker.trial_ended(trial)
    tracker.close()
    nested = runs(client, "gone")[1]
    assert set(nested) == {"gone", "full", trial.id}
    assert {run.info.status for run in nested.values()} == {"FINISHED"}
    assert {run.data.metrics["auc"] for run in nested.values()} == {trial.metrics["auc"]}
    told = {model.tags["faceexp.trial"]: model.status.name for model in logged_models(client, "gone")}
    assert told == {"full": "FAILED", trial.id: "READY"}


def test_more_than_one_call_takes(uri, client, tmp_path):
    run = made_run(tmp_path)
    (trial, *_) = made_trials(run)
    settings = {f"loss.{number}": number for number in range(MOST_SETTINGS + 5)} | {"long": "x" * (MAX_VALUE + 5)}
    curve = tuple(TrackedPoint(step, step / 7, None) for step in range(MOST_METRICS + 5))
    trial = dataclasses.replace(trial, settings=settings, curve=curve, model=None)
    record(Mlflow(tracking_uri=uri, experiment="many"), run, [trial])
    _, nested = runs(client, "many")
    recorded = nested[trial.id]
    told = {"label": trial.label, "seed": 0, "fold": 0, **settings, "long": "x" * MAX_VALUE}
    assert recorded.data.params == {key: str(value) for key, value in told.items()}
    history = client.get_metric_history(recorded.info.run_id, "curve/loss")
    assert [(point.step, point.value) for point in history] == [(point.step, point.loss) for point in curve]


def test_an_interrupted_run_is_marked_so_and_the_next_one_is_another(uri, client, tmp_path):
    run = made_run(tmp_path)
    plugin = Mlflow(tracking_uri=uri, experiment="twice")
    record(plugin, run, (), ends=False)
    whole, nested = runs(client, "twice")
    assert (whole.info.status, nested) == ("KILLED", {})
    record(plugin, run, ())
    found = client.search_runs([client.get_experiment_by_name("twice").experiment_id])
    assert sorted(run.info.status for run in found) == ["FINISHED", "KILLED"]


def test_a_place_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileExistsError, match="file"):
        Mlflow(tracking_uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}").open(made_run(tmp_path))


def test_importing_it_leaves_mlflow_alone():
    code = "import faceexp_tracker_mlflow, sys; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
