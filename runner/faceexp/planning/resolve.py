"""The plugins of an experiment, looked up and checked against each other, before any data are touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from faceexp.contract import BatchSupply, FixedModelPlugin, ModelPlugin
from faceexp.errors import InputError, Problem
from faceexp.experiment.baselines import BASELINES
from faceexp.experiment.detect import Detect
from faceexp.experiment.lines import KeyPath
from faceexp.experiment.schema import Experiment, LossEntry
from faceexp.planning.classifiers import classifiers_of
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.planning.needs import lack
from faceexp.planning.networks import image_issues
from faceexp.planning.trunk import trunk_issues, with_trunk
from faceexp.registry.combined import CombinedLoss, MismatchError, configured_loss
from faceexp.registry.installed import BrokenPluginError, ConfiguredPlugin, Registry
from faceexp.values import Resolved, ResolvedLoss, ResolvedPretrained, ResolvedSet


def resolve(experiment: Experiment, registry: Registry) -> Resolved:
    """Return the experiment with its plugins, each loss checked against its sampler; touches no data.

    Raises:
        UnplannableError: A loss cannot learn from what its sampler serves, or two rows have one label.
    """
    trunk = experiment.model
    model = registry.configure("model", trunk.plugin, trunk.options) if trunk else None
    experiment = with_trunk(experiment, model)
    issues = trunk_issues(experiment, model)
    losses = []
    samplers: dict[str, ConfiguredPlugin] = {}
    for entry in experiment.losses:
        reference = entry.finetune.sampler
        loss = configured_loss(entry, registry)
        # Losses may share a sampler, which is asked once.
        key = reference.key
        if key not in samplers:
            samplers[key] = registry.configure("sampler", reference.plugin, reference.options)
        sampler = samplers[key]
        try:
            traits = loss.traits()
        except (BrokenPluginError, MismatchError) as error:
            said = error.as_input_error() if isinstance(error, BrokenPluginError) else error
            issues.append(Issue(("losses", entry.index, "combine" if entry.combine else "plugin"), str(said)))
            continue
        try:
            supply = sampler.supply()
        except BrokenPluginError as error:
            own = not experiment.finetune or entry.finetune.sampler != experiment.finetune.sampler
            place = ("losses", entry.index, "finetune") if own else ("finetune",)
            issues.append(Issue((*place, "sampler", "plugin"), str(error.as_input_error())))
            continue
        issues += _lacking(entry, loss, supply)
        if entry.label in {baseline.label for baseline in BASELINES.values()}:
            issues.append(Issue(("losses", entry.index, "label"), f"{entry.label!r} is the name of a baseline"))
        losses.append(ResolvedLoss(entry, loss, sampler, traits))
    classifiers = classifiers_of(experiment, registry, issues)
    pretrained = _resolved_rows(experiment, registry, issues)
    issues += image_issues(experiment, model, [(row.entry.index, row.network) for row in pretrained])
    augment = experiment.augment
    if (
        losses
        and augment.beyond_flip
        and not augment.phase2
        and not any(entry.pretrain.enabled for entry in experiment.losses)
    ):
        issues.append(Issue(("augment",), "changes no image, since no loss has a phase 1; set phase2 = true"))
    detector = _detector(experiment.preprocess.detect, ("preprocess", "detect"), registry, issues)
    sets = tuple(
        ResolvedSet(
            entry,
            registry.configure("dataset", entry.dataset.plugin, entry.dataset.options),
            detector=detector
            if entry.detect is None
            else _detector(entry.detect or None, ("test_sets", place, "detect"), registry, issues),
        )
        for place, entry in enumerate(experiment.test_sets)
    )
    if issues:
        raise UnplannableError(list(dict.fromkeys(issues)))
    executor = experiment.executor
    return Resolved(
        experiment,
        registry.configure("dataset", experiment.dataset.plugin, experiment.dataset.options),
        model,
        tuple(losses),
        pretrained=pretrained,
        sets=sets,
        detector=detector,
        classifiers=classifiers,
        trackers=tuple(registry.configure("tracker", each.plugin, each.options) for each in experiment.trackers),
        executor=registry.configure("executor", executor.plugin, executor.options) if executor else None,
    )


def _lacking(entry: LossEntry, loss: ConfiguredPlugin | CombinedLoss, supply: BatchSupply) -> Iterator[Issue]:
    """Yield what batches lack for a loss, or for parts of a sum."""
    for number, part in enumerate(loss.parts):
        if lacking := lack(part.traits().needs, supply):
            message = (
                f"loss {part.installed.name!r} needs {lacking}; sampler {entry.finetune.sampler.plugin!r} does not "
                "promise that: choose another sampler or other options for it"
            )
            yield Issue(("losses", entry.index, *(("combine", number) if entry.combine else ())), message)


def _resolved_rows(experiment: Experiment, registry: Registry, issues: list[Issue]) -> tuple[ResolvedPretrained, ...]:
    """Return the rows that are only measured, with the plugins that open them."""
    rows = []
    taken = {entry.label for entry in experiment.losses} | {baseline.label for baseline in BASELINES.values()}
    for entry in experiment.pretrained:
        network = registry.configure("model", entry.plugin, entry.options)
        plugin = cast("ModelPlugin | FixedModelPlugin", network.plugin)
        if isinstance(plugin, ModelPlugin) and not plugin.takes_pixels:
            message = (
                f"{network.installed} wants images that are normalised by the mean and deviation of training images, "
                "of which a row that is only measured has none; choose a plugin or options that take pixels"
            )
            issues.append(Issue(("pretrained", entry.index, "plugin"), message))
        if entry.label in taken:
            message = f"label {entry.label!r} is already that of another row; give each its own label"
            issues.append(Issue(("pretrained", entry.index), message))
        taken.add(entry.label)
        rows.append(ResolvedPretrained(entry, network))
    return tuple(rows)


def with_labels(experiment: Experiment, registry: Registry) -> Experiment:
    """Return the experiment in which every existing embedding has a label: by default what its plugin calls it."""
    rows = []
    for entry in experiment.pretrained:
        network = registry.configure("model", entry.plugin, entry.options)
        trained = cast("ModelPlugin | FixedModelPlugin", network.plugin).trained
        rows.append(entry.model_copy(update={"label": entry.label or trained or entry.plugin}))
    return experiment.model_copy(update={"pretrained": tuple(rows)})


def _detector(detect: Detect | None, path: KeyPath, registry: Registry, issues: list[Issue]) -> ConfiguredPlugin | None:
    """Return the detector that a table names, checked against what the table wants of it; nothing without a table."""
    if detect is None:
        return None
    detector = registry.configure("detector", detect.plugin, detect.options)
    issues += [Issue((*path, "align"), why) for why in _lacks_points(detect, detector)]
    return detector


def _lacks_points(detect: Detect, detector: ConfiguredPlugin) -> list[str]:
    """Return why faces cannot be aligned as the experiment wants it, by what the detector gives."""
    try:
        points = detector.gives()
    except BrokenPluginError as error:
        return [str(error.as_input_error())]
    if detect.align == "five_points" and points != "five":
        gives = "the eyes, not five points" if points == "eyes" else "no points of a face"
        other = 'align = "eyes"' if points == "eyes" else 'align = "none"'
        hint = f"name another detector, or set {other}"
        return [f"detector {detect.plugin!r} gives {gives}; {hint}"]
    if detect.align == "eyes" and points == "none":
        return [f'detector {detect.plugin!r} gives no points of a face, not even the eyes; set align = "none"']
    return []


def resolved_loss(entry: LossEntry, registry: Registry) -> ResolvedLoss:
    """Return one loss with its plugins, of which is known that they fit.

    Raises:
        InputError: The loss cannot learn from what its sampler serves; or a plugin cannot say what it needs.
    """
    reference = entry.finetune.sampler
    loss = configured_loss(entry, registry)
    sampler = registry.configure("sampler", reference.plugin, reference.options)
    try:
        traits, supply = loss.traits(), sampler.supply()
    except BrokenPluginError as error:
        raise error.as_input_error() from error
    except MismatchError as error:
        raise InputError(Problem(str(error), entry.label)) from error
    if lacking := lack(traits.needs, supply):
        raise InputError(Problem(f"loss {entry.name!r} needs {lacking}", entry.label))
    return ResolvedLoss(entry, loss, sampler, traits)
