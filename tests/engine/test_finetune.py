"""Phase 2 against plain loops."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import pytest

from faceexp.contract import BatchSupply, Distance, LossPlugin, SamplerPlugin
from faceexp.engine import finetune, network
from faceexp.engine.backend import tensorflow
from faceexp.engine.inputs import TrainingInputs
from faceexp.experiment.schema import Augment, Finetune
from faceexp.registry.installed import discover


class Pull(LossPlugin):
    """Pulls similar pairs together and pushes all apart; takes rows out by a mask, which XLA refuses to compile."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()

        def loss(labels, embeddings):
            squared = tf.reduce_sum(tf.square(embeddings[:, None] - embeddings[None, :]), axis=2)
            same = labels[:, None] == labels[None, :]
            near = tf.reduce_mean(tf.boolean_mask(squared, same))
            far = tf.reduce_mean(tf.exp(-0.1 * tf.boolean_mask(squared, ~same)))
            return near + far

        return loss


class Square(LossPlugin):
    """Mean square of all embeddings."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: tf.reduce_mean(tf.square(embeddings))


class InTurn(SamplerPlugin):
    """Rows in their order, over and over."""

    size: int = 8

    def supply(self):
        return BatchSupply(self.size, classes=1)

    def build(self, labels, seed):
        return (np.arange(k, k + self.size) % len(labels) for k in itertools.count(0, self.size))


def identical(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.fixture
def tuner_of(resolved):
    """``tuner_of(loss plugin, trainable)``: a new network and the compiled training of the loss; more keys of [finetune]."""

    def build(plugin, trainable="embedding", learning_rate=1e-2, **changes):
        wanted = resolved({"loss": plugin}, sampler=InTurn())
        (loss,) = wanted.losses
        given = loss.entry.finetune.model_dump() | {"trainable": trainable, "learning_rate": learning_rate} | changes
        settings = Finetune.model_validate(given)
        object.__setattr__(loss, "entry", loss.entry.model_copy(update={"finetune": settings}))
        made = network.Network(wanted.model.plugin, (16, 16, 1), 8)
        return made, finetune.Finetuner(made, loss, Augment(), 6)

    return build


NORMAL = network.Normalization(np.array([120.0], np.float32), np.array([40.0], np.float32))


def finetuned(tuner, inputs, labels, weights, *, steps=7, every=7, **rest):
    tuner.reset(weights, seed=0)
    return tuner.run(
        TrainingInputs([inputs], np.arange(len(inputs)), seed=0),
        labels,
        InTurn().build(labels, 0),
        NORMAL,
        lambda: 1.0,
        steps=steps,
        validate_every=every,
        on_progress=lambda done, loss: None,
        **rest,
    )


def test_phase_2_is_adam_on_the_embedding_layer(tuner_of):
    """Seven steps against NumPy: mean square of X W + b, by Kingma and Ba's update."""
    made, tuner = tuner_of(Square())
    inputs = np.random.default_rng(0).normal(size=(20, made.width)).astype(np.float32)
    labels = np.arange(20, dtype=np.int32) % 6
    start = made.get_weights()
    outcome = finetuned(tuner, inputs, labels, start)
    kernel, bias = (weight.astype(np.float64) for weight in start[-2:])
    moments = [[np.zeros_like(w), np.zeros_like(w)] for w in (kernel, bias)]
    losses = []
    for step in range(1, 8):
        x = inputs[np.arange(8 * (step - 1), 8 * step) % 20].astype(np.float64)
        y = x @ kernel + bias
        losses.append((y**2).mean())
        slope = 2 * y / y.size
        for weight, moment, gradient in zip((kernel, bias), moments, (x.T @ slope, slope.sum(axis=0)), strict=True):
            moment[0] = 0.9 * moment[0] + 0.1 * gradient
            moment[1] = 0.999 * moment[1] + 0.001 * gradient**2
            rate = 1e-2 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weight -= rate * moment[0] / (np.sqrt(moment[1]) + 1e-7)
    np.testing.assert_allclose(outcome.weights[-2], kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outcome.weights[-1], bias, rtol=1e-4, atol=1e-5)
    identical(outcome.weights[:-2], start[:-2])
    assert outcome.curve[0].loss == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("trainable", ["embedding", "all"])
def test_phase_2_is_a_plain_keras_loop(tuner_of, faces, trainable):
    tf = tensorflow()
    keras = tf.keras
    plugin: Any = discover().find("loss", "npairs").load()()
    made, tuner = tuner_of(plugin, trainable)
    pixels, _ = faces(6, 4)
    labels = np.arange(24, dtype=np.int32) % 4  # rows i and i + 4 of a batch match
    start = made.get_weights()
    images = (pixels[..., None].astype(np.float32) - 120) / 40
    inputs = pixels[..., None] if trainable == "all" else made.trunk(images).numpy()
    outcome = finetuned(tuner, inputs, labels, start)

    made.set_weights(start)
    loss = plugin.build(None)
    variables = made.embedding.trainable_variables
    if trainable == "all":
        variables = made.trunk.trainable_variables + variables
    optimizer = keras.optimizers.Adam(1e-2)
    losses = []
    for index in itertools.islice(InTurn().build(labels, 0), 7):
        with tf.GradientTape() as tape:
            value = loss(tf.constant(labels[index]), made.embedding(made.trunk(images[index])))
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        losses.append(float(value))
    for found, expected, before in zip(outcome.weights, made.get_weights(), start, strict=True):
        # Adam divides a gradient by its own size: where that is nearly zero, rounding decides the direction.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=5e-3 * np.abs(expected - before).max())
    assert outcome.curve[0].loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_sgd_with_momentum_and_cosine_is_a_plain_fit_of_keras(tuner_of):
    """Fifty steps: the loss of each, by `fit` on the embedding layer with the optimiser and the schedule of Keras."""
    tf = tensorflow()
    keras = tf.keras
    plugin: Any = discover().find("loss", "npairs").load()()
    sgd = {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
    made, tuner = tuner_of(
        plugin, learning_rate=1e-4, steps=50, optimizer={"name": "sgd", **sgd}, schedule={"kind": "cosine"}
    )
    inputs = np.random.default_rng(0).normal(size=(24, made.width)).astype(np.float32)
    labels = np.arange(24, dtype=np.int32) % 4
    start = made.get_weights()
    # A checkpoint after each step tells its loss.
    found = [point.loss for point in finetuned(tuner, inputs, labels, start, steps=50, every=1).curve]

    made.set_weights(start)
    features = keras.Input((made.width,))
    model = keras.Model(features, made.embedding(features))
    rate = keras.optimizers.schedules.CosineDecay(1e-4, decay_steps=50)
    model.compile(keras.optimizers.SGD(rate, **sgd), loss=plugin.build(None))
    rows = np.stack(list(itertools.islice(InTurn().build(labels, 0), 50)))
    batches = tf.data.Dataset.from_tensor_slices((inputs[rows], labels[rows]))
    expected = model.fit(batches.repeat(), steps_per_epoch=1, epochs=50, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[-1] < 0.7 * found[0]


def test_how_often_one_looks_does_not_change_what_is_trained(tuner_of):
    made, tuner = tuner_of(Pull())
    inputs = np.random.default_rng(0).normal(size=(20, made.width)).astype(np.float32)
    labels = np.arange(20, dtype=np.int32) % 6
    start = made.get_weights()
    seldom = finetuned(tuner, inputs, labels, start, steps=finetune.CHUNK + 10, every=finetune.CHUNK + 10)
    tuner.reset(start, seed=0)
    made.set_weights(start)
    best = finetuned(tuner, inputs, labels, start, steps=finetune.CHUNK + 10, every=20)
    assert [point.step for point in best.curve] == [20, 40, 60]
    assert np.mean([point.loss for point in best.curve]) == pytest.approx(seldom.curve[0].loss, rel=1e-5)
    # Nor does how many steps are made in one call.
    few = finetuned(tuner, inputs, labels, start, steps=finetune.CHUNK + 10, every=20, chunk=7)
    assert few.curve == best.curve
    identical(few.weights, best.weights)
