import numpy as np
import pytest
from faceexp_loss_multi_similarity import MultiSimilarity

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestMultiSimilarityContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return MultiSimilarity()


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="MultiSimilarityLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        options = dict(case["params"])
        if "miner" in options:
            assert options["miner"] == "MultiSimilarityMiner(epsilon=0.1)"
            options["miner"] = "multi_similarity"
        agrees(MultiSimilarity(**options).build(CTX), case["y"], case)


class TestMinedContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return MultiSimilarity(miner="multi_similarity")


@pytest.mark.parametrize("miner", ["none", "multi_similarity"])
def test_formula(evaluate, miner):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    s = unit @ unit.T
    terms = []
    for i in range(6):
        positives = [s[i, j] for j in range(6) if j != i and labels[j] == labels[i]]
        negatives = [s[i, j] for j in range(6) if labels[j] != labels[i]]
        if miner != "none":
            farthest, nearest = min(positives, default=np.inf), max(negatives, default=-np.inf)
            positives = [p for p in positives if p < nearest + 0.2]
            negatives = [n for n in negatives if n > farthest - 0.2]
        pull = np.log(1 + sum(np.exp(-3 * (p - 0.4)) for p in positives)) / 3
        terms.append(pull + np.log(1 + sum(np.exp(20 * (n - 0.4)) for n in negatives)) / 20)
    loss = MultiSimilarity(alpha=3, beta=20, base=0.4, miner=miner, epsilon=0.2).build(CTX)
    assert evaluate(loss, labels, x)[0] == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_the_miner_finds_nothing_without_both_kinds_of_pairs(evaluate, labels):
    loss = MultiSimilarity(miner="multi_similarity").build(CTX)
    value, gradient = evaluate(loss, np.array(labels), np.random.default_rng(0).normal(size=(4, 4)))
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert MultiSimilarity() == MultiSimilarity(alpha=2, beta=50, base=0.5, miner="none", epsilon=0.1)
