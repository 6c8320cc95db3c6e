"""The plugins of an experiment, looked up and checked against each other, before any data are touched."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.contract import BatchNeeds, BatchSupply
from faceexp.experiment.baselines import BASELINES
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Experiment
from faceexp.registry.installed import BrokenPluginError, ConfiguredPlugin, Registry
from faceexp.store import canonical
from faceexp.values import Resolved, ResolvedLoss


@dataclass(frozen=True)
class Issue:
    """A mistake at a key of the experiment file; whoever knows the file says in which line."""

    path: tuple[str | int, ...]
    message: str


class UnplannableError(Exception):
    """The experiment cannot be carried out as it is written."""

    def __init__(self, issues: list[Issue]) -> None:
        self.issues = issues
        super().__init__("; ".join(issue.message for issue in issues))


def resolve(experiment: Experiment, registry: Registry) -> Resolved:
    """Return the experiment with its plugins, each loss checked against its sampler; touches no data.

    Raises:
        UnplannableError: A loss cannot learn from what its sampler serves, or two rows have one label.
    """
    issues: list[Issue] = []
    losses = []
    samplers: dict[str, ConfiguredPlugin] = {}
    for entry in experiment.losses:
        reference = entry.finetune.sampler
        loss = registry.configure("loss", entry.plugin, entry.options)
        # Losses may share a sampler, which is asked once.
        key = canonical([reference.plugin, reference.options])
        if key not in samplers:
            samplers[key] = registry.configure("sampler", reference.plugin, reference.options)
        sampler = samplers[key]
        try:
            traits = loss.traits()
        except BrokenPluginError as error:
            issues.append(Issue(("losses", entry.index, "plugin"), str(error.as_input_error())))
            continue
        try:
            supply = sampler.supply()
        except BrokenPluginError as error:
            own = entry.finetune.sampler != experiment.finetune.sampler
            place = ("losses", entry.index, "finetune") if own else ("finetune",)
            issues.append(Issue((*place, "sampler", "plugin"), str(error.as_input_error())))
            continue
        lacking = lack(traits.needs, supply)
        if lacking:
            message = (
                f"loss {entry.plugin!r} needs {lacking}; sampler {reference.plugin!r} does not promise that: "
                "choose another sampler or other options for it"
            )
            issues.append(Issue(("losses", entry.index), message))
        if entry.label in {baseline.label for baseline in BASELINES.values()}:
            issues.append(Issue(("losses", entry.index, "label"), f"{entry.label!r} is the name of a baseline"))
        losses.append(ResolvedLoss(entry, loss, sampler, traits))
    augment = experiment.augment
    if augment.beyond_flip and not augment.phase2 and not any(entry.pretrain.enabled for entry in experiment.losses):
        issues.append(Issue(("augment",), "changes no image, since no loss has a phase 1; set phase2 = true"))
    detect = experiment.preprocess.detect
    detector = registry.configure("detector", detect.plugin, detect.options) if detect else None
    if detect and detector:
        issues += [Issue(("preprocess", "detect", "align"), why) for why in _lacks_points(detect, detector)]
    if issues:
        raise UnplannableError(list(dict.fromkeys(issues)))
    return Resolved(
        experiment,
        registry.configure("dataset", experiment.dataset.plugin, experiment.dataset.options),
        registry.configure("model", experiment.model.plugin, experiment.model.options),
        tuple(losses),
        detector=detector,
    )


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


def lack(needs: BatchNeeds, supply: BatchSupply) -> str:
    """Return what a batch lacks for a loss, or an empty text."""
    lacks = []
    if supply.classes < needs.classes:
        lacks.append(f"{needs.classes} identities in every batch")
    if supply.images_per_class < needs.images_per_class:
        lacks.append(f"{needs.images_per_class} images of an identity in every batch")
    if needs.halves == "similar" and supply.halves != "similar":
        lacks.append("rows i and i + B/2 of the same identity")
    if needs.halves == "mixed" and supply.halves != "mixed":
        lacks.append("rows i and i + B/2 of the same identity in some pairs and of different ones in others")
    return " and ".join(lacks)
