"""A weighted sum of losses in training: its value and gradients against sums made by hand, and what it starts with."""

from __future__ import annotations

import dataclasses
import itertools
from typing import ClassVar, Literal, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.contract import Distance, LossContext, LossPlugin
from faceexp.engine import network
from faceexp.engine.backend import tensorflow
from faceexp.engine.borders import PluginValueError
from faceexp.engine.finetune import Finetuner
from faceexp.engine.inputs import TrainingInputs
from faceexp.engine.losses import PluginLoss, build_loss
from faceexp.engine.rehearsal import Rehearsal, ended, perform
from faceexp.experiment.schema import Augment, Finetune
from faceexp.layers import proxy_layer, random_layer
from faceexp.registry.combined import CombinedLoss
from faceexp.registry.installed import discover
from faceexp.store import Store

CLASSES, DIM = 4, 5
LABELS = np.array([0, 1, 2, 3, 0, 1, 2, 3], np.int32)
X = np.random.default_rng(0).normal(size=(8, DIM)).astype(np.float32)


def summed(*parts):
    """Return the sum of ``(weight, plugin, options)``, as the registry finds them."""
    registry = discover()
    configured = tuple(registry.configure("loss", name, options) for _, name, options in parts)
    return CombinedLoss(configured, tuple(weight for weight, _, _ in parts), "cosine")


def value_and_gradients(loss, variables):
    """Return value, gradient of the embeddings, and gradients of variables."""
    tf = tensorflow()
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(tf.constant(LABELS), x)
    of_x, *rest = tape.gradient(value, [x, *variables])
    return float(value), of_x.numpy(), [tf.convert_to_tensor(gradient).numpy() for gradient in rest]


# With proxies and without, with weights that are moved, with random numbers, and one that XLA does not compile.
SUMS = {
    "no weights": ((1.0, "npairs", {}), (0.25, "threshold_consistent_margin", {"margin_minus": -0.5})),
    "proxies and none": ((2.0, "arcface", {}), (0.1, "multi_similarity", {})),
    "proxies twice": ((1.0, "arcface", {}), (3.0, "arcface", {"margin": 10.0})),
    "moving weights": ((1.0, "arcface", {}), (0.01, "center", {"weight": 0.5})),
    "random numbers": ((0.5, "elasticface", {}), (0.5, "elasticface", {}), (1.0, "vpl", {})),
    "another library": ((1.0, "tfsim_multi_similarity", {}), (0.5, "proxy_anchor", {})),
}


@pytest.mark.parametrize("name", SUMS)
def test_value_and_gradients_are_weighted_sums_of_those_of_the_parts(name):
    combined = summed(*SUMS[name])
    whole = build_loss(combined, CLASSES, DIM, seed=3)
    alone = []
    for part, built in zip(combined.parts, whole.parts, strict=True):
        # The same loss by itself, with the same weights and the same state of its random numbers.
        plugin = cast("LossPlugin", part.plugin).build(LossContext(CLASSES, DIM, seed=99))
        for variable, start in zip(getattr(plugin, "variables", []), getattr(built, "variables", []), strict=True):
            variable.assign(start)
        alone.append(value_and_gradients(plugin, getattr(plugin, "trainable_variables", [])))
    weights = [weight for weight, _, _ in SUMS[name]]
    value, of_x, of_variables = value_and_gradients(whole, whole.trainable_variables)
    assert value == pytest.approx(sum(w * each[0] for w, each in zip(weights, alone, strict=True)), rel=1e-5)
    np.testing.assert_allclose(
        of_x, sum(w * each[1] for w, each in zip(weights, alone, strict=True)), rtol=1e-4, atol=1e-6
    )
    expected = [w * gradient for w, each in zip(weights, alone, strict=True) for gradient in each[2]]
    assert len(of_variables) == len(expected)
    for gradient, wanted in zip(of_variables, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


class Toy(LossPlugin):
    """A loss that is simple enough to be computed by hand, or a wrong one."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    what: Literal["square", "towards", "noise", "vector"]

    def build(self, ctx):
        tf = tensorflow()

        def square(labels, x):
            return tf.reduce_mean(x**2)

        def towards(labels, x, proxies):
            return tf.reduce_mean(tf.reduce_sum(x * tf.gather(proxies, labels), axis=1))

        def noise(labels, x, seed):
            return tf.reduce_mean(x) * tf.random.stateless_normal([], seed)

        if self.what == "towards":
            return proxy_layer(ctx, towards)
        if self.what == "noise":
            return random_layer(ctx, noise)
        return square if self.what == "square" else lambda labels, x: tf.reduce_sum(x, axis=1)


SQUARE, TOWARDS, NOISE, VECTOR = (Toy(what=what) for what in ("square", "towards", "noise", "vector"))


@pytest.fixture(scope="module")
def sum_of(chosen):
    """``sum_of((0.5, SQUARE), ...)``: the sum of losses that are given."""

    def build(*parts):
        plugins = tuple(chosen(plugin.what, plugin) for _, plugin in parts)
        return CombinedLoss(plugins, tuple(weight for weight, _ in parts))

    return build


WEIGHTS = st.floats(1e-6, 1e6)


@settings(deadline=None, max_examples=30)
@given(first=WEIGHTS, second=WEIGHTS)
def test_with_any_weights_it_is_the_sum_that_numpy_makes(sum_of, first, second):
    whole = build_loss(sum_of((first, SQUARE), (second, TOWARDS)), CLASSES, DIM, seed=0)
    (proxies,) = whole.trainable_variables
    value, of_x, (of_proxies,) = value_and_gradients(whole, [proxies])
    x, own = X.astype(float), proxies.numpy().astype(float)[LABELS]
    expected = first * (x**2).mean() + second * (x * own).sum(axis=1).mean()
    size = first * (x**2).mean() + second * np.abs(x * own).sum(axis=1).mean()
    assert abs(value - expected) < 1e-5 * size
    np.testing.assert_allclose(of_x, first * 2 * x / x.size + second * own / 8, rtol=1e-4, atol=1e-6 * (first + second))
    sums = np.stack([x[label == LABELS].sum(axis=0) for label in range(CLASSES)])
    np.testing.assert_allclose(of_proxies, second * sums / 8, rtol=1e-4, atol=1e-6 * second)


def test_the_first_part_starts_as_it_does_alone_and_others_with_numbers_of_their_own(sum_of):
    whole = build_loss(sum_of((1.0, TOWARDS), (1.0, TOWARDS)), CLASSES, DIM, seed=5)
    first, second = (variable.numpy() for variable in whole.trainable_variables)
    (alone,) = build_loss(TOWARDS, CLASSES, DIM, seed=5).trainable_variables
    np.testing.assert_array_equal(first, alone.numpy())
    assert np.abs(first - second).min() > 0


def test_random_parts_draw_numbers_of_their_own_which_a_seed_determines(sum_of):
    tf = tensorflow()
    loss = PluginLoss(sum_of((1.0, NOISE), (1.0, NOISE), (1.0, TOWARDS)), CLASSES, DIM, seed=1)

    def drawn(seed):
        loss.reset(seed)
        return [
            [float(part(tf.constant(LABELS), tf.constant(X))) for part in loss.function.parts[:2]] for _ in range(3)
        ]

    assert drawn(7) == drawn(7) != drawn(8)
    values = [value for pair in drawn(7) for value in pair]
    assert len(set(values)) == 6


def test_each_training_begins_with_weights_drawn_anew(sum_of):
    loss = PluginLoss(sum_of((1.0, TOWARDS), (1.0, SQUARE), (1.0, TOWARDS)), CLASSES, DIM, seed=1)
    loss.reset(4)
    start = [variable.numpy() for variable in loss.weights]
    for variable in loss.weights:
        variable.assign(variable + 1.0)
    loss.reset(4)
    for variable, first in zip(loss.weights, start, strict=True):
        np.testing.assert_array_equal(variable.numpy(), first)
    assert len(start) == 2


def test_a_part_whose_value_is_no_number_is_refused(sum_of):
    tf = tensorflow()
    whole = build_loss(sum_of((1.0, SQUARE), (1.0, VECTOR)), CLASSES, DIM, seed=0)
    with pytest.raises(PluginValueError, match="values of shape"):
        whole(tf.constant(LABELS), tf.constant(X))


# In training

NORMAL = network.Normalization(np.array([120.0], np.float32), np.array([40.0], np.float32))


@pytest.fixture
def trained(resolved, chosen):
    """``trained(loss, **changes of [finetune])``: weights of network and loss after some steps, and what they were."""

    def train(loss, **changes):
        wanted = resolved({"loss": SQUARE})
        (row,) = wanted.losses
        entry = row.entry.finetune.model_dump() | {"optimizer": {"name": "sgd"}, "learning_rate": 0.1} | changes
        finetune = Finetune.model_validate(entry, strict=False)
        loss = loss if isinstance(loss, CombinedLoss) else chosen("loss", loss)
        row = dataclasses.replace(row, entry=row.entry.model_copy(update={"finetune": finetune}), loss=loss)
        made = network.Network(wanted.model.plugin, (16, 16, 1), DIM)
        tuner = Finetuner(made, row, Augment(), CLASSES)
        inputs = np.random.default_rng(1).normal(size=(8, made.width)).astype(np.float32)
        start = made.get_weights()
        for index, weight in enumerate(start):
            weight[...] = np.random.default_rng(index).normal(size=weight.shape) / 4
        tuner.reset(start, seed=0)
        before = [variable.numpy() for variable in tuner.loss.trainable_variables]
        outcome = tuner.run(
            TrainingInputs([inputs], np.arange(8), seed=0),
            LABELS,
            itertools.repeat(np.arange(8)),
            NORMAL,
            lambda: 1.0,
            steps=3,
            validate_every=3,
            on_progress=lambda done, value: None,
        )
        after = [variable.numpy() for variable in tuner.loss.trainable_variables]
        return outcome, [now - then for now, then in zip(after, before, strict=True)], tuner.trainable_parameters

    return train


def test_half_a_loss_twice_trains_as_the_loss_does(trained, sum_of):
    (alone, _, _), (halves, _, _) = trained(SQUARE), trained(sum_of((0.5, SQUARE), (0.5, SQUARE)))
    for one, other in zip(alone.weights, halves.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert halves.curve[0].loss == pytest.approx(alone.curve[0].loss, rel=1e-6)


def test_weights_of_every_part_are_trained_at_the_rate_of_proxies(trained, sum_of):
    both = sum_of((1.0, TOWARDS), (0.5, SQUARE), (2.0, TOWARDS))
    # Steps so small that the embeddings stay: the gradient of a proxy does not depend on it, and counts as often as
    # the loss weighs.
    usual = {"learning_rate": 1e-9}
    _, slow, parameters = trained(both, **usual, proxies={"learning_rate": 0.01})
    _, fast, _ = trained(both, **usual, proxies={"learning_rate": 0.03})
    assert len(slow) == 2
    for one, other in zip(slow, fast, strict=True):
        np.testing.assert_allclose(3 * one, other, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(2 * slow[0], slow[1], rtol=1e-3, atol=1e-6)
    assert np.abs(slow[0]).min() > 0
    assert parameters - trained(SQUARE)[2] == 2 * CLASSES * DIM


# Before training


@pytest.fixture
def rehearsed(planned, tmp_path):
    """``rehearsed(sum, **changes of [finetune] of the row)``: what comes of calling each part once, and the plan."""

    def call(loss, **finetune):
        plan = planned(tmp_path, {"square": SQUARE})
        (row,) = plan.resolved.losses
        changed = row.entry.finetune.model_dump() | finetune
        entry = row.entry.model_copy(
            update={"label": "both", "finetune": Finetune.model_validate(changed, strict=False)}
        )
        rehearsal = Rehearsal(dataclasses.replace(row, entry=entry, loss=loss))
        called = perform(rehearsal, plan, Store(tmp_path), lambda: None, lambda network: None, KeyboardInterrupt)
        return called, plan

    return call


def test_a_part_that_fails_is_named_with_its_row(rehearsed, sum_of):
    called, _ = rehearsed(sum_of((1.0, SQUARE), (0.5, VECTOR)))
    assert called.fault.startswith("loss 'vector' (row 'both') gives values of shape")
    called, _ = rehearsed(sum_of((1.0, SQUARE), (0.5, TOWARDS)))
    assert called.fault == ""


def test_where_nobody_knows_which_part_has_ended_the_process_all_are_named(rehearsed, sum_of):
    called, plan = rehearsed(sum_of((1.0, SQUARE), (0.5, TOWARDS)))
    told = ended(called.rehearsal, plan, "the process ended").fault
    assert told.startswith(
        "loss 'square' or 'towards' (row 'both'): when it was called for the first time, the process"
    )


def test_settings_of_proxies_need_a_part_that_has_some(rehearsed, sum_of):
    proxies = {"learning_rate": 0.1}
    assert rehearsed(sum_of((1.0, SQUARE), (0.5, TOWARDS)), proxies=proxies)[0].fault == ""
    told = rehearsed(sum_of((1.0, SQUARE), (0.5, NOISE)), proxies=proxies)[0].fault
    assert told == "the loss of row 'both' has no weights, so its finetune.proxies changes nothing"
