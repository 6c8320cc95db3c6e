import numpy as np
import pytest
from faceexp_loss_circle import Circle

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestCircleContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Circle()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="CircleLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(Circle(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    s = unit @ unit.T
    terms = []
    for i in range(5):  # the last row has no positive
        positives = [s[i, j] for j in range(6) if j != i and labels[j] == labels[i]]
        negatives = [s[i, j] for j in range(6) if labels[j] != labels[i]]
        pull = sum(np.exp(-10 * max(1.3 - p, 0) * (p - 0.7)) for p in positives)
        terms.append(np.log(1 + pull * sum(np.exp(10 * max(n + 0.3, 0) * (n - 0.3)) for n in negatives)))
    assert evaluate(Circle(m=0.3, gamma=10).build(CTX), labels, x)[0] == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_nothing_to_learn_without_both_kinds_of_pairs(evaluate, labels):
    value, gradient = evaluate(Circle().build(CTX), np.array(labels), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert Circle() == Circle(m=0.4, gamma=80)
