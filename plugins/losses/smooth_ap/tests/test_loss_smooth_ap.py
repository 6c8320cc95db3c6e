from typing import ClassVar

import numpy as np
import pytest
from faceexp_loss_smooth_ap import SmoothAP

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestSmoothAPContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return SmoothAP()


class TestSmoothAPOfBlocksContract(LossContract):
    skips: ClassVar = {"test_order_of_rows_does_not_matter": "a block is made of consecutive rows"}

    @pytest.fixture
    def plugin(self):
        return SmoothAP(positives="block")


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="SmoothAPLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(SmoothAP(**case["params"], positives="block").build(CTX), case["y"], case)


def smooth_ap(labels, x, temperature):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    s = unit @ unit.T

    def rank(i, j, rows):
        return 1 + sum(1 / (1 + np.exp((s[i, j] - s[i, k]) / temperature)) for k in rows if k != j)

    terms = []
    for i in range(len(x)):
        own = np.flatnonzero(labels == labels[i])
        terms.append(1 - np.mean([rank(i, j, own) / rank(i, j, range(len(x))) for j in own]))
    return np.mean(terms)


def test_formula_and_gradient(evaluate, central_differences):
    labels, x = np.array([0, 1, 0, 1, 0, 2]), np.random.default_rng(0).normal(size=(6, 4))
    value, gradient = evaluate(SmoothAP(temperature=0.1).build(CTX), labels, x)
    assert value == pytest.approx(smooth_ap(labels, x, 0.1), rel=1e-5)
    expected = central_differences(lambda x: smooth_ap(labels, x, 0.1), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_identities_and_blocks_agree_where_there_are_as_many_identities_as_images_of_each(evaluate):
    labels, x = np.repeat(range(3), 3), np.random.default_rng(0).normal(size=(9, 4))
    by_identity, by_block = (SmoothAP(positives=p).build(CTX) for p in ("identity", "block"))
    assert evaluate(by_identity, labels, x)[0] == pytest.approx(evaluate(by_block, labels, x)[0], rel=1e-6)


def test_nothing_to_learn_from_one_identity(evaluate):
    value, gradient = evaluate(SmoothAP().build(CTX), np.zeros(4), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_defaults():
    assert SmoothAP() == SmoothAP(temperature=0.01, positives="identity")
