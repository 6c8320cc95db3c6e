import numpy as np
import pytest
from faceexp_loss_tuplet_margin import TupletMargin

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestTupletMarginContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return TupletMargin()


def batch():
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(0).normal(size=(9, 4))


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="TupletMarginLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(TupletMargin(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate, unit):
    labels, x = batch()
    cosines = unit(x) @ unit(x).T
    terms = []
    for i in range(9):
        for p in np.flatnonzero((labels == labels[i]) & (np.arange(9) != i)):
            eased = np.cos(np.arccos(cosines[i, p]) - np.radians(30))
            terms.append(np.log1p(np.exp(4 * (cosines[i, labels != labels[i]] - eased)).sum()))
    value, _ = evaluate(TupletMargin(margin=30, scale=4).build(CTX), labels, x)
    assert value == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("labels", [[0] * 9, list(range(9))])
def test_without_both_kinds_of_pairs_it_is_zero(evaluate, labels):
    value, gradient = evaluate(TupletMargin().build(CTX), np.array(labels), batch()[1])
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert TupletMargin() == TupletMargin(margin=5.73, scale=64.0)
