"""The scale of a loss in float16, against the optimiser of Keras that does the same, and against the rule in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from faceexp.engine import loss_scale
from faceexp.engine.backend import compiled, tensorflow
from faceexp.engine.descent import Descent
from faceexp.engine.loss_scale import FIRST, GOOD_STEPS, SMALLEST, LossScale
from faceexp.experiment.optimization import Optimization

START = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
SGD = {"name": "sgd", "momentum": 0.9}
INFINITE = np.float32(np.inf)


def gradient(step):
    """Return the gradient of the loss itself at a step."""
    return np.random.default_rng([1, step]).normal(size=START.shape).astype(np.float32)


def overflowing(steps, overflows):
    """Return gradients of which some have a number that is not finite."""
    gradients = np.stack([gradient(step) for step in range(steps)])
    gradients[list(overflows), 1, 2] = INFINITE
    return gradients


def descended(gradients, *, trainings=1, **options):
    """Return weights and scale after each step of a compiled loop on the gradients of a scaled loss."""
    tf = tensorflow()
    variable = tf.keras.Variable(START)
    descent = Descent(Optimization(**options), [variable], {}, scaled=True)

    @compiled
    def step(gradient):
        descent.apply([gradient * descent.scale])
        return tf.convert_to_tensor(variable), tf.convert_to_tensor(descent.scale)

    for _ in range(trainings):
        variable.assign(START)
        descent.reset(len(gradients))
        weights, scales = zip(*(step(each) for each in tf.constant(gradients)), strict=True)
    return np.stack(weights), [float(scale) for scale in scales]


def by_keras(gradients, optimizer, growth=GOOD_STEPS):
    """Return the same of ``keras.optimizers.LossScaleOptimizer``."""
    tf = tensorflow()
    variable, weights, scales = tf.keras.Variable(START), [], []
    scaled = tf.keras.optimizers.LossScaleOptimizer(optimizer, dynamic_growth_steps=growth)
    scaled.build([variable])
    for gradient in tf.constant(gradients):
        scaled.apply([gradient * tf.convert_to_tensor(scaled.dynamic_scale)])
        weights.append(variable.numpy())
        scales.append(float(scaled.dynamic_scale.numpy()))
    return np.stack(weights), scales


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        ({"optimizer": SGD}, lambda optimizers: optimizers.SGD(1e-2, momentum=0.9)),
        ({}, lambda optimizers: optimizers.Adam(1e-2)),
        ({"clip_norm": 0.5}, lambda optimizers: optimizers.Adam(1e-2, global_clipnorm=0.5)),
        ({"clip_value": 0.1, "optimizer": SGD}, lambda optimizers: optimizers.SGD(1e-2, momentum=0.9, clipvalue=0.1)),
    ],
    ids=["sgd", "adam", "clip_norm", "clip_value"],
)
def test_steps_and_scales_are_those_of_keras(options, optimizer, monkeypatch):
    """With overflows at the first step, twice in a row, and just before the scale would have been doubled."""
    monkeypatch.setattr(loss_scale, "GOOD_STEPS", 5)
    gradients = overflowing(40, overflows=(0, 1, 9, 20, 26))
    weights, scales = descended(gradients, learning_rate=1e-2, **options)
    expected, expected_scales = by_keras(gradients, optimizer(tensorflow().keras.optimizers), growth=5)
    assert scales == expected_scales
    assert len(set(scales)) > 3
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=2e-6)


def test_the_rule_is_that_of_keras():
    theirs = tensorflow().keras.optimizers.LossScaleOptimizer(tensorflow().keras.optimizers.SGD())
    assert (theirs.initial_scale, theirs.dynamic_growth_steps) == (FIRST, GOOD_STEPS) == (2.0**15, 2000)


def test_without_overflows_every_weight_is_that_of_an_unscaled_loss():
    """A scale is a power of two, so that it changes no digit."""
    gradients = overflowing(20, overflows=())
    weights, scales = descended(gradients, learning_rate=1e-2)
    tf = tensorflow()
    variable = tf.keras.Variable(START)
    descent = Descent(Optimization(learning_rate=1e-2), [variable], {})
    step = compiled(lambda gradient: descent.apply([gradient]))
    descent.reset(20)
    for each in tf.constant(gradients):
        step(each)
    assert descent.scale is None
    np.testing.assert_array_equal(weights[-1], variable.numpy())
    assert set(scales) == {FIRST}


def test_a_step_that_is_left_out_changes_no_weight_and_no_moment():
    """After it, the next step is the one that would have been made in its place."""
    gradients = overflowing(6, overflows=(2, 3))
    weights, scales = descended(gradients, learning_rate=1e-2)
    np.testing.assert_array_equal(weights[3], weights[1])
    without, _ = descended(np.delete(gradients, [2, 3], axis=0), learning_rate=1e-2)
    np.testing.assert_array_equal(weights[-1], without[-1])
    assert scales == [FIRST, FIRST, FIRST / 2, FIRST / 4, FIRST / 4, FIRST / 4]


def test_each_training_starts_over():
    gradients = overflowing(8, overflows=(7,))
    once, again = (descended(gradients, trainings=trainings) for trainings in (1, 2))
    np.testing.assert_array_equal(once[0], again[0])
    assert once[1] == again[1]


def test_its_state_belongs_to_what_is_set_anew():
    tf = tensorflow()
    variable = tf.keras.Variable(START)
    plain, scaled = (Descent(Optimization(), [variable], {}, scaled=each) for each in (False, True))
    assert len(scaled.variables) == len(plain.variables) + 2
    assert any(each is scaled.scale for each in scaled.variables)


def test_a_gradient_that_stays_infinite_reaches_the_weights_so_that_the_training_diverges():
    """Otherwise a training that cannot go on would go on, leave out every step, and look like one that learnt little."""
    skipped = int(np.log2(FIRST / SMALLEST)) + 1
    weights, scales = descended(overflowing(skipped + 2, overflows=range(skipped + 2)))
    np.testing.assert_array_equal(weights[skipped - 1], START)
    assert scales[skipped - 1] < SMALLEST
    assert not np.isfinite(weights[skipped + 1]).all()


def test_gradients_of_a_few_rows_stay_so():
    """As ``tf.gather`` of proxies gives them; they would need far more memory otherwise."""
    tf = tensorflow()
    seen: list[Any] = []
    scale = LossScale()
    values = tf.constant([[2.0**15, 2.0**16]])
    rows = tf.IndexedSlices(values, tf.constant([3]), tf.constant([100_000, 2]))
    scale.step([rows, None], seen.append)
    ((made, nothing),) = seen
    assert isinstance(made, tf.IndexedSlices)
    assert nothing is None
    np.testing.assert_array_equal(made.values, [[1.0, 2.0]])
    scale.step([tf.IndexedSlices(values * INFINITE, rows.indices, rows.dense_shape)], seen.append)
    assert len(seen) == 1
    assert float(scale.value) == FIRST / 2
