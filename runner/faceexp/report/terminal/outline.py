"""What a run is about to do, in one line; apart from the rest so that ``faceexp validate`` need not import it."""

from __future__ import annotations

from faceexp.planning.candidates import Candidates
from faceexp.planning.trials import trials_of
from faceexp.report.words import many, trials_counted
from faceexp.values import Resolved


def outline(resolved: Resolved, candidates: Candidates | None = None) -> str:
    """Return in one line what a run is about to do.

    Args:
        resolved: The experiment.
        candidates: What is searched before, if anything is.
    """
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
    searched = _searched(resolved, candidates) if candidates else ""
    return f"{experiment.name}: {counted} on {experiment.dataset.plugin}, {protocol}{trunk}{searched}"


def _searched(resolved: Resolved, candidates: Candidates) -> str:
    """Return how many trainings a search has, and which trials it adds."""
    search = resolved.experiment.search
    losses = sum(1 for space in candidates.spaces() if space.dimensions)
    if search is None:
        return ""
    number = search.trials * len(search.seeds) * resolved.folds
    before = f"; before that, trunk and phase 1 are searched: {many(number, 'training')}" if candidates.phase1() else ""
    if not losses:
        return before
    number *= losses
    ways = [
        many(losses, "loss", "losses"),
        many(search.trials, "trial"),
        many(len(search.seeds), "seed"),
        many(resolved.folds, "fold"),
    ]
    link = ", then" if before else "; before that,"
    text = f"{before}{link} settings are searched for: {many(number, 'training')} ({' x '.join(ways)})"
    more = losses * len(resolved.experiment.seeds) * resolved.folds
    return text + (f", and up to {many(more, 'trial')} more at default settings" if search.defaults else "")
