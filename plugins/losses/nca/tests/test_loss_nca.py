import numpy as np
import pytest
from faceexp_loss_nca import NCA

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestNCAContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return NCA()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="NCALoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(NCA(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    e = np.exp(-2 * ((unit[:, None] - unit[None, :]) ** 2).sum(axis=2))
    np.fill_diagonal(e, 0)
    terms = [-np.log(e[i, labels == labels[i]].sum() / e[i].sum()) for i in range(5)]  # the last has no positive
    assert evaluate(NCA(softmax_scale=2).build(CTX), labels, x)[0] == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_nothing_to_learn_without_both_kinds_of_pairs(evaluate, labels):
    value, gradient = evaluate(NCA().build(CTX), np.array(labels), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert NCA() == NCA(softmax_scale=1)
