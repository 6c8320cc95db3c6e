"""Phase 2: the metric loss, on cached features or on images; many steps in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from faceexp.arrays import FloatArray, IntArray
from faceexp.contract import LossContext, LossPlugin
from faceexp.engine.augment import Augmentation
from faceexp.engine.backend import compiled, derive_seed, many_steps, restart, tensorflow
from faceexp.engine.inputs import Rows
from faceexp.engine.network import Network, Normalization, Weights
from faceexp.engine.optimizer import Adam
from faceexp.engine.pretrain import DivergedError
from faceexp.experiment.schema import Augment, Finetune
from faceexp.values import Checkpoint, ResolvedLoss

CHUNK = 50


@dataclass(frozen=True)
class Outcome:
    """What phase 2 leaves: the weights of the best checkpoint, when it was, and the curve."""

    weights: Weights
    best_step: int
    curve: tuple[Checkpoint, ...]


def needs_images(settings: Finetune, augment: Augment) -> bool:
    """Return whether the trunk runs at every step: it is trained itself, or no image comes twice as it was."""
    return settings.trainable == "all" or (augment.phase2 and augment.beyond_flip)


class Finetuner:
    """The compiled training step of one loss; compiled once, used for every seed and fold of the same size.

    The inputs are images, uint8, where :func:`needs_images` says so, else feature rows.
    """

    def __init__(self, network: Network, resolved: ResolvedLoss, augment: Augment, num_classes: int) -> None:
        tf = tensorflow()
        self.network, self.plugin = network, cast("LossPlugin", resolved.loss.plugin)
        settings = resolved.entry.finetune
        whole, on_images = settings.trainable == "all", needs_images(settings, augment)
        self.augmentation = Augmentation(augment if augment.phase2 else Augment())
        self.num_classes = num_classes
        self.loss = self._build_loss(seed=0)
        self.trained = [*network.embedding.trainable_variables, *_weights(self.loss)]
        if whole:
            self.trained = [*network.trunk.trainable_variables, *self.trained]
        self.optimizer = Adam(settings.learning_rate, self.trained, network.moments)

        def step(rows: Any, labels: Any, mean: Any, deviation: Any) -> Any:  # noqa: ANN401
            with tf.GradientTape() as tape:
                if on_images:
                    # A frozen trunk is in all respects the one that features are computed with.
                    rows = network.features(self.augmentation(rows, mean, deviation), training=whole)
                loss = self.loss(labels, network.embedding(rows))
            self.optimizer.apply(tape.gradient(loss, self.trained))
            return loss

        # XLA makes little of convolutions on a CPU, but much of the loss and of the embedding layer.
        self._steps = compiled(many_steps(step, CHUNK), xla=resolved.traits.xla and not on_images)

    def _build_loss(self, seed: int) -> Any:  # noqa: ANN401 - any callable
        tf = tensorflow()
        dim = int(self.network.embedding.units)
        loss = self.plugin.build(LossContext(self.num_classes, dim, seed))
        if isinstance(loss, tf.keras.layers.Layer) and not loss.built:
            loss(tf.zeros(2, tf.int32), tf.zeros((2, dim)))
        return loss

    def reset(self, weights: Weights, seed: int) -> None:
        """Start over: given weights, the loss's own weights drawn with the seed, a fresh optimiser."""
        self.network.put(weights)
        restart(self.network.trunk, derive_seed("trunk", seed))
        restart(self.loss, derive_seed("loss", seed))
        self.augmentation.reset(derive_seed("augment", seed))
        # Weights that are not trained too: a loss may count or average in them.
        if getattr(self.loss, "weights", []):
            for variable, drawn in zip(self.loss.weights, self._build_loss(seed).weights, strict=True):
                variable.assign(drawn)
        self.optimizer.reset()

    @property
    def trainable_parameters(self) -> int:
        """Numbers that a step changes, the loss's own included."""
        return sum(int(np.prod(variable.shape)) for variable in self.trained)

    def run(
        self,
        rows: Rows,
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
        """Train, and keep the checkpoint that scores best on validation.

        Args:
            rows: The inputs of training images.
            labels: int32, labels 0..num_classes-1 of the training images.
            batches: Yields index arrays.
            normalization: Of the images, where the inputs are images.
            validate: Gives the score of the weights as they are; higher is better.
            steps: Optimiser steps.
            validate_every: Steps between checkpoints.
            on_progress: Hears how many steps are done, and the loss.
            chunk: Steps in one compiled call, ``CHUNK`` at most.

        Raises:
            DivergedError: A loss value or an embedding is not finite.
        """
        curve: list[Checkpoint] = []
        best: Weights = []
        best_step, best_score, done = 0, -np.inf, 0
        since: list[float] = []
        while done < steps:
            count = min(chunk, validate_every - done % validate_every, steps - done)
            values = self._chunk(rows, labels, batches, normalization, count, chunk)
            if not np.isfinite(values).all():
                bad = done + 1 + int(np.flatnonzero(~np.isfinite(values))[0])
                raise DivergedError(f"the loss is not finite at step {bad}")
            since += [float(value) for value in values]
            done += count
            on_progress(done, float(np.mean(values)))
            if done % validate_every == 0 or done == steps:
                score = validate()
                curve.append(Checkpoint(done, float(np.mean(since)), score))
                since = []
                if score > best_score:
                    best, best_step, best_score = self.network.take(), done, score
        return Outcome(best, best_step, tuple(curve))

    def _chunk(
        self,
        rows: Rows,
        labels: IntArray,
        batches: Iterator[IntArray],
        normalization: Normalization,
        count: int,
        length: int,
    ) -> FloatArray:
        chosen = np.stack([next(batches) for _ in range(count)])
        targets = np.zeros((length, chosen.shape[1]), np.int32)
        targets[:count] = labels[chosen]
        source, places = rows.chunk(chosen, length)
        # A tensor: each Python number would be compiled anew.
        number = tensorflow().constant(count)
        losses = self._steps(source, places, targets, normalization.mean, normalization.deviation, number)
        return np.asarray(losses.numpy()[:count])


def _weights(loss: Any) -> list[Any]:  # noqa: ANN401 - any callable
    return list(getattr(loss, "trainable_variables", []))
