"""Losses that classify in phase 1, in the place of softmax: found, and checked against its batches."""

from __future__ import annotations

from faceexp.contract import BatchSupply
from faceexp.experiment.lines import KeyPath
from faceexp.experiment.schema import Experiment, Pretrain
from faceexp.planning.issues import Issue
from faceexp.planning.needs import lack
from faceexp.registry.installed import BrokenPluginError, ConfiguredPlugin, Registry


def classifiers_of(experiment: Experiment, registry: Registry, issues: list[Issue]) -> dict[str, ConfiguredPlugin]:
    """Return the losses that phases 1 name, by ``PluginRef.key``; what cannot be trained so is added to the issues."""
    found: dict[str, ConfiguredPlugin] = {}
    places: list[tuple[KeyPath, Pretrain]] = [(("pretrain",), experiment.pretrain)]
    places += [
        (("losses", entry.index, "pretrain"), entry.pretrain)
        for entry in experiment.losses
        if entry.pretrain.loss != experiment.pretrain.loss
    ]
    for place, pretrain in places:
        if pretrain.loss is None or pretrain.loss.key in found:
            continue
        loss = registry.configure("loss", pretrain.loss.plugin, pretrain.loss.options)
        found[pretrain.loss.key] = loss
        try:
            lacking = lack(loss.traits().needs, BatchSupply(pretrain.batch_size))
        except BrokenPluginError as error:
            issues.append(Issue((*place, "loss"), str(error.as_input_error())))
            continue
        if lacking:
            message = (
                f"loss {pretrain.loss.plugin!r} needs {lacking}, and phase 1 draws images in random order; choose a "
                "loss that compares each image with weights of its own, such as proxies"
            )
            issues.append(Issue((*place, "loss"), message))
    return found
