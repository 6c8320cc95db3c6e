"""A real MLflow with SQLite: its own client reads back what was recorded."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

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
    whole, nested = runs(client, name)
    folder = client.download_artifacts(whole.info.run_id, "", str(tmp_path))
    assert sorted(file.path for file in client.list_artifacts(whole.info.run_id)) == ["experiment.json", "report.html"]
    assert json.loads(Path(folder, "experiment.json").read_text(encoding="utf-8")) == run.experiment
    for each in (trial, told_at_the_end):
        files = {file.path for file in client.list_artifacts(nested[each.id].info.run_id, "model")}
        assert files == ({"model/model.json", "model/network.keras"} if models else set()), each.id
    if models:
        network = client.download_artifacts(nested[trial.id].info.run_id, "model/network.keras", str(tmp_path))
        assert Path(network).read_bytes() == CONTENT


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
