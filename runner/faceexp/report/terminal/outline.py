"""What a run is about to do, in one line; apart from the rest so that ``faceexp validate`` need not import it."""

from __future__ import annotations

from faceexp.planning.trials import trials_of
from faceexp.report.words import trials_counted
from faceexp.values import Resolved


def outline(resolved: Resolved) -> str:
    """Return in one line what a run is about to do."""
    experiment = resolved.experiment
    trials = list(trials_of(resolved, resolved.folds))
    counted = trials_counted(
        len(trials),
        losses=len(resolved.losses),
        pretrained=len(resolved.pretrained),
        baselines=len({trial.label for trial in trials if trial.kind == "baseline"}),
        seeds=len(experiment.seeds),
        folds=resolved.folds,
    )
    if experiment.protocol.kind == "pairs_file" and experiment.protocol.path is None:
        counted = f"{counted}, and as many for each further fold of the data set's pairs,"
    protocol = experiment.protocol.kind.replace("_", " ")
    trunk = f", trunk {experiment.model.plugin}" if experiment.model else ""
    return f"{experiment.name}: {counted} on {experiment.dataset.plugin}, {protocol}{trunk}"
