import numpy as np
import pytest
from faceexp_loss_pnp import PNP

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestPNPContract(LossContract):
    @pytest.fixture(params=["O", "Dq"])
    def plugin(self, request):
        return PNP(variant=request.param)


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="PNPLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(PNP(**case["params"]).build(CTX), case["y"], case)


def naive(labels, x, loss):
    """The loss, one positive after the other."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    s = unit @ unit.T
    penalty = {
        "O": lambda rank: rank,
        "Iu": lambda rank: (1 + rank) * np.log(1 + rank),
        "Ib": lambda rank: (loss.b * rank - np.log(1 + loss.b * rank)) / loss.b**2,
        "Ds": lambda rank: np.log(1 + rank),
        "Dq": lambda rank: 1 - (1 + rank) ** -loss.alpha,
    }[loss.variant]
    rows = []
    for i in range(len(x)):
        own = np.flatnonzero(labels == labels[i])
        ranks = [np.sum(1 / (1 + np.exp((s[i, p] - s[i, labels != labels[i]]) / loss.anneal))) for p in own]
        if len(own) > 1:
            rows.append(np.mean([penalty(rank) for rank in ranks]))
    return np.mean(rows)


@pytest.mark.parametrize("variant", ["O", "Iu", "Ib", "Ds", "Dq"])
def test_value_and_gradient_are_those_of_loops(evaluate, central_differences, variant):
    labels, x = batch()
    loss = PNP(variant=variant, anneal=0.2, alpha=1.5, b=3)
    value, gradient = evaluate(loss.build(CTX), labels, x)
    assert value == pytest.approx(naive(labels, x, loss), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, loss), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_defaults():
    assert PNP() == PNP(variant="O", anneal=0.01, alpha=1, b=2)
