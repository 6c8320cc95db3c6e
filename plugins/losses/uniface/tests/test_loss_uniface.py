import numpy as np
import pytest
from faceexp_loss_uniface import UniFace, uniface

from faceexp.testing import LossContract


class TestUniFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return UniFace()


def naive(labels, x, proxies, bias):
    """The loss with a margin of 0.3, a scale of 6 and a weight of 0.5, one row and one class after the other."""
    unit, unit_proxies = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, proxies))
    total = 0
    for row, label in zip(unit, labels, strict=True):
        for number, cosine in enumerate(unit_proxies @ row):
            own = np.log1p(np.exp(bias - 6 * (cosine - 0.3)))
            total += own if number == label else 0.5 * np.log1p(np.exp(6 * cosine - bias))
    return total / len(x)


def test_value_and_gradients_are_those_of_loops(proxy_batch, evaluate, with_proxies, central_differences):
    import tensorflow as tf

    labels, x, proxies = proxy_batch()
    loss = with_proxies(UniFace(margin=0.3, scale=6, weight=0.5), proxies, num_classes=5)
    bias = np.log(50)
    value, gradient = evaluate(loss, labels, x)
    assert value == pytest.approx(naive(labels, x, proxies, bias), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, proxies, bias), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
    with tf.GradientTape() as tape:
        again = loss(tf.constant(labels, tf.int32), tf.constant(x, tf.float32))
    gradients = tape.gradient(again, loss.trainable_variables)
    wanted = central_differences(lambda proxies: naive(labels, x, proxies, bias), proxies)
    np.testing.assert_allclose(gradients[0], wanted, rtol=1e-3, atol=1e-5)
    slope = (naive(labels, x, proxies, bias + 1e-6) - naive(labels, x, proxies, bias - 1e-6)) / 2e-6
    assert float(gradients[1]) == pytest.approx(slope, rel=1e-3)


def test_far_logits_neither_overflow_nor_stop_the_gradient(evaluate):
    def loss(labels, x):
        return uniface(labels, x, np.eye(2, dtype=np.float32), np.float32(0), 0.4, 1e4, 1.0)

    value, gradient = evaluate(loss, np.array([0]), np.array([[-0.6, 0.8]]))
    assert value == pytest.approx(1e4 * (0.6 + 0.4) + 1e4 * 0.8, rel=1e-5)
    assert np.abs(gradient).max() > 1e3


def test_defaults():
    assert UniFace() == UniFace(margin=0.4, scale=64, weight=1)
