from typing import Any

import numpy as np
import pytest
from faceexp_loss_center import Center

from faceexp.contract import LossContext
from faceexp.testing import LossContract


class TestCenterContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Center()


@pytest.mark.parametrize("how", ["eager", "graph", "xla", "xla, shape unknown"])
def test_formula_and_centers_batch_after_batch(
    proxy_batch, evaluate, with_proxies, cross_entropy, central_differences, how
):
    labels, x, proxies = proxy_batch(classes=3)
    loss = with_proxies(Center(weight=0.3, alpha=0.7), proxies, num_classes=5)
    bias = np.linspace(-1, 1, 5)
    loss.trainable_variables[1].assign(bias)
    centers = np.zeros((5, 4))
    for step in range(3):
        rows = x + step

        def naive(rows, centers=centers):
            squared = np.square(rows - centers[labels]).sum(axis=1)
            return cross_entropy(labels, rows @ proxies.T + bias) + 0.3 / 2 * squared.mean()

        value, gradient = evaluate(loss, labels, rows, how)
        assert value == pytest.approx(naive(rows), rel=1e-4)
        np.testing.assert_allclose(gradient, central_differences(naive, rows), rtol=1e-3, atol=1e-5)

        moves = np.zeros((5, 4))
        for c in range(5):
            own = rows[labels == c]
            moves[c] = (centers[c] - own).sum(axis=0) / (1 + len(own))
        centers = centers - 0.7 * moves
        np.testing.assert_allclose(loss.centers.numpy(), centers, rtol=1e-4, atol=1e-6)
    assert (centers[3:] == 0).all()


def test_trains_a_classifier_and_moves_centers():
    loss: Any = Center().build(LossContext(num_classes=5, embedding_dim=4))
    assert [tuple(variable.shape) for variable in loss.trainable_variables] == [(5, 4), (5,)]
    assert [tuple(variable.shape) for variable in loss.non_trainable_variables] == [(5, 4)]
