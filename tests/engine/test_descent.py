"""What a step does with gradients, against optimisers and schedules of Keras and against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.engine.backend import compiled, tensorflow
from faceexp.engine.borders import handle_of
from faceexp.engine.descent import Descent
from faceexp.engine.optimizer import zero_moments
from faceexp.engine.schedule import share_of_rate
from faceexp.experiment.keras_optimizers import keras_optimizers
from faceexp.experiment.optimization import Optimization, Proxies, Schedule

STEPS = 20
# The gradient of step k at weights w is COEFFICIENTS[k] * w + SHIFTS[k].
COEFFICIENTS, SHIFTS = np.random.default_rng(0).normal(size=(2, STEPS, 3, 4)).astype(np.float32)
START = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


def gradient(step, weights):
    return COEFFICIENTS[step] * weights + SHIFTS[step]


def descended(options, steps=STEPS, *, proxies=None, trainings=1):
    """Return the weights after some steps of one compiled loop; with ``proxies``, those of two equal variables."""
    tf = tensorflow()
    variables = [tf.keras.Variable(START) for _ in range(2 if proxies else 1)]
    descent = Descent(Optimization(**options), variables[:1], {}, variables[1:], proxies)

    def body(step):
        coefficients, shifts = tf.gather(COEFFICIENTS, step), tf.gather(SHIFTS, step)
        descent.apply([coefficients * variable + shifts for variable in variables])
        return step + 1

    loop = compiled(lambda count: tf.while_loop(lambda step: step < count, body, [tf.constant(0)]))
    for _ in range(trainings):
        for variable in variables:
            variable.assign(START)
        descent.reset(steps)
        loop(tf.constant(steps))
    return [variable.numpy() for variable in variables]


def by_keras(optimizer, steps=STEPS):
    """Return the weights after some steps that an optimiser of Keras makes one by one."""
    variable = tensorflow().keras.Variable(START)
    for step in range(steps):
        optimizer.apply_gradients([(gradient(step, variable), variable)])
    return variable.numpy()


def by_numpy(update, steps=STEPS):
    """Return the weights after ``update(step, weights, gradient)`` was subtracted at each step, in double precision."""
    weights = START.astype(np.float64)
    for step in range(steps):
        weights = weights - update(step, weights, gradient(step, weights))
    return weights


# Schedules


def multiplied(schedule, steps):
    """Return what the rate is multiplied by at each step."""
    tf = tensorflow()
    share = compiled(lambda step: share_of_rate(Schedule(**schedule), step, tf.constant(float(steps))))
    return [float(share(tf.constant(float(step)))) for step in range(steps)]


def naive(schedule, steps):
    """Return the same, by the definition in words."""

    def counted(number):
        return round(number * steps) if number < 1 else number

    warmup, shares = counted(schedule.get("warmup", 0)), []
    for step in range(steps):
        share = 1.0
        if schedule["kind"] == "cosine":
            share = (1 + np.cos(np.pi * max(0, step - warmup) / max(1, steps - warmup))) / 2
        if schedule["kind"] == "step":
            share = schedule.get("factor", 0.1) ** sum(step >= counted(each) for each in schedule["milestones"])
        shares.append(share * step / warmup if step < warmup else share)
    return shares


@given(
    kind=st.sampled_from(["constant", "cosine", "step"]),
    warmup=st.sampled_from([0, 0.1, 0.25, 1, 7]),
    milestones=st.sampled_from([[0.5, 0.75], [3, 11], [0.5, 14]]),
    factor=st.sampled_from([{}, {"factor": 0.3}]),
    steps=st.integers(16, 40),
)
@settings(max_examples=20, deadline=None)
def test_a_schedule_is_what_its_definition_says(kind, warmup, milestones, factor, steps):
    schedule = {"kind": kind, "warmup": warmup, **({"milestones": milestones, **factor} if kind == "step" else {})}
    np.testing.assert_allclose(multiplied(schedule, steps), naive(schedule, steps), rtol=1e-5, atol=1e-7)


def test_cosine_with_warm_up_is_that_of_keras():
    theirs = tensorflow().keras.optimizers.schedules.CosineDecay(0.0, 25, warmup_target=1.0, warmup_steps=5)
    expected = [float(theirs(step)) for step in range(30)]
    np.testing.assert_allclose(multiplied({"kind": "cosine", "warmup": 5}, 30), expected, rtol=1e-5, atol=1e-7)


def test_steps_are_those_of_keras_whose_boundaries_still_belong_to_what_is_before():
    theirs = tensorflow().keras.optimizers.schedules.PiecewiseConstantDecay([9, 19], [1.0, 0.5, 0.25])
    expected = [float(theirs(step)) for step in range(30)]
    ours = multiplied({"kind": "step", "milestones": [10, 20], "factor": 0.5}, 30)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


# Optimisers


def test_without_an_optimizer_every_bit_is_that_of_tensorflows_own_adam():
    """So it was before a file could name one; naming it changes nothing."""
    tf = tensorflow()
    variable = tf.keras.Variable(START)
    mean, square = zero_moments(variable)
    steps = tf.Variable(0.0)

    def body(step):
        steps.assign_add(1.0)
        tf.raw_ops.ResourceApplyAdam(
            var=handle_of(variable), m=mean.handle, v=square.handle, beta1_power=0.9**steps, beta2_power=0.999**steps,
            lr=1e-2, beta1=0.9, beta2=0.999, epsilon=1e-7,
            grad=tf.gather(COEFFICIENTS, step) * variable + tf.gather(SHIFTS, step),
        )  # fmt: skip
        return step + 1

    compiled(lambda count: tf.while_loop(lambda step: step < count, body, [tf.constant(0)]))(tf.constant(STEPS))
    for options in ({"learning_rate": 1e-2}, {"learning_rate": 1e-2, "optimizer": {"name": "adam"}}):
        (weights,) = descended(options)
        np.testing.assert_array_equal(weights, variable.numpy(), strict=True)


SCHEDULES: dict[str, tuple[dict[str, Any], Any]] = {
    "constant": ({}, lambda schedules: 0.05),
    "cosine": (
        {"schedule": {"kind": "cosine", "warmup": 4}},
        lambda schedules: schedules.CosineDecay(0.0, STEPS - 4, warmup_target=0.05, warmup_steps=4),
    ),
    "step": (
        {"schedule": {"kind": "step", "milestones": [0.5]}},
        lambda schedules: schedules.PiecewiseConstantDecay([STEPS // 2 - 1], [0.05, 0.005]),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_fast_adam_follows_a_schedule_as_that_of_keras_does(name):
    keras = tensorflow().keras
    options, rate = SCHEDULES[name]
    expected = by_keras(keras.optimizers.Adam(rate(keras.optimizers.schedules)))
    np.testing.assert_allclose(descended({"learning_rate": 0.05, **options})[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(keras_optimizers()))
def test_each_optimizer_of_keras_does_what_it_does_there_and_starts_over(name):
    keras = tensorflow().keras
    rate = keras.optimizers.schedules.CosineDecay(0.05, STEPS)
    (theirs,) = (each for key, each in vars(keras.optimizers).items() if key.lower() == name)
    options = {"learning_rate": 0.05, "optimizer": {"name": name}, "schedule": {"kind": "cosine"}}
    once, twice = descended(options), descended(options, trainings=2)
    np.testing.assert_allclose(once[0], by_keras(theirs(rate)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(once[0], twice[0])
    assert np.abs(once[0] - START).max() > 1e-4


def test_adamw_shrinks_weights_beside_the_step_of_adam():
    """I. Loshchilov, F. Hutter: Decoupled weight decay regularization. ICLR 2019."""
    mean = square = np.zeros_like(START, dtype=np.float64)

    def update(step, weights, slope):
        nonlocal mean, square
        mean, square = 0.8 * mean + 0.2 * slope, 0.99 * square + 0.01 * slope**2
        unbiased, size = mean / (1 - 0.8 ** (step + 1)), square / (1 - 0.99 ** (step + 1))
        # Keras shrinks first, and the size of the gradient is that at the weights before.
        return 0.02 * 0.1 * weights + 0.02 * unbiased / (np.sqrt(size) + 1e-7)

    options = {"name": "AdamW", "weight_decay": 0.1, "beta_1": 0.8, "beta_2": 0.99}
    (weights,) = descended({"learning_rate": 0.02, "optimizer": options})
    np.testing.assert_allclose(weights, by_numpy(update), rtol=1e-4, atol=1e-5)


def test_warm_up_of_plain_gradient_descent():
    (weights,) = descended({"learning_rate": 0.1, "optimizer": {"name": "sgd"}, "schedule": {"warmup": 0.5}})
    half = STEPS / 2
    expected = by_numpy(lambda step, _, slope: 0.1 * min(1, step / half) * slope)
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)


# Clipping


def test_clip_norm_shortens_all_gradients_together():
    plain = {"learning_rate": 0.1, "optimizer": {"name": "sgd"}, "clip_norm": 0.5}
    (alone,) = descended(plain)

    def update(_, __, slope):
        return 0.1 * slope * min(1, 0.5 / np.linalg.norm(slope))

    np.testing.assert_allclose(alone, by_numpy(update), rtol=1e-5, atol=1e-6)
    # Two variables with the same gradients are longer by the square root of 2; those of the loss count as well.
    both = descended(plain, proxies=Proxies(learning_rate=0.1))

    def shorter(_, __, slope):
        return 0.1 * slope * min(1, 0.5 / (np.sqrt(2) * np.linalg.norm(slope)))

    for weights in both:
        np.testing.assert_allclose(weights, by_numpy(shorter), rtol=1e-5, atol=1e-6)


def test_clip_value_cuts_each_number():
    (weights,) = descended({"learning_rate": 0.1, "optimizer": {"name": "sgd"}, "clip_value": 0.3})
    expected = by_numpy(lambda _, __, slope: 0.1 * np.clip(slope, -0.3, 0.3))
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), [("clip_norm", "global_clipnorm"), ("clip_value", "clipvalue")])
def test_the_fast_adam_clips_as_that_of_keras_does(ours, theirs):
    expected = by_keras(tensorflow().keras.optimizers.Adam(0.05, **{theirs: 0.4}))
    np.testing.assert_allclose(descended({"learning_rate": 0.05, ours: 0.4})[0], expected, rtol=1e-4, atol=1e-5)


# Weights of the loss


def test_weights_of_the_loss_have_their_own_rate_and_optimizer():
    keras = tensorflow().keras
    adam, sgd = keras.optimizers.Adam, keras.optimizers.SGD
    network, proxies = descended({"learning_rate": 0.01}, proxies=Proxies(learning_rate=0.1))
    np.testing.assert_allclose(network, by_keras(adam(0.01)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(proxies, by_keras(adam(0.1)), rtol=1e-4, atol=1e-5)
    other = Proxies.model_validate({"optimizer": {"name": "sgd", "momentum": 0.5}})
    network, proxies = descended({"learning_rate": 0.01}, proxies=other)
    np.testing.assert_allclose(network, by_keras(adam(0.01)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(proxies, by_keras(sgd(0.01, momentum=0.5)), rtol=1e-5, atol=1e-6)


def test_a_weight_without_gradient_stays_and_a_step_without_any_is_refused():
    tf = tensorflow()
    variables = [tf.keras.Variable(START) for _ in range(2)]
    for options in ({}, {"optimizer": {"name": "sgd"}}, {"clip_norm": 1.0}, {"clip_value": 1.0}):
        descent = Descent(Optimization.model_validate(options), variables, {})
        before = [variable.numpy() for variable in variables]
        descent.apply([tf.ones((3, 4)), None])
        assert not np.array_equal(variables[0].numpy(), before[0])
        np.testing.assert_array_equal(variables[1].numpy(), before[1])
        with pytest.raises(ValueError, match="depends on no weight that is trained"):
            descent.apply([None, None])


def test_a_gradient_of_few_rows_is_taken_whole():
    tf = tensorflow()
    rows = tf.IndexedSlices(tf.ones((1, 4)), tf.constant([1]), tf.constant([3, 4]))
    for options in ({}, {"optimizer": {"name": "sgd"}}, {"clip_norm": 9.0}, {"clip_value": 9.0}):
        variable = tf.keras.Variable(np.zeros((3, 4), np.float32))
        Descent(Optimization.model_validate({"learning_rate": 0.5, **options}), [variable], {}).apply([rows])
        np.testing.assert_allclose(variable.numpy(), np.array([[0], [-0.5], [0]]) * np.ones(4), rtol=1e-5)
