import numpy as np
import pytest
from faceexp_loss_angular import Angular

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestAngularContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Angular()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="AngularLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(Angular(**case["params"]).build(CTX), case["y"], case)


@pytest.mark.parametrize(("alpha", "scale"), [(30, 1), (45, 1), (40, 50), (80, 1)])
def test_formula(evaluate, alpha, scale):
    labels, x = np.array([0, 1, 0, 1, 0, 2]), scale * np.random.default_rng(0).normal(size=(6, 4))
    t, unit = np.tan(np.radians(alpha)) ** 2, x / np.linalg.norm(x, axis=1, keepdims=True)
    terms = []
    for a in range(6):
        for p in range(6):
            if a != p and labels[a] == labels[p]:
                f = [4 * t * (unit[a] + unit[p]) @ x[n] for n in range(6) if labels[n] != labels[a]]
                f = np.array([*f, 0]) - 2 * (1 + t) * unit[a] @ unit[p] * np.array([1] * len(f) + [0])
                terms.append(f.max() + np.log(np.exp(f - f.max()).sum()))
    assert evaluate(Angular(alpha=alpha).build(CTX), labels, x)[0] == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_nothing_to_learn_without_both_kinds_of_pairs(evaluate, labels):
    value, gradient = evaluate(Angular().build(CTX), np.array(labels), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert Angular() == Angular(alpha=40)
