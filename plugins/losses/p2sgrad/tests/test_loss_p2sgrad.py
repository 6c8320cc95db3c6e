import numpy as np
import pytest
from faceexp_loss_p2sgrad import P2SGrad

from faceexp.testing import LossContract


class TestP2SGradContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return P2SGrad()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(P2SGrad, "P2SGradLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, central_differences):
    labels, x, proxies = proxy_batch()

    def naive(x):
        return np.mean((unit(x) @ unit(proxies).T - np.eye(5)[labels]) ** 2)

    value, gradient = evaluate(with_proxies(P2SGrad(), proxies, num_classes=5), labels, x)
    assert value == pytest.approx(naive(x), rel=1e-5)
    np.testing.assert_allclose(gradient, central_differences(naive, x), rtol=1e-3, atol=1e-6)


def test_the_gradient_of_a_proxy_does_not_depend_on_its_length(proxy_batch, with_proxies):
    import tensorflow as tf

    labels, x, proxies = proxy_batch()
    gradients = []
    for factor in (1, 7):
        loss = with_proxies(P2SGrad(), factor * proxies, num_classes=5)
        with tf.GradientTape() as tape:
            value = loss(tf.constant(labels, tf.int32), tf.constant(x, tf.float32))
        gradients.append(tape.gradient(value, loss.trainable_variables)[0].numpy())
    assert np.abs(gradients[0]).max() > 0.01
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-7)
