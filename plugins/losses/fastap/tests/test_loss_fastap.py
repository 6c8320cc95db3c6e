import numpy as np
import pytest
from faceexp_loss_fastap import FastAP

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestFastAPContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return FastAP()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="FastAPLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(FastAP(**case["params"]).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    terms = []
    for i in range(5):  # the last row has no positive
        h, others = np.zeros(8), np.zeros(8)
        for j in set(range(6)) - {i}:
            step = 7 / 4 * np.sum((unit[i] - unit[j]) ** 2)
            pulse = np.maximum(1 - np.abs(step - np.arange(8)), 0)
            if labels[i] == labels[j]:
                h += pulse
            others += pulse
        terms.append(1 - np.sum(h * h.cumsum() / np.maximum(others.cumsum(), 1e-30)) / np.sum(h))
    assert evaluate(FastAP(num_bins=7).build(CTX), labels, x)[0] == pytest.approx(np.mean(terms), rel=1e-5)


def test_nothing_to_learn_without_positives(evaluate):
    value, gradient = evaluate(FastAP().build(CTX), np.arange(4), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == 0
    assert not gradient.any()


def test_nothing_is_lost_where_identities_are_points_apart(evaluate):
    assert evaluate(FastAP().build(CTX), np.array([0, 0, 1, 1]), np.eye(4)[[0, 0, 1, 1]])[0] == pytest.approx(
        0, abs=1e-6
    )


def test_defaults():
    assert FastAP() == FastAP(num_bins=10)
