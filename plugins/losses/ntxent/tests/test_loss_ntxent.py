import numpy as np
import pytest
from faceexp_loss_ntxent import NTXent

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestNTXentContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return NTXent()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="NTXentLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(NTXent(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    e = np.exp(unit @ unit.T / 0.3)
    terms = [
        -np.log(e[i, p] / (e[i, p] + e[i, labels != labels[i]].sum()))
        for i in range(6)
        for p in range(6)
        if i != p and labels[i] == labels[p]
    ]
    value, _ = evaluate(NTXent(temperature=0.3).build(CTX), labels, x)
    assert value == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_nothing_to_learn_without_both_kinds_of_pairs(evaluate, labels):
    value, gradient = evaluate(NTXent().build(CTX), np.array(labels), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert NTXent() == NTXent(temperature=0.07)
