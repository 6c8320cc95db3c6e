import numpy as np
import pytest
from faceexp_loss_cosface import CosFace

from faceexp.testing import LossContract


class TestCosFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return CosFace()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(CosFace, "CosFaceLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch()
    logits = 7 * unit(x) @ unit(proxies).T
    logits[np.arange(9), labels] -= 7 * 0.2
    loss = with_proxies(CosFace(margin=0.2, scale=7), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, logits), rel=1e-4)
