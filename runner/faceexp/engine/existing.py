"""Embeddings that exist already: every image goes once through a network that nobody trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.images import shape
from faceexp.data.splits import Split
from faceexp.engine.backend import versions
from faceexp.engine.determinism import is_marked
from faceexp.engine.features import open_features, seconds_of, write_features
from faceexp.engine.inputs import with_mirrored
from faceexp.engine.opened import Network, opened, width_of
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Artefact, Store, digest
from faceexp.values import Event, EventCallback, Plan, ResolvedPretrained, TrainedTrial, Trial


@dataclass
class ExistingNetworks:
    """The networks that a run only measures, or trains an embedding layer on; each is opened when it is needed.

    Attributes:
        plan: The plan of the run.
        store: Where finished work is looked up and kept.
        on_event: Is called with every step of progress.
    """

    plan: Plan
    store: Store
    on_event: EventCallback
    _opened: dict[str, Network] = field(default_factory=dict)

    def open(self, network: ConfiguredPlugin) -> Network:
        """Return a network, opened; from pixels to features.

        Raises:
            InputError: It takes other images than those of the experiment.
            PluginValueError: It gives no flat vector for each image.
        """
        key = f"{network.installed} {network.plugin!r}"
        if key not in self._opened:
            plugin = cast("ModelPlugin | FixedModelPlugin", network.plugin)
            self._opened[key] = opened(plugin, shape(self.plan.resolved.experiment.preprocess))
        return self._opened[key]

    def width(self, network: ConfiguredPlugin) -> int:
        """Return how many features a network gives for an image."""
        return width_of(self.open(network), shape(self.plan.resolved.experiment.preprocess))

    def features(self, network: ConfiguredPlugin, split: Split, label: str = "") -> Artefact:
        """Return where the features of all images are stored; a row and a trunk of one network share them.

        Args:
            network: The network.
            split: For whom they are asked first, as whoever watches is told.
            label: The row for which they are asked; none for the trunk.
        """
        images, views = self.plan.images, self.plan.resolved.experiment.views
        inputs = {
            "network": network.identity,
            "images": [self.plan.images_key, self.plan.sets_key],
            "versions": versions(self.plan.resolved.experiment.device),
            "views": views,
        }

        def make(folder: Path) -> None:
            def on_block(view: int, done: int) -> None:
                of_all = view * len(images) + done, views * len(images)
                self.on_event(Event("features", *of_all, label, split.seed, split.fold))

            write_features(folder, images, (views, self.width(network)), self.open(network), on_block)

        return self.store.get("existing", inputs, make)

    def measured(self, trial: Trial, row: ResolvedPretrained, split: Split, parts: Sequence[str]) -> TrainedTrial:
        """Return the embeddings of a network that is only measured, on one split, as a trained trial."""
        artefact = self.features(row.network, split, trial.label)
        views = open_features(artefact.path)[: self.plan.resolved.experiment.evaluation.views]
        rows = {part: self.plan.rows(split, part) for part in parts}
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings={part: with_mirrored(*(np.asarray(view[rows[part]]) for view in views)) for part in parts},
            distance=row.entry.distance,
            seconds={"features": seconds_of(artefact.path)},
            reused=("features",) if artefact.reused else (),
            key=digest([artefact.key, len(views)]),
            nondeterministic=is_marked(artefact),
        )
