import numpy as np
import pytest
from faceexp_loss_manifold import Manifold

from faceexp.testing import LossContract


class TestManifoldContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Manifold()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(Manifold, "ManifoldLoss") > 0


def naive(labels, x, proxies, loss):
    """The loss, with the inverse of a matrix and one proxy after the other."""
    points = np.concatenate([x, proxies])
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    ways = np.exp(2 * np.maximum(points @ points.T, 0))
    np.fill_diagonal(ways, 0)
    steps = ways / np.sqrt(np.outer(ways.sum(axis=1), ways.sum(axis=1)))
    close = (1 - loss.alpha) * np.linalg.inv(np.eye(len(points)) - loss.alpha * steps)
    unit = close / np.linalg.norm(close, axis=1, keepdims=True)
    total = 0
    for part, weight in ((close[: len(x), len(x) :], 1), (unit[: len(x)] @ unit[len(x) :].T, loss.context)):
        for row, label in zip(part, labels, strict=True):
            own = label % len(proxies)
            violations = np.delete(row, own) - row[own] + loss.margin
            total += weight * np.log1p(np.exp(violations[violations >= 0]).sum()) / len(x)
    return total


@pytest.mark.parametrize("context", [0, 2])
def test_value_and_gradient_are_those_of_an_inverse(proxy_batch, evaluate, with_proxies, central_differences, context):
    labels, x, proxies = proxy_batch(classes=5, proxies=3)
    loss = Manifold(K=3, alpha=0.6, margin=0.01, context=context)
    value, gradient = evaluate(with_proxies(loss, proxies, num_classes=5), labels, x)
    assert value == pytest.approx(naive(labels, x, proxies, loss), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, proxies, loss), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)


def test_defaults():
    assert Manifold() == Manifold(K=50, context=1, alpha=0.8, margin=5e-4)
