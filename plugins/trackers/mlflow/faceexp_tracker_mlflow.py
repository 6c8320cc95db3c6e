"""MLflow: a run becomes a run of MLflow, and its trials runs nested in it."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from faceexp.contract import TrackedEnd, TrackedRun, TrackedTrial, Tracker, TrackerPlugin, option

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

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
    models: bool = option(default=True, description="Whether the folder of each model is copied as an artefact.")

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
        self._runs: dict[str, str] = {}
        self._is_ended = False

    def trial_ended(self, trial: TrackedTrial) -> None:
        """Record a trial, as a run that has ended."""
        from mlflow.entities import Param

        told = {"kind": trial.kind, "status": trial.status, "reason": trial.reason[:MAX_VALUE]}
        tags = {f"faceexp.{name}": value for name, value in told.items() if value}
        tags["mlflow.parentRunId"] = self._whole
        run = self._client.create_run(self._experiment, run_name=trial.id, tags=tags).info.run_id
        self._runs[trial.id] = run
        settings = {"label": trial.label, "seed": trial.seed, "fold": trial.fold, **trial.settings}
        for some in _in_parts(settings.items(), MOST_SETTINGS):
            self._client.log_batch(run, params=[Param(_name(key), str(value)[:MAX_VALUE]) for key, value in some])
        for metrics in _in_parts(_metrics(trial), MOST_METRICS):
            self._client.log_batch(run, metrics=metrics)
        if trial.model and self._models:
            self._client.log_artifacts(run, str(trial.model), "model")
        self._client.set_terminated(run, "FINISHED" if trial.status == "ok" else "FAILED")

    def run_ended(self, end: TrackedEnd) -> None:
        """Record the models that were kept, the report, and what was found, which MLflow shows as a description."""
        for trial, run in self._runs.items() if self._models else ():
            if model := end.models.get(trial):
                self._client.log_artifacts(run, str(model), "model")
        self._client.set_tag(self._whole, "mlflow.note.content", end.finding)
        self._client.log_artifact(self._whole, str(end.report))
        self._client.set_terminated(self._whole, "FINISHED")
        self._is_ended = True

    def close(self) -> None:
        """Say that the run was interrupted, if it has not ended."""
        if not self._is_ended:
            self._client.set_terminated(self._whole, "KILLED")


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
