"""What all losses of a seed and fold share: the network, its pretrained weights, and the features of every image."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from faceexp.arrays import ByteArray, FloatArray, IntArray
from faceexp.contract import FixedModelPlugin, LossPlugin, ModelPlugin
from faceexp.data.images import release, shape
from faceexp.data.splits import Split
from faceexp.engine import pretrain
from faceexp.engine.backend import derive_seed, tensorflow, versions
from faceexp.engine.determinism import is_marked, mark
from faceexp.engine.existing import ExistingNetworks
from faceexp.engine.features import seconds_of, write_features
from faceexp.engine.inputs import PLAIN, Views, views_of
from faceexp.engine.network import Network, Normalization, Weights, initial_weights, load_weights, save_weights
from faceexp.engine.replicas import check_divides
from faceexp.engine.steps import Kept
from faceexp.experiment.baselines import PHASE1
from faceexp.experiment.schema import Pretrain
from faceexp.store import Artefact, Store, content_of, digest
from faceexp.values import Event, EventCallback, Note, Noted, Plan, Score

# A difference in the score of a few validation people that is no larger is nothing to tell of.
HARM = 0.01


@dataclass(frozen=True)
class Pretrained:
    """The weights that fine-tuning starts from.

    Attributes:
        key: Digest of everything that determines the weights.
        trunk: Digest of what determines those of the trunk.
        load: Returns the weights.
        seconds: How long it took to make them, whether now or in an earlier run.
        reused: Whether they were there already, in the store or in this run.
        images: How many images pretraining has seen, repetitions counted; 0 without pretraining.
        unseeded: Operations of its loss that draw random numbers for which there is no seed.
        nondeterministic: Whether they were made where operations need not be deterministic.
    """

    key: str
    trunk: str
    load: Callable[[], Weights]
    seconds: float
    reused: bool
    images: int = 0
    unseeded: tuple[str, ...] = ()
    nondeterministic: bool = False


@dataclass
class PretrainedStages:
    """The stages that come before fine-tuning. Each result is looked up in the store, or made on the first request.

    Attributes:
        plan: The plan of the run.
        store: Where finished work is looked up and kept.
        score: Judges the epochs of pretraining, if there is early stopping.
        on_event: Is called with every step of progress.
        kept: What losses of earlier trainings kept beside their weights.
    """

    plan: Plan
    store: Store
    score: Score
    on_event: EventCallback
    kept: Kept
    # The trials of a seed and fold share a result: only the first one is told whether it came from the store.
    _pretrained: dict[str, Pretrained] = field(default_factory=dict)
    _features: dict[str, tuple[Artefact, float]] = field(default_factory=dict)
    _normalizations: dict[tuple[int, int], Normalization] = field(default_factory=dict)
    _classifiers: dict[str, pretrain.Classifier] = field(default_factory=dict)
    # A pretraining that failed is not tried again for every loss that would have started from it.
    _failures: dict[str, Exception] = field(default_factory=dict)

    def pretrained(self, split: Split, settings: Pretrain) -> Pretrained:
        """Return where fine-tuning starts: from pretrained weights, or from the initial ones if pretraining is off.

        Raises:
            DivergedError: The loss of pretraining is not finite.
        """
        experiment = self.plan.resolved.experiment
        inputs = {
            "images": self.plan.images_key,
            "train": digest([split.train.tolist(), self.plan.labels[split.train].tolist()]),
            "model": self.plan.resolved.trunk.identity,
            **experiment.trunk.model_dump(include={"embedding_dim", "precision"}),
            "seed": [split.seed, split.fold],
            "versions": versions(self.plan.resolved.experiment.device),
            "phase": "initial",
        }
        if settings.enabled:
            inputs |= {
                "phase": "pretrain",
                "pretrain": settings.model_dump(),
                "augment": experiment.augment.model_dump(exclude={"phase2"}),
            }
            if settings.patience:
                inputs["validation"] = self.judged_on(split)
            if settings.loss:
                inputs["classifier"] = self.plan.resolved.classifiers[settings.loss.key].identity
        key = digest(inputs)
        if key in self._pretrained:
            return dataclasses.replace(self._pretrained[key], reused=True)
        if key in self._failures:
            raise self._failures[key]
        trunk = key
        if self.is_frozen(settings):
            of_trunk = ("images", "model", "precision", "versions", *self._normalized_by)
            trunk = digest({name: inputs[name] for name in of_trunk if name in inputs})
        if settings.enabled:
            try:
                artefact = self.store.get("pretrain", inputs, lambda folder: self._pretrain(folder, split, settings))
            except Exception as error:
                self._failures[key] = error
                raise
            history = json.loads((artefact.path / "history.json").read_text(encoding="utf-8"))
            self._tell_of_harm(history["score"], split)
            pretrained = Pretrained(
                key,
                trunk,
                lambda: load_weights(artefact.path / "weights.npz"),
                history["seconds"],
                artefact.reused,
                images=len(history["loss"]) * settings.batch_size,
                unseeded=tuple(history["unseeded"]),
                nondeterministic=is_marked(artefact),
            )
        else:
            pretrained = Pretrained(key, trunk, lambda: self._initial(split), 0.0, reused=False)
        self._pretrained[key] = pretrained
        return pretrained

    def is_frozen(self, settings: Pretrain) -> bool:
        """Return whether the trunk starts phase 2 with the trained weights that it came with."""
        return bool(self.plan.resolved.trained) and (not settings.enabled or settings.trainable == "head")

    @property
    def _normalized_by(self) -> list[str]:
        """What determines how pixels are normalised, among what determines a pretraining."""
        return [] if self._takes_pixels else ["train"]

    @property
    def _takes_pixels(self) -> bool:
        plugin = self.plan.resolved.trunk.plugin
        return isinstance(plugin, FixedModelPlugin) or cast("ModelPlugin", plugin).takes_pixels

    @functools.cached_property
    def existing(self) -> ExistingNetworks:
        """The networks that are only run: those of rows, and maybe the trunk."""
        return ExistingNetworks(self.plan, self.store, self.on_event)

    def judged_on(self, split: Split) -> str:
        """Return a digest of the images and pairs that checkpoints are judged on, and of what judges them."""
        pairs = None if split.validation_pairs is None else content_of(split.validation_pairs)
        people = self.plan.labels[split.validation].tolist()
        return digest([split.validation.tolist(), people, pairs, self.score.key])

    def _initial(self, split: Split) -> Weights:
        seed = derive_seed("weights", split.seed, split.fold)
        return initial_weights(*self._network_arguments, seed)

    @functools.cached_property
    def network(self) -> Network:
        """The network. There is only one, so whoever uses it sets its weights first."""
        network = Network(*self._network_arguments, precision=self.plan.resolved.experiment.trunk.precision)
        network.check()
        experiment = self.plan.resolved.experiment
        if experiment.replicas > 1 and experiment.pretrain.trainable != "head":
            check_divides(network)
        return network

    @functools.cached_property
    def _network_arguments(self) -> tuple[ModelPlugin | None, tuple[int, ...], int]:
        # Importing TensorFlow takes seconds, so whoever watches the run is told.
        self.on_event(Event("backend", 0, 1))
        tensorflow()
        self.on_event(Event("backend", 1, 1))
        experiment, model = self.plan.resolved.experiment, self.plan.resolved.trunk
        if isinstance(model.plugin, FixedModelPlugin):
            return None, (self.existing.width(model),), experiment.trunk.embedding_dim
        return cast("ModelPlugin", model.plugin), shape(experiment.preprocess), experiment.trunk.embedding_dim

    def normalization(self, split: Split) -> Normalization:
        """Return mean and standard deviation of the training images, unless the trunk scales pixels itself."""
        key = split.seed, split.fold
        if self._takes_pixels:
            return Normalization.none(self.plan.images.shape[-1])
        if key not in self._normalizations:
            self._normalizations[key] = Normalization.of(self.plan.images, split.train)
            release(self.plan.images)
        return self._normalizations[key]

    def _pretrain(self, folder: Path, split: Split, settings: Pretrain) -> None:
        """Pretrain, and write weights and history into a folder of the store.

        With patience, the weights are those of the epoch with the best validation score; without, those at the end.
        """
        began = time.perf_counter()
        labels = training_labels(self.plan.labels, split.train)
        num_classes = int(labels[split.train].max()) + 1
        augment = self.plan.resolved.experiment.augment
        views: Views = [self.plan.images]
        validation = {}
        if self.plan.resolved.trained:
            initial = self.pretrained(split, settings.model_copy(update={"enabled": False}))
            features = self.views(self.features(split, initial)[0])
            validation["trunk"] = self._judged(features[PLAIN][split.validation], split)
            views = features if settings.trainable == "head" else views
        key, classifier = self._classifier(settings, num_classes)
        seed = derive_seed("pretrain", split.seed, split.fold)
        ends = pretrain.ends_of_epochs(len(split.train), settings)
        classifier.reset(self._initial(split), seed, ends[-1])
        scores: list[float] = []
        best: Weights = []

        def on_progress(done: int, loss: float) -> None:
            self.on_event(Event("pretrain", done, ends[-1], "", split.seed, split.fold, loss))

        def judge() -> float:
            embeddings = self.network.embed(views[PLAIN], split.validation, self.normalization(split))
            return self._judged(embeddings, split)

        def may_improve() -> bool:
            nonlocal best
            scores.append(judge())
            best_epoch = int(np.nanargmax(scores)) if not np.isnan(scores).all() else 0
            if best_epoch == len(scores) - 1:
                best = self.network.get_weights()
            return len(scores) - 1 - best_epoch < cast("int", settings.patience)

        try:
            losses = classifier.run(
                views,
                labels,
                pretrain.batches(split.train, settings, augment, seed),
                self.normalization(split),
                ends[-1],
                on_progress,
                halts=ends if settings.patience else (),
                go_on=may_improve,
            )
        except pretrain.DivergedError:
            raise
        except BaseException:
            self._classifiers.pop(key)  # nobody knows what state it is in
            raise
        if classifier.made.outside is not None:
            self._classifiers.pop(key)
            self.kept.add(classifier.made.outside)
        release(self.plan.images)
        save_weights(folder / "weights.npz", best or self.network.get_weights())
        if validation:
            self.network.set_weights(best or self.network.get_weights())
            validation["embedding"] = judge()
        history = {"loss": losses, "validation": scores, "seconds": time.perf_counter() - began, "score": validation}
        history["unseeded"] = classifier.made.unseeded if settings.loss else ()
        (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
        mark(folder)

    def _classifier(self, settings: Pretrain, num_classes: int) -> tuple[str, pretrain.Classifier]:
        """Return the compiled training step of phase 1 and its key; compiled once for all seeds and folds of a size."""
        key = digest([settings.model_dump(), num_classes])
        if key not in self._classifiers:
            resolved = self.plan.resolved
            plugin = resolved.classifiers[settings.loss.key].plugin if settings.loss else None
            arguments = self.network, settings, resolved.experiment.augment, num_classes
            self._classifiers[key] = pretrain.Classifier(*arguments, cast("LossPlugin | None", plugin))
        return key, self._classifiers[key]

    def views(self, features: Artefact | None) -> Views:
        """Return features of all images, or the images themselves; plain, and mirrored where anything asks for that."""
        flip = self.plan.resolved.experiment.views > 1
        return views_of(features.path if features else None, self.plan.images, flip=flip)

    def _judged(self, embeddings: FloatArray | ByteArray, split: Split) -> float:
        """Return the score of the embeddings of the validation images, before any loss has trained."""
        people = self.plan.labels[split.validation]
        return self.score(embeddings, people, PHASE1.distance, split.validation_pairs)

    def _tell_of_harm(self, score: Mapping[str, float], split: Split) -> None:
        """Tell whoever watches where phase 1 has made a trunk with trained weights worse on validation people."""
        if score and score["embedding"] < score["trunk"] - HARM:
            cell = f"seed {split.seed}, fold {split.fold}"
            text = (
                f"phase 1 makes {self.plan.resolved.trained} worse on validation people ({cell}: {self.score.name} "
                f"{score['trunk']:.3f} before, {score['embedding']:.3f} after); set pretrain.enabled = false, or train "
                "less of it"
            )
            self.on_event(Noted("note", 1, 1, note=Note("phase1", text)))

    def features(self, split: Split, pretrained: Pretrained) -> tuple[Artefact, float]:
        """Return where the trunk features of all images are stored, and how many seconds it took to compute them.

        The second of their views is that of mirrored images; it is there only if anything asks for it.
        """
        trunk = self.plan.resolved.trunk
        if isinstance(trunk.plugin, FixedModelPlugin):
            return self._remembered(pretrained.trunk, lambda: self.existing.features(trunk, split))
        views = self.plan.resolved.experiment.views
        inputs = {"start": pretrained.trunk, "views": views, "images": [self.plan.images_key, self.plan.sets_key]}
        images = self.plan.images

        def make(folder: Path) -> None:
            def on_block(view: int, done: int) -> None:  # noqa: ARG001 - each view is counted anew
                self.on_event(Event("features", done, len(images), "", split.seed, split.fold))

            self.network.set_weights(pretrained.load())
            extract = functools.partial(self.network.extract, normalization=self.normalization(split))
            write_features(folder, images, (views, self.network.width), extract, on_block)

        return self._remembered(digest(inputs), lambda: self.store.get("features", inputs, make))

    def _remembered(self, key: str, get: Callable[[], Artefact]) -> tuple[Artefact, float]:
        """Return features and the seconds that they took; whoever asks again is told that they were there."""
        if key in self._features:
            artefact, seconds = self._features[key]
            return dataclasses.replace(artefact, reused=True), seconds
        artefact = get()
        self._features[key] = artefact, seconds_of(artefact.path)
        return self._features[key]


def training_labels(labels: IntArray, train: IntArray) -> IntArray:
    """Return labels that count the people of the training part from 0, int32 (N,); -1 for all other images."""
    numbers = np.full(len(labels), -1, dtype=np.int32)
    numbers[train] = np.unique(labels[train], return_inverse=True)[1]
    return numbers
