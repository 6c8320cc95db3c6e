import numpy as np
import pytest
from faceexp_loss_balanced_l2 import BalancedL2

from faceexp.contract import BatchNeeds, LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestBalancedL2Contract(LossContract):
    @pytest.fixture(params=[{}, {"pairs": "halves"}, {"normalize": True}], ids=str)
    def plugin(self, request):
        return BalancedL2(**request.param)


def batch(seed=0):
    return np.array([0, 1, 2, 3, 0, 1, 3, 2]), np.random.default_rng(seed).normal(size=(8, 4))


def test_values_and_gradients_of_numpy(oracle_cases, agrees):
    seen = 0
    for case in oracle_cases(source="numpy_balanced", loss="balanced_l2", status="ok"):
        pairs = case["params"]["pairs"].removeprefix("pairs_")
        agrees(BalancedL2(threshold=case["params"]["threshold"], pairs=pairs).build(CTX), case["y"], case)
        seen += 1
    assert seen > 0


def test_a_missing_kind_of_pair_contributes_nothing(evaluate):
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    loss = BalancedL2(threshold=6.0).build(CTX)
    assert evaluate(loss, np.array([1, 1]), x)[0] == pytest.approx(0.5 * 5.0)
    assert evaluate(loss, np.array([0, 1]), x)[0] == pytest.approx(0.5 * (6.0 - 5.0))


def test_both_kinds_weigh_the_same_however_many_there_are(evaluate):
    x = np.array([[0.0], [1.0], [1.0], [1.0], [1.0]])  # one similar pair at 1; three different at 1, six at 0
    labels = np.array([0, 0, 1, 2, 3])
    expected = 0.5 * (1.0 + (3 * (3.0 - 1.0) + 6 * 3.0) / 9)
    assert evaluate(BalancedL2(threshold=3.0).build(CTX), labels, x)[0] == pytest.approx(expected)


def test_defaults():
    assert BalancedL2() == BalancedL2(threshold=10.0, pairs="all", normalize=False)


def test_halves_need_both_kinds_of_pairs():
    assert BalancedL2(pairs="halves").traits().needs == BatchNeeds(classes=2, images_per_class=2, halves="mixed")
