import numpy as np
import pytest
from faceexp_loss_arcface import ArcFace

from faceexp.testing import LossContract


class TestArcFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return ArcFace()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(ArcFace, "ArcFaceLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch()
    theta = np.arccos(unit(x) @ unit(proxies).T)
    logits = 7 * np.cos(theta)
    for i, label in enumerate(labels):
        angle, margin = theta[i, label], np.radians(80)
        beyond = angle + margin > np.pi
        logits[i, label] = 7 * (np.cos(angle) - margin * np.sin(margin) if beyond else np.cos(angle + margin))
    assert (theta[np.arange(9), labels] + np.radians(80) > np.pi).any()
    loss = with_proxies(ArcFace(margin=80, scale=7), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, logits), rel=1e-4)


def test_the_margin_is_in_degrees():
    assert ArcFace.model_fields["margin"].json_schema_extra["unit"] == "degrees"
    assert np.radians(ArcFace().margin) == pytest.approx(0.5, abs=1e-3)
