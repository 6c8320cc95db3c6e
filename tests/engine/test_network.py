"""Normalisation, features, and weights in files."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import ModelPlugin
from faceexp.engine import network, network_file
from faceexp.engine.backend import tensorflow


def identical(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("images", [1, 30, 1100])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalization_is_mean_and_deviation(images, channels):
    pixels = np.random.default_rng(images).integers(0, 256, (images + 5, 9, 7, channels)).astype(np.uint8)
    chosen = np.random.default_rng(0).permutation(images + 5)[:images]
    found = network.Normalization.of(pixels, chosen)
    pixels = pixels[chosen]
    assert found.mean.dtype == found.deviation.dtype == np.float32
    np.testing.assert_allclose(found.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, pixels.std(axis=(0, 1, 2)), rtol=1e-5)


def test_normalization_of_one_colour_divides_by_no_zero():
    found = network.Normalization.of(np.full((4, 8, 8, 1), 200, np.uint8), np.arange(4))
    assert found.mean == 200
    assert found.deviation > 0


def test_weights_survive_a_file(tmp_path):
    given = [np.random.default_rng(k).normal(size=(k + 1, 2)).astype(np.float32) for k in range(12)]
    network.save_weights(tmp_path / "w.npz", given)
    identical(network.load_weights(tmp_path / "w.npz"), given)


def test_features_are_those_of_the_trunk(resolved, faces):
    """A stack is run layer by layer, biases after poolings: the same values to the last bit, the same gradients."""
    tf = tensorflow()
    layers = tf.keras.layers

    class Stack(ModelPlugin):
        """One of every case: bias added last, an activation between, no bias, no pooling, a layer for training only."""

        reference: ClassVar[str] = "here"

        def build(self, input_shape):
            return tf.keras.Sequential(
                [
                    tf.keras.Input(input_shape),
                    layers.Conv2D(4, 3, padding="same"),
                    layers.MaxPooling2D(2),
                    layers.Conv2D(4, 3, activation="relu"),
                    layers.MaxPooling2D(2),
                    layers.Conv2D(4, 2, use_bias=False, padding="same"),
                    layers.MaxPooling2D(2, padding="same"),
                    layers.Conv2D(4, 2, padding="same"),
                    layers.BatchNormalization(),
                    layers.Dropout(0.5, seed=0),
                    layers.Flatten(),
                ]
            )

    made = network.Network(Stack(), (16, 16, 1), 8)
    random = np.random.default_rng(0)
    made.set_weights([np.asarray(random.normal(size=weight.shape), np.float32) ** 2 for weight in made.get_weights()])
    images = faces(6, 4)[0][..., None].astype(np.float32) / 50 - 2
    for training in (False, True):
        outcomes = []
        for run in (made.trunk, made.features):
            made.trunk.layers[-2].seed_generator.state.assign([1, 2])
            with tf.GradientTape() as tape:
                found = run(images, training=training)
                loss = tf.reduce_sum(tf.square(found))
            outcomes.append([found, *tape.gradient(loss, made.trunk.trainable_variables)])
        np.testing.assert_array_equal(outcomes[0][0], outcomes[1][0])
        for expected, gradient in zip(*outcomes, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


class Mixed(ModelPlugin):
    """A trunk with layers of the same shape, statistics, random numbers, and weights that start as zeros and ones."""

    reference: ClassVar[str] = "here"

    def build(self, input_shape):
        layers = tensorflow().keras.layers
        pixels = tensorflow().keras.Input(input_shape)
        hidden = layers.Flatten()(pixels)
        for _ in range(2):
            hidden = layers.Dropout(0.5, seed=1)(layers.BatchNormalization()(layers.Dense(6)(hidden)))
        shared = layers.Dense(6)
        return tensorflow().keras.Model(pixels, shared(shared(hidden)))


@pytest.mark.parametrize("places_are_known", [True, False])
def test_each_file_holds_the_weights_that_it_was_given(tmp_path, monkeypatch, places_are_known):
    """Weights go into a file that Keras has saved before, or through Keras again where it keeps them differently."""
    if not places_are_known:
        monkeypatch.setattr(network_file, "_places", lambda *_: None)
    random = np.random.default_rng(0)
    built = network.Network(Mixed(), (4, 4, 1), 3)
    normalizations = [network.Normalization(np.full(1, mean, np.float32), np.full(1, 2, np.float32)) for mean in (1, 5)]
    pixels = random.integers(0, 256, (7, 4, 4, 1)).astype(np.uint8)
    for number, normalization in enumerate([normalizations[0], normalizations[0], normalizations[1]]):
        given = [np.asarray(random.uniform(0.5, 1.5, value.shape), value.dtype) for value in built.get_weights()]
        file = tmp_path / f"{number}.keras"
        built.save(file, given, normalization)
        opened = tensorflow().keras.models.load_model(file, compile=False, safe_mode=True)
        identical(sorted(map(np.ravel, opened.get_weights()), key=list), sorted(map(np.ravel, given), key=list))
        built.set_weights(given)
        embeddings = built.embed(pixels, np.arange(7), normalization)
        np.testing.assert_allclose(opened.predict(pixels, verbose=0), embeddings, rtol=1e-4)


def test_to_write_a_file_leaves_the_network_as_it_is(tmp_path):
    built = network.Network(Mixed(), (4, 4, 1), 3)
    before = built.get_weights()
    plain = network.Normalization(np.zeros(1, np.float32), np.ones(1, np.float32))
    built.save(tmp_path / "network.keras", [value + 1 for value in before], plain)
    identical(built.get_weights(), before)
