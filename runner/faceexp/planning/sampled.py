"""Whether the identities that a step sees the weights of are enough for its batch, and no more than there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import BatchSupply
from faceexp.data.splits import Split
from faceexp.experiment.lines import KeyPath
from faceexp.experiment.optimization import Optimization, sample_size
from faceexp.planning.issues import Issue
from faceexp.values import Resolved


def sample_issues(resolved: Resolved, labels: IntArray, parts: Sequence[Split]) -> Iterator[Issue]:
    """Yield what is wrong with each ``sampled_classes``; the smallest training part decides."""
    people = min(len(np.unique(labels[part.train])) for part in parts)
    experiment = resolved.experiment
    phases: list[tuple[KeyPath, Optimization, BatchSupply]] = []
    if experiment.pretrain.enabled:
        phases.append((("pretrain",), experiment.pretrain, BatchSupply(experiment.pretrain.batch_size)))
    for loss in resolved.losses:
        pretrain, finetune, place = loss.entry.pretrain, loss.entry.finetune, ("losses", loss.entry.index)
        if pretrain.enabled and pretrain != experiment.pretrain:
            phases.append(((*place, "pretrain"), pretrain, BatchSupply(pretrain.batch_size)))
        is_shared = finetune == experiment.finetune
        phases.append((("finetune",) if is_shared else (*place, "finetune"), finetune, loss.sampler.supply()))
    for path, settings, supply in phases:
        if settings.sampled_classes is None:
            continue
        size, most = sample_size(settings.sampled_classes, people), min(_most_identities(supply), people)
        share = "" if settings.sampled_classes >= 1 else f"{settings.sampled_classes:g} of {people} identities are "
        if size < most:
            message = f"{share}{size}, fewer than the {most} that a batch may show; use {most} at least"
            yield Issue((*path, "sampled_classes"), message)
        elif size > people:
            message = f"{size} is more than the {people} identities of the smallest training part; use a smaller number"
            yield Issue((*path, "sampled_classes"), message)


def _most_identities(supply: BatchSupply) -> int:
    """Return how many identities a batch may show: some have several images in it, all others may have one."""
    return supply.size - supply.classes * (supply.images_per_class - 1)
