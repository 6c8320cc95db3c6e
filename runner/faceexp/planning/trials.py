"""The trials of a plan: which there are, and what their files are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from faceexp.experiment.baselines import BASELINES
from faceexp.store import digest
from faceexp.values import Resolved, Trial


def trials_of(resolved: Resolved, folds: int) -> Iterator[Trial]:
    """Yield the trials in the order in which they run: of each seed and fold baselines, existing embeddings, losses.

    Args:
        resolved: What is to be done, with its seeds.
        folds: Folds per seed.
    """
    experiment = resolved.experiment
    labels = [BASELINES[key].label for key in experiment.baselines] + [
        baseline.label for baseline in resolved.baselines
    ]
    labels += [row.entry.label for row in resolved.pretrained] + [loss.entry.label for loss in resolved.losses]
    names = _file_names(list(dict.fromkeys(labels)))
    for seed in experiment.seeds:
        for fold in range(folds):
            for baseline in resolved.baselines:
                label = baseline.label
                yield Trial(f"{names[label]}-s{seed}-f{fold}", label, "baseline", seed, fold, baseline=baseline)
            for row in resolved.pretrained:
                label = row.entry.label
                yield Trial(f"{names[label]}-s{seed}-f{fold}", label, "pretrained", seed, fold, pretrained=row)
            for loss in resolved.losses:
                label = loss.entry.label
                yield Trial(f"{names[label]}-s{seed}-f{fold}", label, "loss", seed, fold, loss)


def _file_names(labels: list[str]) -> dict[str, str]:
    """Return a distinct file name for each label: what is no letter or digit becomes a dash."""
    plain = {label: re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-.") or "loss" for label in labels}
    often = Counter(name.lower() for name in plain.values())
    return {label: name if often[name.lower()] == 1 else f"{name}-{digest(label)[:6]}" for label, name in plain.items()}
