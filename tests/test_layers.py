"""The layer of losses with proxies: its weights, their first values, and the weight that moves."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from faceexp.contract import LossContext
from faceexp.layers import proxy_layer

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
