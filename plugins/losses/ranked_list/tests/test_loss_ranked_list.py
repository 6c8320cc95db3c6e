import numpy as np
import pytest
from faceexp_loss_ranked_list import RankedList

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestRankedListContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return RankedList()


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="RankedListLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(RankedList(**case["params"]).build(CTX), case["y"], case)


def naive(labels, x, alpha, margin, imbalance, exponents):
    """The loss, one row after the other."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    d = np.linalg.norm(unit[:, None] - unit[None, :], axis=2)

    def mean(costs, exponent):
        costs = costs[costs > 0]
        weights = np.exp(exponent * costs)
        return np.sum(weights * costs) / (np.sum(weights) + 1e-5 * len(x))

    rows = []
    for i in range(len(x)):
        pull = d[i, (labels == labels[i]) & (np.arange(len(x)) != i)] - (alpha - margin)
        push = alpha - d[i, labels != labels[i]]
        rows.append((1 - imbalance) * mean(pull, exponents[0]) + imbalance * mean(push, exponents[1]))
    return np.mean(rows)


def test_value_and_gradient_are_those_of_loops(evaluate, central_differences):
    labels, x = batch()
    loss = RankedList(alpha=1.5, margin=0.9, imbalance=0.4, Tp=2, Tn=3)
    value, gradient = evaluate(loss.build(CTX), labels, x)
    options = (1.5, 0.9, 0.4, (2, 3))
    assert value == pytest.approx(naive(labels, x, *options), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, *options), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_alpha_follows_the_margin_if_it_is_not_given(evaluate):
    labels, x = batch()
    values = [evaluate(RankedList(margin=0.6, alpha=alpha).build(CTX), labels, x)[0] for alpha in (None, 1.3, 1.2)]
    assert values[0] == values[1] != values[2]


def test_defaults():
    assert RankedList() == RankedList(margin=0.4, alpha=None, imbalance=0.5, Tn=10, Tp=0)
