from typing import Any

import numpy as np
import pytest
from faceexp_loss_adaface import AdaFace

from faceexp.contract import LossContext
from faceexp.testing import LossContract


class TestAdaFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return AdaFace()


@pytest.mark.parametrize("how", ["eager", "graph", "xla", "xla, shape unknown"])
def test_formula_batch_after_batch(proxy_batch, evaluate, with_proxies, unit, cross_entropy, central_differences, how):
    labels, x, proxies = proxy_batch()
    m, h, keep = 0.9, 0.8, 0.75
    loss = with_proxies(AdaFace(m=m, h=h, scale=7, momentum=keep), proxies, num_classes=5)
    sums = np.zeros(3)
    clipped = set()
    for step in range(3):
        rows = (1 + step) * x
        norms = np.linalg.norm(rows, axis=1)
        sums = keep * sums + (1 - keep) * np.array([1, norms.mean(), norms.std()])
        mean, deviation = sums[1:] / sums[0]
        quality = np.clip((norms - mean) / (deviation + 1e-3) * h, -1, 1)

        def naive(rows, quality=quality):  # the quality is no function of the rows: lengths get no gradient
            theta = np.arccos(unit(rows) @ unit(proxies).T)
            logits = np.cos(theta)
            for i, label in enumerate(labels):
                angle = theta[i, label] - m * quality[i]
                clipped.add("low" if angle < 0 else "high" if angle > np.pi else "neither")
                logits[i, label] = np.cos(np.clip(angle, 0, np.pi)) - (m * quality[i] + m)
            return cross_entropy(labels, 7 * logits)

        value, gradient = evaluate(loss, labels, rows, how)
        assert value == pytest.approx(naive(rows), rel=1e-4)
        np.testing.assert_allclose(gradient, central_differences(naive, rows), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(loss.moving.numpy(), sums, rtol=1e-5)
    assert clipped == {"low", "high", "neither"}


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_the_first_batch_gives_the_first_statistics(proxy_batch, evaluate, with_proxies, momentum):
    """Nothing is mixed in that the data did not show: whatever the momentum, the first value is the same."""
    labels, x, proxies = proxy_batch()
    found = evaluate(with_proxies(AdaFace(momentum=momentum), proxies, num_classes=5), labels, x)[0]
    assert found == pytest.approx(evaluate(with_proxies(AdaFace(), proxies, num_classes=5), labels, x)[0], rel=1e-4)


def test_without_quality_it_is_cosface(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch()
    logits = unit(x) @ unit(proxies).T
    logits[np.arange(9), labels] -= 0.3
    loss = with_proxies(AdaFace(m=0.3, h=0.0, scale=7), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, 7 * logits), rel=1e-4)


def test_statistics_are_weights_that_are_not_trained():
    loss: Any = AdaFace().build(LossContext(num_classes=5, embedding_dim=4))
    assert [tuple(variable.shape) for variable in loss.trainable_variables] == [(5, 4)]
    assert [variable.numpy().tolist() for variable in loss.non_trainable_variables] == [[0, 0, 0]]
