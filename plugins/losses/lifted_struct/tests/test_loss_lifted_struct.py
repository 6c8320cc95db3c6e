import numpy as np
import pytest
from faceexp_loss_lifted_struct import LiftedStruct

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestLiftedStructContract(LossContract):
    @pytest.fixture(params=[{}, {"normalize": True, "pos_margin": 0.1}], ids=str)
    def plugin(self, request):
        return LiftedStruct(**request.param)


def batch():
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(0).normal(size=(9, 4))


def test_values_and_gradients_of_tf_contrib(oracle_cases, agrees):
    cases = list(oracle_cases(source="tf_contrib", loss="lifted_struct_loss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(LiftedStruct(**case["params"]).build(CTX), case["y"], case)


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="LiftedStructureLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        params = dict(case["params"])
        plain = params.pop("distance", None) == "LpDistance(normalize_embeddings=False,p=2,power=1)"
        options = {"margin": params.pop("neg_margin", 1), "pos_margin": params.pop("pos_margin", 0)}
        assert not params
        agrees(LiftedStruct(normalize=not plain, **options).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = batch()
    d = np.linalg.norm(x[:, None] - x[None, :], axis=2)
    pushes = [np.exp(0.5 - d[i][labels != labels[i]]).sum() for i in range(9)]
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9) if labels[i] == labels[j]]
    lifted = [d[i, j] - 0.2 + np.log(pushes[i] + pushes[j]) for i, j in pairs]
    value, _ = evaluate(LiftedStruct(margin=0.5, pos_margin=0.2).build(CTX), labels, x)
    assert value == pytest.approx(0.5 * np.mean(np.maximum(lifted, 0) ** 2), rel=1e-5)


@pytest.mark.parametrize("labels", [[0] * 9, list(range(9))])
def test_where_the_reference_has_no_number_it_is_zero(evaluate, labels):
    value, gradient = evaluate(LiftedStruct().build(CTX), np.array(labels), batch()[1])
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert LiftedStruct() == LiftedStruct(margin=1.0, pos_margin=0, normalize=False)
