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
            own = pretrain.sampled != experiment.pretrain.sampled
            path = (*place, "pretrain") if own else ("pretrain",)
            phases.append((path, pretrain, BatchSupply(pretrain.batch_size)))
        shared = experiment.finetune and experiment.finetune.sampled
        own = finetune.sampled != shared
        phases.append(((*place, "finetune") if own else ("finetune",), finetune, loss.sampler.supply()))
    for path, settings, supply in phases:
        if settings.sampled is None:
            continue
        size, most = sample_size(settings.sampled, people), min(_most_identities(supply), people)
        if size < most:
            of_all = f"{settings.sampled:g} of {people} identities is {size}, which"
            asked = of_all if settings.sampled < 1 else f"{size}"
            message = f"{asked} is less than the {most} identities that a batch may show"
            yield Issue((*path, "sampled_classes"), f"{message}; set it to {most} or more")
        elif size > people:
            message = f"{size} is more than the {people} identities of the smallest training part"
            yield Issue((*path, "sampled_classes"), f"{message}; set it to less")


def _most_identities(supply: BatchSupply) -> int:
    """Return how many identities a batch may show: some have several images in it, all others may have one."""
    return supply.size - supply.classes * (supply.images_per_class - 1)
