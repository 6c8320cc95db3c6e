import numpy as np
import pytest
from faceexp_loss_proxy_nca import ProxyNCA

from faceexp.testing import LossContract


class TestProxyNCAContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return ProxyNCA()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(ProxyNCA, "ProxyNCALoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch()
    logits = -3 * np.square(unit(x)[:, None] - unit(proxies)[None]).sum(axis=2)
    loss = with_proxies(ProxyNCA(softmax_scale=3), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, logits), rel=1e-4)
