from typing import Any

import numpy as np
import pytest
from faceexp_loss_subcenter_arcface import SubCenterArcFace

from faceexp.contract import LossContext
from faceexp.testing import LossContract


class TestSubCenterArcFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return SubCenterArcFace()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(SubCenterArcFace, "SubCenterArcFaceLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch(proxies=10)
    theta = np.arccos((unit(x) @ unit(proxies).T).reshape(9, 5, 2).max(axis=2))
    logits = 7 * np.cos(theta)
    for i, label in enumerate(labels):
        angle, margin = theta[i, label], np.radians(80)
        beyond = angle + margin > np.pi
        logits[i, label] = 7 * (np.cos(angle) - margin * np.sin(margin) if beyond else np.cos(angle + margin))
    loss = with_proxies(SubCenterArcFace(margin=80, scale=7, sub_centers=2), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, logits), rel=1e-4)


def test_one_proxy_for_each_sub_center():
    loss: Any = SubCenterArcFace(sub_centers=3).build(LossContext(num_classes=5, embedding_dim=4))
    assert [tuple(variable.shape) for variable in loss.trainable_variables] == [(15, 4)]
