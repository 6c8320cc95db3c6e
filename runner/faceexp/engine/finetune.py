"""Phase 2 (fine-tuning): training with the metric loss, on cached features or on images.

Many steps are made in one compiled call, since a single step may take less time than the way from Python into
TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from faceexp.arrays import FloatArray, IntArray
from faceexp.engine.augment import Augmentation
from faceexp.engine.backend import Tensor, Variable, derive_seed, reseed, tensorflow
from faceexp.engine.borders import take
from faceexp.engine.descent import Descent
from faceexp.engine.inputs import TrainingInputs
from faceexp.engine.losses import gradients_of, trained_by
from faceexp.engine.network import Network, Normalization, Weights
from faceexp.engine.pretrain import DivergedError
from faceexp.engine.sampled import classes_of, loss_of, windows_of
from faceexp.experiment.schema import Augment, Finetune
from faceexp.store import digest
from faceexp.values import Checkpoint, ResolvedLoss

# Steps in one compiled call: enough that the way from Python into TensorFlow costs little per step, few enough that
# progress is reported often. The number changes nothing of what is trained.
CHUNK = 50
# So many steps gain less by XLA than it takes to compile them, measured with losses of classes and of pairs.
FEW_STEPS = 1000


@dataclass(frozen=True)
class Outcome:
    """What fine-tuning ends with.

    Attributes:
        weights: Those of the best checkpoint; empty if no checkpoint has a score that is a number.
        best_step: After which step that checkpoint was made.
        curve: All checkpoints.
    """

    weights: Weights
    best_step: int
    curve: tuple[Checkpoint, ...]


@dataclass(frozen=True)
class FinetuneRecord:
    """What the store keeps of a fine-tuning in ``outcome.json``, beside embeddings and network."""

    status: Literal["ok", "diverged"]
    reason: str | None = None
    best_step: int = 0
    curve: tuple[Checkpoint, ...] = ()
    trainable_parameters: int = 0
    unseeded: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> str:
        """Return it as JSON; a checkpoint is the list of its three numbers."""
        curve = [dataclasses.astuple(point) for point in self.curve]
        return json.dumps(vars(self) | {"curve": curve}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> FinetuneRecord:
        """Read what :meth:`to_json` returned."""
        values = json.loads(text)
        curve = tuple(Checkpoint(*point) for point in values["curve"])
        return cls(**values | {"curve": curve, "unseeded": tuple(values.get("unseeded", ()))})


def needs_images(settings: Finetune, augment: Augment) -> bool:
    """Return whether the trunk has to run at every step, so that its features cannot be cached.

    That is so if the trunk itself is trained, or if images are changed at random in fine-tuning. Mirroring alone does
    not need the trunk, since the features of both views can be cached.
    """
    return settings.trainable == "all" or (augment.phase2 and augment.beyond_flip)


def step_key(resolved: ResolvedLoss) -> str:
    """Return a digest of what a training step is compiled for: a loss with its options, and how it is trained."""
    return digest([resolved.loss.identity, resolved.entry.finetune.model_dump(exclude={"sampler", "validate_every"})])


class Finetuner:
    """The training step of one loss. It is compiled once, and used for every seed and fold of the same size.

    It trains on images, uint8, where :func:`needs_images` says so, else on features.

    Args:
        network: What is trained.
        resolved: The loss and its settings.
        augment: The experiment's ``[augment]``.
        num_classes: Number of training people.
        seed: Of what the loss draws when it is built.
        reused: Whether the step is for more than a few trainings.

    Attributes:
        made: What makes the steps, and knows what they keep.
    """

    def __init__(
        self,
        network: Network,
        resolved: ResolvedLoss,
        augment: Augment,
        num_classes: int,
        seed: int = 0,
        *,
        reused: bool = True,
    ) -> None:
        tf = tensorflow()
        self.network = network
        self.sampler, self.supply = str(resolved.sampler.installed), resolved.sampler.supply()
        settings = resolved.entry.finetune
        whole, on_images = settings.trainable == "all", needs_images(settings, augment)
        self.augmentation = Augmentation(augment if augment.phase2 else Augment())
        dim = int(network.embedding.units)
        self.loss = loss_of(trained_by(resolved.loss), num_classes, dim, seed, settings.sampled)
        trained, weights = network.trainable_variables(whole=whole), self.loss.trainable_variables
        of_loss = weights, settings.proxies, windows_of(self.loss)
        self.descent = Descent(settings, trained, network.moments, *of_loss, scaled=network.needs_scale)
        self.classes = classes_of(self.loss, self.descent, num_classes)
        self.steps = settings.steps

        def step(inputs: Tensor, labels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
            with tf.GradientTape() as tape:
                features = inputs
                if on_images:
                    # A frozen trunk runs as outside training, exactly as it does when features are cached.
                    features = network.features(self.augmentation(inputs, mean, deviation), training=whole)
                loss = self.loss(labels, network.embeddings(features))
            known = [*network.every_variable, *self.loss.weights]
            self.descent.apply(gradients_of(tape, loss, self.descent.trained, known, self.descent.scale))
            return loss

        # XLA speeds up the loss and the embedding layer, but gains nothing for convolutions on a CPU. To compile takes
        # it as long as a thousand steps gain.
        xla = resolved.traits.xla and not on_images and (reused or settings.steps > FEW_STEPS)
        self.made = self.classes.steps(step, CHUNK, self._variables, xla=xla)

    def _variables(self) -> list[Variable]:
        """Return the variables that :meth:`reset` sets."""
        of_training = [*self.descent.variables, *self.augmentation.variables]
        return [*self.network.every_variable, *self.loss.variables, *self.classes.variables, *of_training]

    def reset(self, weights: Weights, seed: int) -> None:
        """Start over: from the given weights, with the loss's own weights drawn anew and a fresh optimiser."""
        self.network.set_weights(weights)
        reseed(self.network.trunk, derive_seed("trunk", seed))
        self.loss.reset(seed)
        self.augmentation.reset(derive_seed("augment", seed))
        self.descent.reset(self.steps)
        self.classes.reset(seed)

    @property
    def trainable_parameters(self) -> int:
        """How many numbers a step changes, including those of the loss."""
        return sum(int(np.prod(variable.shape)) for variable in self.descent.trained)

    def run(
        self,
        inputs: TrainingInputs,
        labels: IntArray,
        batches: Iterator[IntArray],
        normalization: Normalization,
        validate: Callable[[], float],
        *,
        steps: int,
        validate_every: int,
        on_progress: Callable[[int, float], None],
        chunk: int = CHUNK,
    ) -> Outcome:
        """Train, and keep the checkpoint with the best validation score; of equal ones, the first.

        Args:
            inputs: The inputs of the training images.
            labels: int32, the training images' labels, from 0 to num_classes - 1.
            batches: Yields the images of each batch, as positions in the training part.
            normalization: Of the images, if the inputs are images.
            validate: Returns the score of the network as it is; higher is better.
            steps: How many optimiser steps to make.
            validate_every: How many steps lie between two checkpoints.
            on_progress: Is called with the number of steps that are done, and the mean loss of the latest ones.
            chunk: Steps per compiled call, at most ``CHUNK``.

        Raises:
            DivergedError: A loss value is not finite. ``validate`` may raise it, too.
        """
        curve: list[Checkpoint] = []
        best: Weights = []
        best_step, best_score, done = 0, -np.inf, 0
        losses: list[float] = []  # since the last checkpoint
        while done < steps:
            count = min(chunk, validate_every - done % validate_every, steps - done)
            values = self._make_steps(inputs, labels, batches, normalization, count, chunk)
            if not np.isfinite(values).all():
                bad = done + 1 + int(np.flatnonzero(~np.isfinite(values))[0])
                raise DivergedError(f"the loss is not finite at step {bad}")
            losses += [float(value) for value in values]
            done += count
            on_progress(done, float(np.mean(values)))
            if done % validate_every == 0 or done == steps:
                score = validate()
                curve.append(Checkpoint(done, float(np.mean(losses)), score))
                losses = []
                if score > best_score:
                    best, best_step, best_score = self.network.get_weights(), done, score
        return Outcome(best, best_step, tuple(curve))

    def _make_steps(
        self,
        inputs: TrainingInputs,
        labels: IntArray,
        batches: Iterator[IntArray],
        normalization: Normalization,
        count: int,
        length: int,
    ) -> FloatArray:
        """Make ``count`` steps in one call that has room for ``length``; return the loss of each."""
        chosen = take(batches, count, self.supply, labels, self.sampler)
        targets = np.zeros((length, chosen.shape[1]), np.int32)
        targets[:count] = labels[chosen]
        drawn = self.classes.drawn(targets, count)
        source, places = inputs.read(chosen, length)
        # A tensor, since TensorFlow would compile the loop anew for each Python number.
        number = tensorflow().constant(count)
        losses = self.made(source, places, drawn, normalization.mean, normalization.deviation, number)
        return np.asarray(losses.numpy()[:count])
