"""An experiment whose plugins were looked up and checked against each other; no data were touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from faceexp.contract import FixedModelPlugin, LossTraits, ModelPlugin
from faceexp.experiment.baselines import PHASE1, UNTRAINED, Baseline, named_after

if TYPE_CHECKING:
    # Only annotations name these; importing them would cost every command the time of NumPy and of the registry.
    from faceexp.data.pairs_file import PairsFile
    from faceexp.data.part_files import PartFiles
    from faceexp.data.template_list import TemplateList
    from faceexp.experiment.schema import Experiment, LossEntry, PretrainedEntry
    from faceexp.experiment.sets import SetEntry
    from faceexp.registry.combined import CombinedLoss
    from faceexp.registry.installed import ConfiguredPlugin


@dataclass(frozen=True)
class ResolvedLoss:
    """A loss of the experiment with its plugins and its sampler, checked against each other."""

    entry: LossEntry
    loss: ConfiguredPlugin | CombinedLoss
    sampler: ConfiguredPlugin
    traits: LossTraits


@dataclass(frozen=True)
class ResolvedPretrained:
    """An embedding that exists already, with the plugin that opens it."""

    entry: PretrainedEntry
    network: ConfiguredPlugin


@dataclass(frozen=True)
class ResolvedSet:
    """A test set with its plugins, and the lists of its pairs and templates if it has any; no data were touched."""

    entry: SetEntry
    dataset: ConfiguredPlugin
    pairs: PairsFile | None = None
    detector: ConfiguredPlugin | None = None
    templates: TemplateList | None = None


@dataclass(frozen=True)
class Resolved:
    """An experiment whose every plugin exists and accepts its options; no data were touched."""

    experiment: Experiment
    dataset: ConfiguredPlugin
    model: ConfiguredPlugin | None
    losses: tuple[ResolvedLoss, ...]
    pairs: PairsFile | None = None
    lists: PartFiles | None = None
    pretrained: tuple[ResolvedPretrained, ...] = ()
    sets: tuple[ResolvedSet, ...] = ()
    detector: ConfiguredPlugin | None = None
    # The losses that phases 1 have in the place of softmax, by `PluginRef.key`.
    classifiers: Mapping[str, ConfiguredPlugin] = field(default_factory=dict)
    templates: TemplateList | None = None
    # These change no number, so that they are none of its `plugins`.
    trackers: tuple[ConfiguredPlugin, ...] = ()
    executor: ConfiguredPlugin | None = None

    @property
    def folds(self) -> int:
        """Folds per seed as far as the file tells; the pairs of a data set have more. ``Plan.folds`` is exact."""
        return self.pairs.folds if self.pairs else self.experiment.protocol.folds

    @property
    def trained(self) -> str:
        """What the trained weights of the trunk are called; empty where they are random, or there is no trunk."""
        return cast("ModelPlugin | FixedModelPlugin", self.model.plugin).trained if self.model else ""

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The baselines that have trials; a trunk with trained weights is called by their name."""
        used = self.experiment.used_baselines
        return tuple(named_after(self.trained) if baseline == UNTRAINED else baseline for baseline in used)

    @property
    def reference(self) -> str:
        """The row that every loss starts from, with which it is compared: of a trained trunk without phase 1, that."""
        start = named_after(self.trained)
        return start.label if self.trained and PHASE1 not in self.baselines else PHASE1.label

    @property
    def remarks(self) -> tuple[str, ...]:
        """What authors of its plugins should know, although they work, and users of its networks; one sentence each."""
        said = [
            f"{each.installed} {remark}"
            for each in (*self.plugins, *self.trackers, *filter(None, [self.executor]))
            for remark in each.installed.remarks
        ]
        networks = [*filter(None, [self.model]), *(row.network for row in self.pretrained)]
        said += [note for each in networks for note in cast("ModelPlugin | FixedModelPlugin", each.plugin).notes]
        return tuple(dict.fromkeys(said))

    @property
    def plugins(self) -> tuple[ConfiguredPlugin, ...]:
        """Every plugin, those of the losses last; one that losses share is there more than once."""
        of_losses = (each for loss in self.losses for each in (*loss.loss.parts, loss.sampler))
        of_sets = (plugin for each in self.sets for plugin in filter(None, [each.dataset, each.detector]))
        networks = (*filter(None, [self.model, self.detector]), *(row.network for row in self.pretrained))
        return (self.dataset, *networks, *of_sets, *self.classifiers.values(), *of_losses)

    @property
    def trunk(self) -> ConfiguredPlugin:
        """The network that losses train.

        Raises:
            ValueError: There is none, since nothing is trained.
        """
        if self.model is None:
            raise ValueError("an experiment without losses has no trunk")
        return self.model
