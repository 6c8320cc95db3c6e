"""The layer of losses with proxies: its weights, their first values, and the weight that moves."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from faceexp.contract import LossContext
from faceexp.layers import proxy_layer, random_layer, scalar_layer

CTX = LossContext(num_classes=5, embedding_dim=64, seed=3)
LABELS, ROWS = np.array([0, 4], np.int32), np.ones((2, 64), np.float32)


def first_proxy(labels, embeddings, proxies):
    """A function of what a loss is given: the sum of the first proxy."""
    import tensorflow as tf

    return tf.reduce_sum(proxies[0])


def test_weights_are_there_before_the_first_call():
    layer: Any = proxy_layer(CTX, first_proxy, per_class=3)
    assert layer.built
    assert [tuple(variable.shape) for variable in layer.trainable_variables] == [(15, 64)]
    assert layer.non_trainable_variables == []


def test_the_seed_decides_the_first_values():
    layers: list[Any] = [proxy_layer(LossContext(5, 64, seed), first_proxy) for seed in (3, 3, 4)]
    first, again, other = (layer.proxies.numpy() for layer in layers)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("dim", [16, 1024])
def test_proxies_have_a_length_of_about_one(dim):
    layer: Any = proxy_layer(LossContext(100, dim, 0), first_proxy)
    lengths = np.linalg.norm(layer.proxies.numpy(), axis=1)
    assert np.mean(lengths) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_proxies_are_trained(how):
    import tensorflow as tf

    layer: Any = proxy_layer(CTX, first_proxy)

    def both(labels, rows):
        with tf.GradientTape() as tape:
            value = layer(labels, rows)
        return value, tape.gradient(value, layer.trainable_variables)[0]

    run = both if how == "eager" else tf.function(both, jit_compile=how == "xla", autograph=False)
    value, gradient = run(tf.constant(LABELS), tf.constant(ROWS))
    assert float(value) == pytest.approx(layer.proxies.numpy()[0].sum(), rel=1e-5)
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient).numpy(), np.eye(5)[:1].T * np.ones(64))


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_what_moves_is_kept_from_call_to_call(how):
    import tensorflow as tf

    def count(labels, embeddings, proxies, moving):
        return tf.reduce_sum(moving), moving + tf.cast(labels, tf.float32)

    layer: Any = proxy_layer(CTX, count, moving=[2])
    assert [tuple(variable.shape) for variable in layer.non_trainable_variables] == [(2,)]
    run = layer if how == "eager" else tf.function(layer, jit_compile=how == "xla", autograph=False)
    # Each call is given the value before it.
    assert [float(run(tf.constant(LABELS), tf.constant(ROWS))) for _ in range(3)] == [0, 4, 8]
    np.testing.assert_array_equal(layer.moving.numpy(), [0, 12])


def test_importing_does_not_import_tensorflow():
    code = "import sys, faceexp.layers; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_numbers_are_trained_beside_proxies_and_alone(how):
    import tensorflow as tf

    beside: Any = proxy_layer(CTX, lambda *given: given[2][0, 0] * given[3] + 3 * given[4], scalars=(5.0, -1.0))
    alone: Any = scalar_layer(CTX, lambda labels, embeddings, scale: scale**2 * embeddings[0, 0], (5.0,))
    assert [tuple(variable.shape) for variable in beside.trainable_variables] == [(5, 64), (), ()]

    def both():
        with tf.GradientTape() as tape:
            values = beside(LABELS, ROWS), alone(LABELS, ROWS)
            total = tf.add_n(values)
        return values, tape.gradient(total, [*beside.trainable_variables[1:], *alone.trainable_variables])

    run = both if how == "eager" else tf.function(both, jit_compile=how == "xla", autograph=False)
    (first, second), gradients = run()
    proxy = beside.proxies.numpy()[0, 0]
    assert float(first) == pytest.approx(5 * proxy - 3, rel=1e-5)
    assert float(second) == pytest.approx(25)
    np.testing.assert_allclose([float(each) for each in gradients], [proxy, 3, 10], rtol=1e-5)


def test_proxies_that_stand_for_no_class_are_as_many_as_asked_for():
    layer: Any = proxy_layer(CTX, first_proxy, proxies=2)
    assert [tuple(variable.shape) for variable in layer.trainable_variables] == [(2, 64)]


@pytest.mark.parametrize("make", [proxy_layer, random_layer, lambda ctx, loss: scalar_layer(ctx, loss, (1.0,))])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_loss_is_computed_in_float32_whatever_the_precision_of_the_network(make, dtype):
    import tensorflow as tf

    kinds: list[Any] = []

    def loss(labels, embeddings, *given):
        kinds.extend(each.dtype for each in (embeddings, *given) if each.dtype.is_floating)
        return tf.reduce_sum(embeddings)

    policy = tf.keras.config.dtype_policy()
    tf.keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = make(CTX, loss)
    finally:
        tf.keras.config.set_dtype_policy(policy)
    value = layer(tf.constant(LABELS), tf.cast(ROWS, dtype))
    assert (value.dtype, float(value)) == (tf.float32, ROWS.sum())
    assert set(kinds) == {tf.float32}
