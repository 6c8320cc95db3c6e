import numpy as np
import pytest
from faceexp_loss_histogram import Histogram

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestHistogramContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Histogram()


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="HistogramLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(Histogram(**case["params"]).build(CTX), case["y"], case)


def naive(labels, x, n_bins):
    """The loss, one pair and one node of the histograms after the other."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    s, nodes = unit @ unit.T, np.linspace(-1, 1, n_bins + 1)
    alone = [np.sum(labels == label) == 1 for label in labels]
    cosines: dict[bool, list[float]] = {True: [], False: []}
    for i in range(len(x)):
        for j in range(i):
            if not (alone[i] and alone[j]):
                cosines[bool(labels[i] == labels[j])].append(s[i, j])
    densities = {
        same: np.mean([np.maximum(1 - np.abs(each - nodes) * n_bins / 2, 0) for each in kind], axis=0)
        for same, kind in cosines.items()
    }
    return sum(densities[False][r] * densities[True][: r + 1].sum() for r in range(n_bins + 1))


@pytest.mark.parametrize("n_bins", [1, 7, 100])
def test_value_and_gradient_are_those_of_loops(evaluate, central_differences, n_bins):
    labels, x = np.append(batch()[0], [4, 5]), np.concatenate([batch()[1], batch(1)[1][:2]])
    value, gradient = evaluate(Histogram(n_bins=n_bins).build(CTX), labels, x)
    assert value == pytest.approx(naive(labels, x, n_bins), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, n_bins), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_is_the_chance_that_a_different_pair_is_nearer(evaluate):
    x = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    loss = Histogram().build(CTX)
    assert evaluate(loss, np.array([0, 0, 1, 1]), x)[0] == pytest.approx(0, abs=1e-6)
    assert evaluate(loss, np.array([0, 1, 1, 0]), x)[0] == pytest.approx(1, abs=1e-6)


def test_defaults():
    assert Histogram() == Histogram(n_bins=100)
