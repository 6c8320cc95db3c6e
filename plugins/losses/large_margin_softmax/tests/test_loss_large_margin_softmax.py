import numpy as np
import pytest
from faceexp_loss_large_margin_softmax import LargeMarginSoftmax

from faceexp.testing import LossContract


class TestLargeMarginSoftmaxContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return LargeMarginSoftmax()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(LargeMarginSoftmax, "LargeMarginSoftmaxLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch()
    theta = np.arccos(unit(x) @ unit(proxies).T)
    psi = np.cos(theta)
    for i, label in enumerate(labels):
        k = np.floor(3 * theta[i, label] / np.pi)
        psi[i, label] = (-1) ** k * np.cos(3 * theta[i, label]) - 2 * k
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(proxies, axis=1)
    loss = with_proxies(LargeMarginSoftmax(margin=3, scale=0.5), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, 0.5 * lengths * psi), rel=1e-4)


def test_without_a_margin_it_is_softmax_of_inner_products(proxy_batch, evaluate, with_proxies, cross_entropy):
    labels, x, proxies = proxy_batch()
    loss = with_proxies(LargeMarginSoftmax(margin=1), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, x @ proxies.T), rel=1e-5)
