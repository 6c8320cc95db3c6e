from typing import Any

import numpy as np
import pytest
from faceexp_loss_curricularface import CurricularFace

from faceexp.contract import LossContext
from faceexp.testing import LossContract


class TestCurricularFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return CurricularFace()


@pytest.mark.parametrize("how", ["eager", "graph", "xla", "xla, shape unknown"])
def test_formula_batch_after_batch(proxy_batch, evaluate, with_proxies, unit, cross_entropy, central_differences, how):
    labels, x, proxies = proxy_batch()
    margin, keep = 1.2, 0.75
    loss = with_proxies(CurricularFace(margin=margin, scale=7, momentum=keep), proxies, num_classes=5)
    t, kinds = 0.0, set()
    for step in range(3):
        rows = np.roll(x, step, axis=0)
        t = keep * t + (1 - keep) * (unit(rows) @ unit(proxies).T)[np.arange(9), labels].mean()

        def naive(rows, t=t):  # t is a constant: it gets no gradient
            theta = np.arccos(unit(rows) @ unit(proxies).T)
            logits = np.cos(theta)
            for i, label in enumerate(labels):
                angle = theta[i, label]
                beyond = angle + margin > np.pi
                for c in range(5):
                    if c == label:
                        within = np.cos(angle + margin)
                        logits[i, c] = np.cos(angle) - margin * np.sin(margin) if beyond else within
                    elif np.cos(angle + margin) - np.cos(theta[i, c]) < 0:
                        logits[i, c] = np.cos(theta[i, c]) * (t + np.cos(theta[i, c]))
                        kinds.add("hard")
                    else:
                        kinds.add("easy")
                kinds.add("beyond" if beyond else "within")
            return cross_entropy(labels, 7 * logits)

        value, gradient = evaluate(loss, labels, rows, how)
        assert value == pytest.approx(naive(rows), rel=1e-4)
        np.testing.assert_allclose(gradient, central_differences(naive, rows), rtol=1e-3, atol=1e-5)
        assert float(loss.moving) == pytest.approx(t, rel=1e-4)
    assert kinds == {"hard", "easy", "beyond", "within"}


def test_the_moving_mean_is_a_weight_that_is_not_trained():
    loss: Any = CurricularFace().build(LossContext(num_classes=5, embedding_dim=4))
    assert [tuple(variable.shape) for variable in loss.trainable_variables] == [(5, 4)]
    assert [variable.numpy() for variable in loss.non_trainable_variables] == [0]
