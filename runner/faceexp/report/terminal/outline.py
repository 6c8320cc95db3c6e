"""What a run is about to do, in one line; apart from the rest so that ``faceexp validate`` need not import it."""

from __future__ import annotations

from faceexp.values import Resolved


def outline(resolved: Resolved) -> str:
    """Return in one line what a run is about to do."""
    experiment = resolved.experiment
    losses, seeds, folds = len(resolved.losses), len(experiment.seeds), resolved.folds
    trials = losses * seeds * folds
    return (
        f"{experiment.name}: {losses} loss{'es' if losses > 1 else ''} x {seeds} seed{'s' if seeds > 1 else ''} "
        f"x {folds} fold{'s' if folds > 1 else ''} = {trials} trials on {experiment.dataset.plugin}, "
        f"{experiment.protocol.kind.replace('_', ' ')}, trunk {experiment.model.plugin}"
    )
