from typing import Any

import numpy as np
import pytest
from faceexp_loss_sigmoid_contrastive import SigmoidContrastive

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestSigmoidContrastiveContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return SigmoidContrastive()


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def naive(labels, x, scale, bias):
    """The loss, one pair after the other."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    total = 0
    for i in range(len(x)):
        for j in set(range(len(x))) - {i}:
            sign = 1 if labels[i] == labels[j] else -1
            total += np.log1p(np.exp(-sign * (scale * unit[i] @ unit[j] + bias)))
    return total / len(x)


def test_value_and_gradients_are_those_of_loops(evaluate, central_differences):
    import tensorflow as tf

    labels, x = batch()
    loss: Any = SigmoidContrastive(scale=4, bias=-1.5).build(CTX)
    value, gradient = evaluate(loss, labels, x)
    assert value == pytest.approx(naive(labels, x, 4, -1.5), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, 4, -1.5), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
    with tf.GradientTape() as tape:
        again = loss(tf.constant(labels, tf.int32), tf.constant(x, tf.float32))
    slopes = central_differences(
        lambda trained: naive(labels, x, np.exp(trained[0]), trained[1]), np.array([np.log(4), -1.5])
    )
    np.testing.assert_allclose(tape.gradient(again, loss.trainable_variables), slopes, rtol=1e-3)


def test_defaults():
    assert SigmoidContrastive() == SigmoidContrastive(scale=10, bias=-10)
