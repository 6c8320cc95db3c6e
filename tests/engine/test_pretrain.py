"""Phase 1 against plain loops; its batches and epochs."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import pytest

from faceexp.contract import Distance, LossContext, LossPlugin
from faceexp.engine import network, pretrain
from faceexp.engine.backend import tensorflow
from faceexp.experiment.schema import Augment, Pretrain
from faceexp.registry.installed import discover


class Still(LossPlugin):
    """Asks for no change at all."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"
    xla: ClassVar[bool] = False  # compiling takes longer than these trainings

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: 0.0 * tf.reduce_sum(embeddings)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [1, 4, 10, 25])
def test_phase_1_visits_every_image_equally(size, flip):
    train = np.arange(10, 30)
    drawn = pretrain.batches(train, Pretrain(batch_size=size), Augment(flip=flip), seed=0)
    rows, flips = zip(*(next(drawn) for _ in range(20 * 20 // size)), strict=True)
    assert {len(row) for row in rows} == {size}
    visits = np.bincount(np.concatenate(rows), minlength=30)
    np.testing.assert_array_equal(visits, [0] * 10 + [20] * 20)
    mirrored = np.concatenate(flips).mean()
    assert 0.4 < mirrored < 0.6 if flip else mirrored == 0
    again = pretrain.batches(train, Pretrain(batch_size=size), Augment(flip=flip), seed=0)
    other = pretrain.batches(train, Pretrain(batch_size=20), Augment(flip=flip), seed=1)
    np.testing.assert_array_equal(next(again)[0], rows[0])
    assert not np.array_equal(next(other)[0], np.concatenate(rows)[:20])


def test_ends_of_epochs():
    """Batches run across the ends of epochs: an epoch ends with the batch that ends nearest to it."""
    assert pretrain.ends_of_epochs(48, Pretrain(epochs=3, batch_size=16)) == [3, 6, 9]
    assert pretrain.ends_of_epochs(50, Pretrain(epochs=4, batch_size=20)) == [2, 5, 8, 10]
    assert pretrain.ends_of_epochs(50, Pretrain(epochs=1, batch_size=100)) == [1]
    assert pretrain.ends_of_epochs(10, Pretrain(epochs=1, batch_size=100)) == [1]


NORMAL = network.Normalization(np.array([120.0], np.float32), np.array([40.0], np.float32))


def test_phase_1_is_a_plain_keras_loop(resolved, faces):
    tf = tensorflow()
    keras = tf.keras
    settings = Pretrain(epochs=1, batch_size=8, learning_rate=1e-2, dropout=0.0)
    made = network.Network(resolved({"still": Still()}).model.plugin, (16, 16, 1), 8)
    pixels, labels = faces(6, 4)
    start = made.get_weights()
    classifier = pretrain.Classifier(made, settings, Augment(), 6)
    classifier.reset(start, seed=3, steps=5)
    head = [variable.numpy() for variable in classifier.loss.variables]
    assert not head[1].any()

    def drawn():
        return pretrain.batches(np.arange(24), settings, Augment(flip=True), seed=1)

    told = []
    history = classifier.run([pixels[..., None]], labels, drawn(), NORMAL, 5, lambda *heard: told.append(heard))
    found = [*made.get_weights(), *(variable.numpy() for variable in classifier.loss.variables)]
    assert [done for done, _ in told][-1] == len(history) == 5

    made.set_weights(start)
    for variable, value in zip(classifier.loss.variables, head, strict=True):
        variable.assign(value)
    variables = [*made.trunk.trainable_variables, *made.embedding.trainable_variables, *classifier.loss.variables]
    optimizer = keras.optimizers.Adam(1e-2)
    for step, (drawn_rows, flips) in enumerate(itertools.islice(drawn(), 5)):
        images = np.stack([pixels[r][:, ::-1] if f else pixels[r] for r, f in zip(drawn_rows, flips, strict=True)])
        with tf.GradientTape() as tape:
            hidden = tf.nn.relu(made.embedding(made.trunk((images[..., None].astype(np.float32) - 120) / 40)))
            losses = keras.losses.sparse_categorical_crossentropy(
                labels[drawn_rows], classifier.loss.layer(hidden), from_logits=True
            )
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        assert history[step] == pytest.approx(float(loss), rel=1e-3)
    expected = [*made.get_weights(), *(variable.numpy() for variable in classifier.loss.variables)]
    for now, then in zip(found, expected, strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-4)


def test_phase_1_with_a_loss_is_a_plain_keras_loop_on_the_embedding_itself(resolved, faces):
    tf = tensorflow()
    keras = tf.keras
    settings = Pretrain(epochs=1, batch_size=8, learning_rate=1e-2, dropout=0.0)
    made = network.Network(resolved({"still": Still()}).model.plugin, (16, 16, 1), 8)
    pixels, labels = faces(6, 4)
    start = made.get_weights()
    plugin: Any = discover().configure("loss", "arcface", {"scale": 8.0}).plugin
    classifier = pretrain.Classifier(made, settings, Augment(), 6, plugin)
    classifier.reset(start, seed=3, steps=5)
    proxies = [variable.numpy() for variable in classifier.loss.weights]

    def drawn():
        return pretrain.batches(np.arange(24), settings, Augment(), seed=1)

    history = classifier.run([pixels[..., None]], labels, drawn(), NORMAL, 5, lambda *heard: None)
    found = [*made.get_weights(), *(variable.numpy() for variable in classifier.loss.weights)]

    made.set_weights(start)
    loss = plugin.build(LossContext(6, 8))
    for variable, value in zip(loss.weights, proxies, strict=True):
        variable.assign(value)
    variables = [*made.trunk.trainable_variables, *made.embedding.trainable_variables, *loss.weights]
    optimizer = keras.optimizers.Adam(1e-2)
    for step, (rows, _) in enumerate(itertools.islice(drawn(), 5)):
        images = (pixels[rows][..., None].astype(np.float32) - 120) / 40
        with tf.GradientTape() as tape:
            value = loss(tf.constant(labels[rows]), made.embedding(made.trunk(images)))
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        assert history[step] == pytest.approx(float(value), rel=1e-3)
    for now, then in zip(found, [*made.get_weights(), *(each.numpy() for each in loss.weights)], strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-4)


def test_phase_1_follows_its_schedule_to_the_end_of_its_own_steps(resolved, faces):
    """Parts differ in size, so the same compiled steps have to serve several lengths."""
    options = {"optimizer": {"name": "sgd"}, "schedule": {"kind": "step", "milestones": [0.5], "factor": 1e-9}}
    settings = Pretrain.model_validate({"batch_size": 8, "learning_rate": 0.1, "dropout": 0.0, **options})
    made = network.Network(resolved({"still": Still()}).model.plugin, (16, 16, 1), 8)
    pixels, labels = faces(6, 4)
    start = made.get_weights()
    classifier = pretrain.Classifier(made, settings, Augment(), 6)
    for steps in (4, 8):
        ends = []
        for run in (steps // 2, steps):
            classifier.reset(start, 0, steps)
            drawn = pretrain.batches(np.arange(24), settings, Augment(), seed=1)
            classifier.run([pixels[..., None]], labels, drawn, NORMAL, run, lambda *_: None)
            ends.append(np.concatenate([weights.ravel() for weights in made.get_weights()]))
        # From the middle on, nothing moves any more.
        np.testing.assert_allclose(ends[0], ends[1], atol=1e-7)
        assert np.abs(ends[0] - np.concatenate([weights.ravel() for weights in start])).max() > 1e-4


@pytest.mark.parametrize("loss", [None, "arcface"])
def test_phase_1_starts_anew_for_every_seed(resolved, faces, loss):
    plugin: Any = discover().find("loss", loss).load()() if loss else None
    settings = Pretrain(epochs=1, batch_size=8, dropout=0.5)
    made = network.Network(resolved({"still": Still()}).model.plugin, (16, 16, 1), 8)
    pixels, labels = faces(6, 4)
    start = made.get_weights()
    classifier = pretrain.Classifier(made, settings, Augment(), 6, plugin)
    histories = []
    for seed in (3, 4, 3):
        classifier.reset(start, seed, 4)
        drawn = pretrain.batches(np.arange(24), settings, Augment(), seed=1)
        histories.append(classifier.run([pixels[..., None]], labels, drawn, NORMAL, 4, lambda *_: None))
    assert histories[0] == histories[2]
    assert histories[0] != histories[1]
