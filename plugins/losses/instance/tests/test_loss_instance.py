import numpy as np
import pytest
from faceexp_loss_instance import Instance

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestInstanceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Instance()


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="InstanceLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(Instance(**case["params"], target="number").build(CTX), case["y"], case)


def naive(labels, x):
    """Softmax cross entropy of cosines times 8, one row after the other."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    logits = 8 * unit @ unit.T
    terms = [np.log(np.exp(row).sum()) - row[labels == label].mean() for row, label in zip(logits, labels, strict=True)]
    return np.mean(terms)


def test_value_and_gradient_are_those_of_loops(evaluate, central_differences):
    labels, x = batch()
    value, gradient = evaluate(Instance(gamma=8).build(CTX), labels, x)
    assert value == pytest.approx(naive(labels, x), rel=1e-5)
    np.testing.assert_allclose(gradient, central_differences(lambda x: naive(labels, x), x), rtol=1e-3, atol=1e-5)


def test_both_targets_are_the_row_itself_if_all_labels_differ_and_are_in_order(evaluate):
    labels, x = np.array([1, 4, 5, 9]), batch()[1][:4]
    identity, number = (Instance(gamma=8, target=target).build(CTX) for target in ("identity", "number"))
    assert evaluate(identity, labels, x)[0] == pytest.approx(evaluate(number, labels, x)[0], rel=1e-6)


def test_defaults():
    assert Instance() == Instance(gamma=64, target="identity")
