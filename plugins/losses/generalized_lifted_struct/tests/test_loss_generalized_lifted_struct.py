import numpy as np
import pytest
from faceexp_loss_generalized_lifted_struct import GeneralizedLiftedStruct

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestGeneralizedLiftedStructContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return GeneralizedLiftedStruct()


def batch():
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(0).normal(size=(9, 4))


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="GeneralizedLiftedStructureLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(GeneralizedLiftedStruct(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate, unit):
    labels, x = batch()
    x[3] *= 20  # lengths do not matter
    d = np.linalg.norm(unit(x)[:, None] - unit(x)[None, :], axis=2)
    rows = []
    for i in range(9):
        positives = (labels == labels[i]) & (np.arange(9) != i)
        pull = np.log(np.exp(d[i, positives] - 0.1).sum()) if positives.any() else 0  # row 6 is alone
        rows.append(max(pull + np.log(np.exp(0.5 - d[i, labels != labels[i]]).sum()), 0))
    value, _ = evaluate(GeneralizedLiftedStruct(neg_margin=0.5, pos_margin=0.1).build(CTX), labels, x)
    assert value == pytest.approx(np.mean(rows), rel=1e-5)


def test_defaults():
    assert GeneralizedLiftedStruct() == GeneralizedLiftedStruct(neg_margin=1.0, pos_margin=0.0)
