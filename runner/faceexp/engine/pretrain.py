"""Phase 1: softmax classification of the training people, all weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from faceexp.arrays import ByteArray, IntArray
from faceexp.engine.augment import Augmentation
from faceexp.engine.backend import compiled, derive_seed, many_steps, restart, tensorflow
from faceexp.engine.network import Network, Normalization, Weights
from faceexp.engine.optimizer import Adam
from faceexp.experiment.schema import Augment, Pretrain

CHUNK = 16


class DivergedError(Exception):
    """A loss value or a weight stopped being a number."""


class Classifier:
    """The compiled training step of phase 1; compiled once, used for every seed and fold of the same size."""

    def __init__(self, network: Network, settings: Pretrain, augment: Augment, num_classes: int) -> None:
        tf = tensorflow()
        keras = tf.keras
        self.network = network
        self.augmentation = Augmentation(augment)
        self.batch_size = settings.batch_size
        dim = network.embedding.units
        self.head = keras.layers.Dense(num_classes, name="classes")
        self.head.build((None, dim))
        self.dropout = keras.layers.Dropout(settings.dropout, seed=0)
        self.trained = [*network.trunk.trainable_variables, *network.embedding.trainable_variables]
        self.trained += self.head.trainable_variables
        self.optimizer = Adam(settings.learning_rate, self.trained, network.moments)

        def step(pixels: Any, labels: Any, mean: Any, deviation: Any) -> Any:  # noqa: ANN401
            with tf.GradientTape() as tape:
                features = network.features(self.augmentation(pixels, mean, deviation), training=True)
                hidden = self.dropout(tf.nn.relu(network.embedding(features)), training=True)
                logits = self.head(hidden)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            self.optimizer.apply(tape.gradient(loss, self.trained))
            return loss

        self.step = step
        self._steps = compiled(many_steps(step, CHUNK))

    def reset(self, weights: Weights, seed: int) -> None:
        """Start over: given weights, a fresh head, a fresh optimiser."""
        tf = tensorflow()
        self.network.put(weights)
        restart(self.network.trunk, derive_seed("trunk", seed))
        self.augmentation.reset(derive_seed("augment", seed))
        fan_in, classes = self.head.kernel.shape
        limit = np.sqrt(6.0 / (fan_in + classes))
        draw = np.random.default_rng(derive_seed("head", seed)).uniform(-limit, limit, (fan_in, classes))
        self.head.kernel.assign(draw.astype(np.float32))
        self.head.bias.assign(tf.zeros_like(self.head.bias))
        if self.dropout.rate:  # without it, Keras keeps no random state
            state = self.dropout.seed_generator.state
            state.assign(np.array([derive_seed("dropout", seed), 0]).astype(state.dtype))
        self.optimizer.reset()

    def run(
        self,
        pixels: ByteArray,
        labels: IntArray,
        batches: Iterator[tuple[IntArray, np.ndarray[Any, np.dtype[np.bool_]]]],
        normalization: Normalization,
        steps: int,
        on_progress: Callable[[int, float], None],
        halts: Sequence[int] = (),
        go_on: Callable[[], bool] = lambda: True,
    ) -> list[float]:
        """Train; return the loss of every step.

        Args:
            pixels: uint8 (N, H, W, C), all images.
            labels: int (N,), people of the training part, from 0.
            batches: Yields rows and flips.
            normalization: Of the images.
            steps: Steps to make at most.
            on_progress: Hears how many steps are done, and the loss.
            halts: After which steps to ask whether to go on.
            go_on: Is asked then; looks at the network as it is.

        Raises:
            DivergedError: A loss value is not finite.
        """
        history: list[float] = []
        places = np.arange(CHUNK * self.batch_size, dtype=np.int32).reshape(CHUNK, -1)
        while len(history) < steps:
            done = len(history)
            count = min(CHUNK, min((halt for halt in halts if halt > done), default=steps) - done, steps - done)
            chosen = [next(batches) for _ in range(count)]
            # The compiled call takes CHUNK batches; the last ones may be repeated, and are not used.
            padded = chosen + [chosen[-1]] * (CHUNK - count)
            images = np.stack([_flipped(pixels[rows], flips) for rows, flips in padded])
            targets = np.stack([labels[rows] for rows, _ in padded]).astype(np.int32)
            # A tensor: each Python number would be compiled anew.
            number = tensorflow().constant(count)
            source = images.reshape(-1, *images.shape[2:])
            losses = self._steps(source, places, targets, normalization.mean, normalization.deviation, number)
            losses = losses.numpy()[:count]
            if not np.isfinite(losses).all():
                raise DivergedError(f"phase 1: the loss is not finite at step {len(history) + 1}")
            history += [float(value) for value in losses]
            on_progress(len(history), history[-1])
            if len(history) in halts and not go_on():
                break
        return history


def _flipped(images: ByteArray, flips: np.ndarray[Any, np.dtype[np.bool_]]) -> ByteArray:
    if flips.any():
        images = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
    return images


def batches(
    train: IntArray, settings: Pretrain, augment: Augment, seed: int
) -> Iterator[tuple[IntArray, np.ndarray[Any, np.dtype[np.bool_]]]]:
    """Yield rows and flips; every image once an epoch, batches running across the ends of epochs."""
    random = np.random.default_rng(derive_seed("pretrain", seed))
    waiting = np.zeros(0, dtype=np.int64)
    while True:
        while len(waiting) < settings.batch_size:
            waiting = np.concatenate([waiting, random.permutation(train)])
        rows, waiting = waiting[: settings.batch_size], waiting[settings.batch_size :]
        flips = random.random(len(rows)) < 0.5 if augment.flip else np.zeros(len(rows), dtype=bool)
        yield rows, flips


def ends_of_epochs(images: int, settings: Pretrain) -> list[int]:
    """Return the steps that are done at the end of each epoch; the last is how many there are in all."""
    return [max(1, round(epoch * images / settings.batch_size)) for epoch in range(1, settings.epochs + 1)]
