import numpy as np
import pytest
from faceexp_loss_intra_pair_variance import IntraPairVariance

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestIntraPairVarianceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return IntraPairVariance()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="IntraPairVarianceLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(IntraPairVariance(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(6) for j in range(i)]
    similar = np.array([unit[i] @ unit[j] for i, j in pairs if labels[i] == labels[j]])
    different = np.array([unit[i] @ unit[j] for i, j in pairs if labels[i] != labels[j]])
    expected = np.mean(np.maximum(0.9 * similar.mean() - similar, 0) ** 2)
    expected += np.mean(np.maximum(different - 1.2 * different.mean(), 0) ** 2)
    loss = IntraPairVariance(pos_eps=0.1, neg_eps=0.2).build(CTX)
    assert evaluate(loss, labels, x)[0] == pytest.approx(expected, rel=1e-5)


def test_nothing_varies_in_a_single_pair(evaluate):
    for labels in ([0, 0], [0, 1]):
        loss = IntraPairVariance(pos_eps=0, neg_eps=0).build(CTX)
        value, gradient = evaluate(loss, np.array(labels), np.random.default_rng(0).normal(size=(2, 4)))
        assert value == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_defaults():
    assert IntraPairVariance() == IntraPairVariance(pos_eps=0.01, neg_eps=0.01)
