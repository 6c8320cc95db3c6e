import numpy as np
import pytest
from faceexp_loss_threshold_consistent_margin import ThresholdConsistentMargin

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestThresholdConsistentMarginContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return ThresholdConsistentMargin()


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="ThresholdConsistentMarginLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(ThresholdConsistentMargin(**case["params"]).build(CTX), case["y"], case)


def naive(labels, x, loss):
    """The term, one pair after the other."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    pull, push = [], []
    for i in range(len(x)):
        for j in range(i):
            s = unit[i] @ unit[j]
            if labels[i] == labels[j] and s <= loss.margin_plus:
                pull.append(loss.margin_plus - s)
            if labels[i] != labels[j] and s >= loss.margin_minus:
                push.append(s - loss.margin_minus)
    return loss.lambda_plus * np.mean(pull) + loss.lambda_minus * np.mean(push)


def test_value_and_gradient_are_those_of_loops(evaluate, central_differences):
    labels, x = batch()
    loss = ThresholdConsistentMargin(margin_plus=0.7, margin_minus=0.2, lambda_plus=2, lambda_minus=0.5)
    value, gradient = evaluate(loss.build(CTX), labels, x)
    assert value == pytest.approx(naive(labels, x, loss), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, loss), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_pairs_beyond_their_margins_cost_nothing(evaluate):
    value, gradient = evaluate(ThresholdConsistentMargin().build(CTX), np.array([0, 0, 1]), np.eye(2)[[0, 0, 1]])
    assert value == 0
    assert not gradient.any()


def test_defaults():
    expected = ThresholdConsistentMargin(margin_plus=0.9, margin_minus=0.5, lambda_plus=1, lambda_minus=1)
    assert ThresholdConsistentMargin() == expected
