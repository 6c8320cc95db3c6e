from typing import Any

import numpy as np
import pytest
from faceexp_loss_soft_triple import SoftTriple

from faceexp.contract import LossContext
from faceexp.testing import LossContract


class TestSoftTripleContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return SoftTriple()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(SoftTriple, "SoftTripleLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch(proxies=10)
    cosines = (unit(x) @ unit(proxies).T).reshape(9, 5, 2)
    weights = np.exp(cosines / 0.3)
    similarities = (weights * cosines).sum(axis=2) / weights.sum(axis=2)
    similarities[np.arange(9), labels] -= 0.1
    logits = 7 * similarities
    loss = with_proxies(SoftTriple(centers_per_class=2, la=7, gamma=0.3, margin=0.1), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, logits), rel=1e-4)


def test_one_proxy_for_each_center():
    loss: Any = SoftTriple(centers_per_class=3).build(LossContext(num_classes=5, embedding_dim=4))
    assert [tuple(variable.shape) for variable in loss.trainable_variables] == [(15, 4)]
