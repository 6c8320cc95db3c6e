"""MLflow: a run becomes a run of MLflow, and its trials runs nested in it."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faceexp.contract import TrackedEnd, TrackedModel, TrackedRun, TrackedTrial, Tracker, TrackerPlugin, option

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Metric
    from mlflow.models import Model

T = TypeVar("T")
# What MLflow takes in one call, and letters of a value.
MOST_METRICS, MOST_SETTINGS, MAX_VALUE = 1000, 100, 6000
# What holds where the environment says nothing: a server that does not answer is told of at once, and nobody is told of
# the use of MLflow.
USUAL = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class Mlflow(TrackerPlugin):
    """MLflow: settings, curves, metrics and models of every trial, and the report of the run.

    A run of faceexp is one run of MLflow, called like its folder, with the experiment file and the report as artefacts.
    Each trial is a run nested in it. Whatever in the name of a metric MLflow does not take becomes ``_``:
    ``tar@far=0.01`` is ``tar_far_0.01`` there. The same run once more is another run of MLflow.

    The model of a trial is a model of MLflow, called ``model``, with its signature: images uint8 (-1, H, W, C) become
    embeddings float32 (-1, D). ``mlflow.keras.load_model`` opens one whose network is a Keras file from pixels to
    embeddings; ``faceexp.load_model`` opens the folder of every one. No code is stored.
    """

    tracking_uri: str = option(
        "",
        "Where runs are recorded: the address of a server, or a database such as `sqlite:///mlflow.db` in the current "
        "directory; by default what MLflow itself uses, which the variable MLFLOW_TRACKING_URI says.",
    )
    experiment: str = option(
        "faceexp",
        "Name of the experiment of MLflow that the runs belong to; it is made if there is none.",
        min_length=1,
    )
    models: bool = option(default=True, description="Whether the folder of each model is copied.")

    def open(self, run: TrackedRun) -> Tracker:
        """Return what records a run.

        Raises:
            MlflowException: Nothing can be recorded there.
        """
        for name, value in USUAL.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.tracking_uri or None)
        known = client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else client.create_experiment(self.experiment)
        tags = {"faceexp.folder": str(run.folder), "faceexp.experiment": run.name}
        whole = client.create_run(experiment, run_name=run.folder.name, tags=tags)
        client.log_dict(whole.info.run_id, dict(run.experiment), "experiment.json")
        return Runs(client, experiment, whole.info.run_id, models=self.models)


class Runs(Tracker):
    """A run of MLflow with a run for each trial nested in it."""

    def __init__(self, client: MlflowClient, experiment: str, whole: str, *, models: bool) -> None:
        """Take what was begun.

        Args:
            client: Speaks with MLflow.
            experiment: The id of MLflow's experiment.
            whole: The id of the run in which the trials are nested.
            models: Whether models are copied.
        """
        self._client, self._experiment, self._whole, self._models = client, experiment, whole, models
        self._trials: dict[str, tuple[str, TrackedTrial]] = {}
        self._is_ended = False

    def trial_ended(self, trial: TrackedTrial) -> None:
        """Record a trial, as a run that has ended."""
        from mlflow.entities import Param

        told = {"kind": trial.kind, "status": trial.status, "reason": trial.reason[:MAX_VALUE]}
        tags = {f"faceexp.{name}": value for name, value in told.items() if value}
        tags["mlflow.parentRunId"] = self._whole
        run = self._client.create_run(self._experiment, run_name=trial.id, tags=tags).info.run_id
        self._trials[trial.id] = run, trial
        settings = {"label": trial.label, "seed": trial.seed, "fold": trial.fold, **trial.settings}
        for some in _in_parts(settings.items(), MOST_SETTINGS):
            self._client.log_batch(run, params=[Param(_name(key), str(value)[:MAX_VALUE]) for key, value in some])
        for metrics in _in_parts(_metrics(trial), MOST_METRICS):
            self._client.log_batch(run, metrics=metrics)
        try:
            if trial.model and self._models:
                self._log_model(run, trial, trial.model)
        finally:
            self._client.set_terminated(run, "FINISHED" if trial.status == "ok" else "FAILED")

    def _log_model(self, run: str, trial: TrackedTrial, model: TrackedModel) -> None:
        """Copy the folder of a model, with the file beside it by which MLflow knows what it is."""
        from mlflow.entities import LoggedModelOutput

        # MLflow copies a folder that is gone as an empty one.
        model.folder.stat()
        tags = {"faceexp.trial": trial.id, "faceexp.label": trial.label}
        logged = self._client.create_logged_model(self._experiment, "model", source_run_id=run, tags=tags)
        status = "FAILED"
        try:
            self._client.log_outputs(run, [LoggedModelOutput(logged.model_id, trial.best_step)])
            self._client.log_model_artifacts(logged.model_id, str(model.folder))
            with tempfile.TemporaryDirectory() as folder:
                described(model, logged, run).save(str(Path(folder, "MLmodel")))
                self._client.log_model_artifacts(logged.model_id, folder)
            status = "READY"
        finally:
            self._client.finalize_logged_model(logged.model_id, status)

    def run_ended(self, end: TrackedEnd) -> None:
        """Record the models that were kept, the report, and what was found, which MLflow shows as a description."""
        for name, (run, trial) in self._trials.items() if self._models else ():
            if model := end.models.get(name):
                self._log_model(run, trial, model)
        self._client.set_tag(self._whole, "mlflow.note.content", end.finding)
        self._client.log_artifact(self._whole, str(end.report))
        self._client.set_terminated(self._whole, "FINISHED")
        self._is_ended = True

    def close(self) -> None:
        """Say that the run was interrupted, if it has not ended."""
        if not self._is_ended:
            self._client.set_terminated(self._whole, "KILLED")


def described(model: TrackedModel, logged: LoggedModel, run: str) -> Model:
    """Return what MLflow reads of a model: its signature, and what opens it.

    Args:
        model: The model.
        logged: What MLflow calls it.
        run: The id of the run that it is of.
    """
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.uint8), (-1, *model.image_shape))
    embeddings = TensorSpec(np.dtype(np.float32), (-1, model.embedding_dim or -1))
    made = Model(
        artifact_path=logged.artifact_location,
        run_id=run,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        signature=ModelSignature(Schema([images]), Schema([embeddings])),
    )
    made.add_flavor("faceexp", faceexp_version=version("faceexp"))
    if model.network:
        # Its loader adds the ending of the file's name, and Keras opens it without running code of the file.
        keras = {"data": model.network.stem, "keras_version": version("keras"), "save_exported_model": False}
        made.add_flavor("keras", **keras)
        made.add_flavor("python_function", loader_module="mlflow.keras")
    return made


def _metrics(trial: TrackedTrial) -> Iterator[Metric]:
    """Yield the curve of a trial, and each metric at the step whose weights are kept."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for point in trial.curve:
        for name, value in (("loss", point.loss), ("validation", point.validation)):
            if value is not None:
                yield Metric(f"curve/{name}", value, now, point.step)
    for name, value in trial.metrics.items():
        yield Metric(_name(name), value, now, trial.best_step)


def _name(text: str) -> str:
    """Return a text as MLflow takes it for the name of a metric or a setting."""
    return re.sub(r"[^\w\-. :/]", "_", text, flags=re.ASCII)


def _in_parts(values: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while part := list(itertools.islice(rest, size)):
        yield part
