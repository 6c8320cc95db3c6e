"""Phase 1 (pretraining): the network learns to classify the training people, by softmax or a loss with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from faceexp.arrays import BoolArray, ByteArray, FloatArray, IntArray
from faceexp.contract import LossPlugin
from faceexp.engine.augment import Augmentation
from faceexp.engine.backend import Tensor, Variable, derive_seed, reseed, tensorflow
from faceexp.engine.descent import Descent
from faceexp.engine.inputs import FLIPPED, PLAIN, Views
from faceexp.engine.losses import PluginLoss
from faceexp.engine.network import Network, Normalization, Weights
from faceexp.engine.replicas import OneDevice, Replicas
from faceexp.engine.sampled import classes_of, loss_of, windows_of
from faceexp.experiment.optimization import sample_size
from faceexp.experiment.schema import Augment, Pretrain

# Steps in one compiled call: enough that the way from Python into TensorFlow costs little per step, few enough that
# their images, which are copied together for the call, need little memory and progress is reported often.
CHUNK = 16

# Which images a batch consists of, as rows, and which of them are mirrored.
Batch = tuple[IntArray, BoolArray]


class DivergedError(Exception):
    """A loss value or an embedding is not a finite number any more."""


class Softmax:
    """What classifies embeddings in phase 1, where the file names no loss: one dense layer behind ReLU, and softmax.

    Args:
        num_classes: Number of training people.
        dim: Numbers per embedding.
    """

    def __init__(self, num_classes: int, dim: int) -> None:
        self.layer = tensorflow().keras.layers.Dense(num_classes, name="classes")
        self.layer.build((None, dim))
        self.trainable_variables = self.weights = self.variables = self.layer.variables

    def __call__(self, labels: Tensor, hidden: Tensor) -> Tensor:
        """Return the mean cross-entropy of a batch, float32 ()."""
        tf = tensorflow()
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self.layer(hidden)))

    def reset(self, seed: int) -> None:
        """Draw the weights anew, as Keras does, but with a seed."""
        fan_in, classes = self.layer.kernel.shape
        self.layer.kernel.assign(first_kernel(fan_in, classes, seed))
        self.layer.bias.assign(tensorflow().zeros_like(self.layer.bias))


class SampledSoftmax:
    """Softmax over the people who take part in a step, each of whom has a row of weights and a bias.

    Args:
        size: How many take part.
        dim: Numbers per embedding.
    """

    def __init__(self, size: int, dim: int) -> None:
        keras = tensorflow().keras
        self.size = size
        # Each step fills them anew. They are not all alike, so that an optimiser shows if it begins with the weights.
        self.windows = [keras.Variable(first_kernel(dim, size, seed=0).T), keras.Variable(np.zeros(size, np.float32))]
        self.trainable_variables = self.weights = self.variables = self.windows

    def __call__(self, labels: Tensor, hidden: Tensor) -> Tensor:
        """Return the mean cross-entropy of a batch, float32 ()."""
        tf = tensorflow()
        kernel, bias = self.windows
        logits = tf.matmul(hidden, kernel, transpose_b=True) + bias
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

    def reset(self, seed: int) -> None:
        """Start over: each step fills the windows anew."""

    def first_rows(self, seed: int, classes: int) -> list[Tensor]:
        """Return the first weights and biases of so many people: those of :class:`Softmax`."""
        return [first_kernel(self.windows[0].shape[1], classes, seed).T, np.zeros(classes, np.float32)]


def first_kernel(fan_in: int, classes: int, seed: int) -> FloatArray:
    """Return the first weights of softmax, float32 (fan_in, classes).

    They are uniform, with a limit that keeps the variance from layer to layer (Glorot and Bengio, 2010).
    """
    limit = np.sqrt(6.0 / (fan_in + classes))
    drawn = np.random.default_rng(derive_seed("head", seed)).uniform(-limit, limit, (fan_in, classes))
    return drawn.astype(np.float32)


class Classifier:
    """The training step of pretraining. It is compiled once, and used for every seed and fold of the same size.

    What classifies, softmax or the weights of a loss, is thrown away after pretraining.

    Args:
        network: What is trained.
        settings: The experiment's ``[pretrain]``.
        augment: The experiment's ``[augment]``.
        num_classes: Number of training people.
        plugin: The loss that takes the place of softmax.

    Attributes:
        made: What makes the steps, and knows what they keep.
    """

    def __init__(
        self,
        network: Network,
        settings: Pretrain,
        augment: Augment,
        num_classes: int,
        plugin: LossPlugin | None = None,
    ) -> None:
        tf = tensorflow()
        self.network = network
        self.augmentation = Augmentation(augment)
        self.batch_size = settings.batch_size
        dim = int(network.embedding.units)
        self.loss: Softmax | SampledSoftmax | PluginLoss
        sampled = settings.sampled
        if plugin:
            self.loss = loss_of(plugin, num_classes, dim, 0, sampled)
        else:
            self.loss = SampledSoftmax(sample_size(sampled, num_classes), dim) if sampled else Softmax(num_classes, dim)
        self.dropout = tf.keras.layers.Dropout(settings.dropout, seed=0)
        whole = settings.trainable != "head"
        trained = network.trainable_variables(whole=whole)
        weights, windows = self.loss.trainable_variables, windows_of(self.loss)
        of_loss, scaled = (weights, None, windows), network.needs_scale
        self.descent = Descent(settings, trained, network.moments, *of_loss, scaled=scaled)
        self.classes = classes_of(self.loss, self.descent, num_classes)

        computed_by = trained, network.every_variable, self.loss.weights, self.descent
        devices = Replicas(settings.replicas, *computed_by) if settings.replicas > 1 else OneDevice(*computed_by)

        def embed(inputs: Tensor) -> Tensor:
            return network.embeddings(network.features(inputs, training=True) if whole else inputs)

        def step(inputs: Tensor, labels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
            def judge(embeddings: Tensor) -> Tensor:
                # A loss judges the embedding itself, whose numbers may be negative.
                hidden = embeddings if plugin else tf.nn.relu(embeddings)
                return self.loss(labels, self.dropout(hidden, training=True))

            changed = self.augmentation(inputs, mean, deviation) if whole else inputs
            loss, gradients = devices.gradients(changed, embed, judge)
            self.descent.apply(gradients)
            return loss

        self.step = step
        self.made = self.classes.steps(step, CHUNK, self._variables)

    def _variables(self) -> list[Variable]:
        """Return the variables that :meth:`reset` sets."""
        of_training = [*self.descent.variables, *self.augmentation.variables, *self.dropout.variables]
        return [*self.network.every_variable, *self.loss.variables, *self.classes.variables, *of_training]

    def reset(self, weights: Weights, seed: int, steps: int) -> None:
        """Start over: from the given weights, with a fresh head, a fresh optimiser and fresh random numbers.

        Learning rates that change do so over this many steps.
        """
        self.network.set_weights(weights)
        reseed(self.network.trunk, derive_seed("trunk", seed))
        self.augmentation.reset(derive_seed("augment", seed))
        self.loss.reset(seed)
        if self.dropout.rate:  # at a rate of 0, Keras keeps no random state
            state = self.dropout.seed_generator.state
            state.assign(np.array([derive_seed("dropout", seed), 0]).astype(state.dtype))
        self.descent.reset(steps)
        self.classes.reset(seed)

    def run(
        self,
        views: Views,
        labels: IntArray,
        batches: Iterator[Batch],
        normalization: Normalization,
        steps: int,
        on_progress: Callable[[int, float], None],
        halts: Sequence[int] = (),
        go_on: Callable[[], bool] = lambda: True,
    ) -> list[float]:
        """Train; return the loss of every step.

        Args:
            views: All images, uint8 (N, H, W, C), which are mirrored here; or, where the trunk is left as it is, their
                features, float32 (N, F), and maybe those of the mirrored images.
            labels: int (N,); the people of the training part are counted from 0.
            batches: Yields the batches.
            normalization: Of the images.
            steps: How many steps to make at most.
            on_progress: Is called with the number of steps that are done, and the latest loss.
            halts: After which steps to ask whether to go on.
            go_on: Returns the answer. It may look at the network as it is then.

        Raises:
            DivergedError: A loss value is not finite.
        """
        history: list[float] = []
        places = np.arange(CHUNK * self.batch_size, dtype=np.int32).reshape(CHUNK, -1)
        while len(history) < steps:
            done = len(history)
            count = min(CHUNK, min((halt for halt in halts if halt > done), default=steps) - done, steps - done)
            chosen = [next(batches) for _ in range(count)]
            # The compiled call takes CHUNK batches. Where fewer are left, the last one is repeated; it is not used.
            padded = chosen + [chosen[-1]] * (CHUNK - count)
            images = np.stack([_chosen(views, rows, flips) for rows, flips in padded])
            targets = np.stack([labels[rows] for rows, _ in padded]).astype(np.int32)
            # A tensor, since TensorFlow would compile the loop anew for each Python number.
            number = tensorflow().constant(count)
            source = images.reshape(-1, *images.shape[2:])
            drawn = self.classes.drawn(targets, count)
            losses = self.made(source, places, drawn, normalization.mean, normalization.deviation, number)
            losses = losses.numpy()[:count]
            if not np.isfinite(losses).all():
                raise DivergedError(f"phase 1: the loss is not finite at step {len(history) + 1}")
            history += [float(value) for value in losses]
            on_progress(len(history), history[-1])
            if len(history) in halts and not go_on():
                break
        return history


def _chosen(views: Views, rows: IntArray, flips: BoolArray) -> ByteArray | FloatArray:
    """Return some images, or their features, of which some are mirrored."""
    plain = views[PLAIN][rows]
    if not flips.any():
        return plain
    mirrored = views[FLIPPED][rows] if len(views) > 1 else plain[:, :, ::-1]
    return np.where(flips.reshape(-1, *[1] * (plain.ndim - 1)), mirrored, plain)


def batches(train: IntArray, settings: Pretrain, augment: Augment, seed: int) -> Iterator[Batch]:
    """Yield batches without end.

    Every image comes once per epoch, in a new random order. A batch may begin in one epoch and end in the next, so that
    all batches have the same size and no image is left out.
    """
    random = np.random.default_rng(derive_seed("pretrain", seed))
    waiting = np.zeros(0, dtype=np.int64)
    while True:
        while len(waiting) < settings.batch_size:
            waiting = np.concatenate([waiting, random.permutation(train)])
        rows, waiting = waiting[: settings.batch_size], waiting[settings.batch_size :]
        flips = random.random(len(rows)) < 0.5 if augment.flip else np.zeros(len(rows), dtype=bool)
        yield rows, flips


def ends_of_epochs(images: int, settings: Pretrain) -> list[int]:
    """Return after which step each epoch ends; the last number is how many steps there are in all."""
    return [settings.steps_until(epoch, images) for epoch in range(1, settings.epochs + 1)]
