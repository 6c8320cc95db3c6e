import numpy as np
import pytest
from faceexp_loss_supcon import SupCon

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestSupConContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return SupCon()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="SupConLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(SupCon(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    terms = []
    for i in range(5):  # the last row has no positive
        others = [j for j in range(6) if j != i]
        log_sum = np.log(sum(np.exp(unit[i] @ unit[j] / 0.3) for j in others))
        terms.append(np.mean([log_sum - unit[i] @ unit[j] / 0.3 for j in others if labels[j] == labels[i]]))
    value, _ = evaluate(SupCon(temperature=0.3).build(CTX), labels, x)
    assert value == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_nothing_to_learn_without_both_kinds_of_pairs(evaluate, labels):
    value, gradient = evaluate(SupCon().build(CTX), np.array(labels), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert SupCon() == SupCon(temperature=0.1)
