import numpy as np
import pytest
from faceexp_loss_proxy_anchor import ProxyAnchor

from faceexp.testing import LossContract


class TestProxyAnchorContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return ProxyAnchor()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(ProxyAnchor, "ProxyAnchorLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit):
    labels, x, proxies = proxy_batch(classes=3)
    cosines = unit(x) @ unit(proxies).T
    pull, push = [], []
    for c in range(5):
        own = cosines[labels == c, c]
        if len(own):
            pull.append(np.log1p(np.exp(-6 * (own - 0.2)).sum()))
        push.append(np.log1p(np.exp(6 * (cosines[labels != c, c] + 0.2)).sum()))
    assert len(pull) < len(push)
    loss = with_proxies(ProxyAnchor(margin=0.2, alpha=6), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(np.mean(pull) + np.mean(push), rel=1e-4)
