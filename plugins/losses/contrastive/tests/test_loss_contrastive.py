import numpy as np
import pytest
from faceexp_loss_contrastive import Contrastive

from faceexp.contract import BatchNeeds, LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestContrastiveContract(LossContract):
    @pytest.fixture(params=[{}, {"pairs": "halves"}, {"normalize": True}], ids=str)
    def plugin(self, request):
        return Contrastive(**request.param)


def batch(seed=0):
    return np.array([0, 1, 2, 3, 0, 1, 3, 2]), np.random.default_rng(seed).normal(size=(8, 4))


def test_values_and_gradients_of_tf_contrib(oracle_cases, agrees):
    seen = 0
    for case in oracle_cases(source="tf_contrib", loss="contrastive_loss", status="ok"):
        pairs = case["params"]["pairs"].removeprefix("pairs_")
        agrees(Contrastive(margin=case["params"]["margin"], pairs=pairs).build(CTX), case["y"], case)
        seen += 1
    assert seen > 0


@pytest.mark.parametrize("pairs", ["all", "halves"])
def test_formula(evaluate, pairs):
    labels, x = batch()
    index = [(i, j) for i in range(8) for j in range(i + 1, 8)] if pairs == "all" else [(i, i + 4) for i in range(4)]
    terms = []
    for i, j in index:
        d = np.linalg.norm(x[i] - x[j])
        terms.append(d**2 if labels[i] == labels[j] else max(2.0 - d, 0) ** 2)
    value, _ = evaluate(Contrastive(margin=2.0, pairs=pairs).build(CTX), labels, x)
    assert value == pytest.approx(np.mean(terms), rel=1e-5)


def test_halves_need_both_kinds_of_pairs():
    assert Contrastive(pairs="halves").traits().needs == BatchNeeds(classes=2, images_per_class=2, halves="mixed")
