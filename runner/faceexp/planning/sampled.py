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
    """Yield what is wrong with each ``sampled_classes``, in one of the training parts."""
    counts = sorted({len(np.unique(labels[part.train])) for part in parts})
    experiment = resolved.experiment
    phases: list[tuple[KeyPath, Optimization, BatchSupply]] = []
    # Where nobody is trained on, phase 1 has no batch at all.
    if experiment.pretrain.enabled and experiment.pretrain.sampled is not None:
        phases.append((("pretrain",), experiment.pretrain, BatchSupply(experiment.pretrain.batch_size)))
    for loss in resolved.losses:
        pretrain, finetune, place = loss.entry.pretrain, loss.entry.finetune, ("losses", loss.entry.index)
        if pretrain.enabled and pretrain.sampled is not None and pretrain != experiment.pretrain:
            own = pretrain.sampled != experiment.pretrain.sampled
            phases.append(((*place, "pretrain") if own else ("pretrain",), pretrain, BatchSupply(pretrain.batch_size)))
        shared = experiment.finetune and experiment.finetune.sampled
        own = finetune.sampled != shared
        phases.append(((*place, "finetune") if own else ("finetune",), finetune, loss.sampler.supply()))
    for path, settings, supply in phases:
        if settings.sampled is None:
            continue
        # The first part that is too small or too large says enough.
        wrong = (_mistake(settings.sampled, people, _most_identities(supply)) for people in counts)
        if message := next(filter(None, wrong), ""):
            yield Issue((*path, "sampled_classes"), message)


def _mistake(sampled: float, people: int, most: int) -> str:
    """Return what is wrong with a sample of so many people, if a batch shows at most so many; or an empty text."""
    size, most = sample_size(sampled, people), min(most, people)
    if size > people:
        return f"{size} is more than the {people} identities of the smallest training part; set it to less"
    if size < most:
        asked = f"{sampled:g} of {people} identities is {size}, which" if sampled < 1 else f"{size}"
        return f"{asked} is less than the {most} identities that a batch may show; set it to {most} or more"
    return ""


def _most_identities(supply: BatchSupply) -> int:
    """Return how many identities a batch may show: some have several images in it, all others may have one."""
    return supply.size - supply.classes * (supply.images_per_class - 1)
