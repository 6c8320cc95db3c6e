"""What trackers are told of a run, made of its plan, its records and its end."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from faceexp.contract import Setting, TrackedEnd, TrackedModel, TrackedPoint, TrackedRun, TrackedTrial
from faceexp.data.images import shape
from faceexp.errors import InputError
from faceexp.report.headline import headline
from faceexp.results.events import TrialEnded
from faceexp.results.folder import RunFolder
from faceexp.results.schema import TrialRecord
from faceexp.run import Run
from faceexp.values import Plan, ResolvedLoss, Trial

# The settings of each row of a run, by its label.
Settings = Mapping[str, Mapping[str, Setting]]


def begun(plan: Plan, folder: RunFolder) -> TrackedRun:
    """Return what is told of a run that begins."""
    experiment = plan.resolved.experiment
    rows = tuple(dict.fromkeys(trial.label for trial in plan.trials))
    return TrackedRun(experiment.name, folder.root.absolute(), experiment.model_dump(mode="json"), rows)


def ended(
    event: TrialEnded, plan: Plan, settings: Settings, folder: RunFolder, *, keeps_all: bool = True
) -> TrackedTrial:
    """Return what is told of a trial that has ended.

    Args:
        event: Its end.
        plan: That of the run.
        settings: Those of each row of the run.
        folder: That of the run.
        keeps_all: Whether its model stays; otherwise one that is better may take its place.
    """
    trial = event.trial
    measured = [*trial.metrics.items()]
    measured += [(f"{name}/{key}", value) for name, of_set in trial.sets.items() for key, value in of_set.items()]
    return TrackedTrial(
        id=trial.id,
        label=trial.label,
        kind=trial.kind,
        seed=trial.seed,
        fold=trial.fold,
        status=trial.status,
        reason=trial.reason or "",
        settings=settings.get(trial.label, {}),
        metrics={key: float(value) for key, value in measured if value is not None},
        curve=tuple(TrackedPoint(point.step, point.loss, point.validation) for point in trial.curve),
        best_step=trial.best_step,
        model=model_of(trial, folder, width_of(event, plan)) if keeps_all else None,
    )


def width_of(event: TrialEnded, plan: Plan) -> int | None:
    """Return how many numbers an embedding of a trial has: as the file says, or as an existing network gave."""
    if event.trial.kind == "loss":
        return plan.resolved.experiment.trunk.embedding_dim
    embeddings = event.trained.embeddings.get("test") if event.trained else None
    return None if embeddings is None else embeddings.shape[1]


def model_of(trial: TrialRecord, folder: RunFolder, width: int | None) -> TrackedModel | None:
    """Return what is told of the model of a trial; nothing where there is none, or where its network is not kept.

    Args:
        trial: The trial.
        folder: That of the run.
        width: How many numbers an embedding has.
    """
    model = folder.model(trial.id)
    try:
        record = model.read()
    except InputError:
        return None
    if trial.kind == "loss" and not model.has_network:
        return None
    network = model.network("keras").absolute()
    return TrackedModel(
        folder=model.root.absolute(),
        image_shape=shape(record.preprocess),
        embedding_dim=width,
        network=network if record.trunk is None and network.is_file() else None,
    )


def finished(run: Run, folder: RunFolder, told: Collection[str], widths: Mapping[str, int | None]) -> TrackedEnd:
    """Return what is told of a run that has ended.

    Args:
        run: The run.
        folder: Its folder.
        told: The ids of the trials that told of their model when they ended.
        widths: How many numbers an embedding of each trial has.
    """
    finding = " ".join(answer.text for answer in headline(run.shown.results))
    rest = (trial for trial in run.trials if trial.id not in told)
    models = {trial.id: model_of(trial, folder, widths.get(trial.id)) for trial in rest}
    kept = {trial: model for trial, model in models.items() if model}
    return TrackedEnd(folder.root.absolute(), folder.page.absolute(), finding, kept)


def settings_of_rows(plan: Plan) -> Settings:
    """Return the settings of each row by its label: trials of further seeds have those of the first."""
    return {trial.label: settings_of(trial) for trial in plan.trials}


def settings_of(trial: Trial) -> dict[str, Setting]:
    """Return how a trial is trained, by flat names: ``loss.margin``, ``finetune.sampler.plugin``."""
    if trial.loss:
        return dict(_flat(_of_loss(trial.loss)))
    if trial.pretrained:
        network = trial.pretrained.network
        return dict(_flat({"model": {"plugin": network.installed.name, **network.plugin.model_dump(mode="json")}}))
    return {}


def _of_loss(loss: ResolvedLoss) -> dict[str, object]:
    options = [part.plugin.model_dump(mode="json") for part in loss.loss.parts]
    if loss.entry.combine:
        # An option may be called like what a part has itself.
        both = enumerate(zip(loss.entry.combine, options, strict=True), 1)
        of_loss = {str(n): {"plugin": part.plugin, "weight": part.weight, "options": each} for n, (part, each) in both}
    else:
        of_loss = options[0]
    sampler = {"plugin": loss.sampler.installed.name, **loss.sampler.plugin.model_dump(mode="json")}
    finetune = {**loss.entry.finetune.model_dump(mode="json"), "sampler": sampler}
    return {"loss": {"plugin": loss.entry.name, **of_loss}, "finetune": finetune}


def _flat(table: Mapping[str, object], before: str = "") -> Iterator[tuple[str, Setting]]:
    """Yield every value of nested tables with its flat name. What is not given has none; a list becomes its text."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, str | bool | int | float):
            yield f"{before}{key}", value
        elif value is not None:
            yield f"{before}{key}", json.dumps(value)
