import numpy as np
import pytest
from faceexp_loss_sphereface import SphereFace

from faceexp.testing import LossContract


class TestSphereFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return SphereFace()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(SphereFace, "SphereFaceLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch()
    theta = np.arccos(unit(x) @ unit(proxies).T)
    logits = np.cos(theta)
    for i, label in enumerate(labels):
        k = np.floor(3 * theta[i, label] / np.pi)
        logits[i, label] = (-1) ** k * np.cos(3 * theta[i, label]) - 2 * k
    logits *= 0.5 * np.linalg.norm(x, axis=1, keepdims=True)
    loss = with_proxies(SphereFace(margin=3, scale=0.5), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, logits), rel=1e-4)


@pytest.mark.parametrize("margin", [1, 2, 4, 5])
def test_falls_from_one_to_one_minus_twice_the_margin(evaluate, with_proxies, margin):
    """Between two opposite proxies: the difference of the logits is psi(theta) + cos(theta)."""
    loss = with_proxies(SphereFace(margin=margin), np.array([[1.0, 0.0], [-1.0, 0.0]]), num_classes=2)
    found = []
    for theta in np.linspace(0, np.pi, 50):
        value = evaluate(loss, np.array([0]), np.array([[np.cos(theta), np.sin(theta)]]))[0]
        found.append(-np.log(np.expm1(value)) - np.cos(theta))
    assert (np.diff(found) < 0).all()
    assert found[0] == pytest.approx(1, abs=1e-4)
    assert found[-1] == pytest.approx(1 - 2 * margin, abs=1e-4)
