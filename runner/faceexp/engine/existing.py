"""Embeddings that exist already: every image goes once through a network that nobody trains."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from faceexp.arrays import ByteArray, new_array_file
from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.images import release, shape
from faceexp.data.splits import Split
from faceexp.engine.backend import versions
from faceexp.engine.inputs import FLIPPED, PLAIN, with_mirrored
from faceexp.engine.network import BLOCK
from faceexp.engine.opened import Network, opened, width_of
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Artefact, Inputs, Store
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

    def determines(self, network: ConfiguredPlugin) -> Inputs:
        """Return what determines the features of all images."""
        images = [self.plan.images_key, self.plan.sets_key]
        return {"network": network.identity, "images": images, "versions": versions()}

    def features(self, network: ConfiguredPlugin, trial: Trial, views: int) -> Artefact:
        """Return where the features of all images are stored.

        The file ``features.npy`` is float32 (views, N, F); the second view is that of mirrored images.
        """

        def make(folder: Path) -> None:
            began = time.perf_counter()
            run, images = self.open(network), self.plan.images
            width = width_of(run, images.shape[1:])
            out = new_array_file(folder / "features.npy", np.float32, (views, len(images), width))
            for view in range(views):
                for begin in range(0, len(images), BLOCK):
                    block: ByteArray = np.asarray(images[begin : begin + BLOCK])
                    block = np.ascontiguousarray(block[:, :, ::-1]) if view == FLIPPED else block
                    out[view, begin : begin + len(block)] = run(block)
                    release(out)
                    release(images)
                    done = view * len(images) + begin + len(block)
                    self.on_event(Event("features", done, views * len(images), trial.label, trial.seed, trial.fold))
            out.flush()
            (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - began), encoding="utf-8")

        return self.store.get("existing", {**self.determines(network), "views": views}, make)

    def measured(self, trial: Trial, row: ResolvedPretrained, split: Split, parts: Sequence[str]) -> TrainedTrial:
        """Return the embeddings of a network that is only measured, on one split, as a trained trial."""
        views_of_image = self.plan.resolved.experiment.evaluation.views
        artefact = self.features(row.network, trial, views_of_image)
        seconds = json.loads((artefact.path / "seconds.json").read_text(encoding="utf-8"))
        views = np.load(artefact.path / "features.npy", mmap_mode="r", allow_pickle=False)
        embeddings = {part: np.asarray(views[PLAIN][self.plan.rows(split, part)]) for part in parts}
        if views_of_image > 1:
            embeddings = {
                part: with_mirrored(plain, views[FLIPPED][self.plan.rows(split, part)])
                for part, plain in embeddings.items()
            }
        return TrainedTrial(
            trial,
            split,
            "ok",
            embeddings=embeddings,
            distance=row.entry.distance,
            seconds={"features": seconds},
            reused=("features",) if artefact.reused else (),
            key=artefact.key,
        )
