"""Trunks with trained weights: phase 1 leaves them as they are, unless the experiment says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.experiment.schema import FLOAT32, Experiment, Pretrain
from faceexp.planning.issues import Issue
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.values import Note


def with_trunk(experiment: Experiment, model: ConfiguredPlugin | None) -> Experiment:
    """Return the experiment with what follows from its trunk, where the file does not say it.

    Of a trunk with trained weights, phase 1 trains the embedding layer alone; of one that is only run, there is no
    phase 1.
    """
    if model is None or not cast("ModelPlugin | FixedModelPlugin", model.plugin).trained:
        return experiment
    is_fixed = isinstance(model.plugin, FixedModelPlugin)

    def fitted(pretrain: Pretrain) -> Pretrain:
        changes: dict[str, object] = {}
        if is_fixed and "enabled" not in pretrain.model_fields_set:
            changes["enabled"] = False
        if pretrain.trainable is None:
            changes["trainable"] = "head"
        return pretrain.model_copy(update=changes)

    losses = [loss.model_copy(update={"pretrain": fitted(loss.pretrain)}) for loss in experiment.losses]
    return experiment.model_copy(update={"pretrain": fitted(experiment.pretrain), "losses": tuple(losses)})


def precision_notes(experiment: Experiment) -> Iterator[Note]:
    """Yield what a reader should know of the precision in which the network computes, if it is no usual one."""
    if experiment.model and experiment.model.precision != FLOAT32:
        text = (
            f"the network computes in {experiment.model.precision}, in training and where it is measured; the layers "
            "of saved networks compute in float32, so that their embeddings differ a little from those measured"
        )
        yield Note("precision", text)


def trunk_issues(experiment: Experiment, model: ConfiguredPlugin | None) -> list[Issue]:
    """Return what an experiment asks of its trunk that cannot be done.

    Args:
        experiment: What :func:`with_trunk` has returned.
        model: The trunk.
    """
    issues = _precision_issues(experiment, model)
    if model is None or not experiment.losses:
        return issues
    augment, is_fixed = experiment.augment, isinstance(model.plugin, FixedModelPlugin)
    if is_fixed:
        cannot = f"needs a trunk that can be trained, and {model.installed} is only run"
        for entry in experiment.losses:
            here: tuple[str | int, ...] = () if entry.pretrain == experiment.pretrain else ("losses", entry.index)
            if entry.pretrain.trainable == "all" and entry.pretrain.enabled:
                issues.append(Issue((*here, "pretrain", "trainable"), f'"all" {cannot}'))
            here = () if entry.finetune == experiment.finetune else ("losses", entry.index)
            if entry.finetune.trainable == "all":
                issues.append(Issue((*here, "finetune", "trainable"), f'"all" {cannot}'))
        if augment.beyond_flip:
            issues.append(
                Issue(("augment",), f"changes no image: the features of {model.installed} are computed once; use flip")
            )
    elif augment.beyond_flip and not augment.phase2:
        phases = [entry.pretrain for entry in experiment.losses if entry.pretrain.enabled]
        if phases and all(phase.trainable == "head" for phase in phases):
            message = (
                "changes no image, since phase 1 leaves a trunk with trained weights as it is; set phase2 = true, or "
                'pretrain.trainable = "all"'
            )
            issues.append(Issue(("augment",), message))
    return issues


def _precision_issues(experiment: Experiment, model: ConfiguredPlugin | None) -> list[Issue]:
    """Return that the precision of a network that is only run cannot be chosen, if the experiment does so."""
    if model is None or not isinstance(model.plugin, FixedModelPlugin) or experiment.trunk.precision == FLOAT32:
        return []
    message = f"{experiment.trunk.precision!r} changes nothing of {model.installed}, which is only run, as it is"
    return [Issue(("model", "precision"), f"{message}; leave it out")]
