from typing import Any

import numpy as np
import pytest
from faceexp_loss_triplet_margin import TripletMargin

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)
VARIANTS = [
    {},
    {"margin": 2.0, "normalize": False, "power": 2, "swap": True, "smooth_loss": True},
    {"miner": "batch_hard", "swap": True},
    {"margin": 0.4, "miner": "semihard", "miner_margin": 0.3},
]


class TestTripletMarginContract(LossContract):
    @pytest.fixture(params=VARIANTS, ids=str)
    def plugin(self, request):
        return TripletMargin(**request.param)


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def options_of(params):
    """Options of ours that stand for parameters, distance and miner of pytorch-metric-learning."""
    known: dict[str, dict[str, Any]] = {
        "LpDistance(normalize_embeddings=False,p=2,power=2)": {"normalize": False, "power": 2},
        "BatchHardMiner()": {"miner": "batch_hard"},
        "TripletMarginMiner(margin=0.2,type_of_triplets='semihard')": {"miner": "semihard", "miner_margin": 0.2},
        "TripletMarginMiner(margin=0.2,type_of_triplets='hard')": {"miner": "hard", "miner_margin": 0.2},
    }
    options: dict[str, Any] = {}
    for name, value in params.items():
        options |= known[value] if name in {"distance", "miner"} else {name: value}
    return options


def naive(labels, x, options):
    """The loss, one triplet after the other."""
    loss = TripletMargin(**options)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if loss.normalize else x
    d = np.linalg.norm(x[:, None] - x[None, :], axis=2) ** loss.power
    terms = []
    for a in range(len(x)):
        positives = [p for p in range(len(x)) if labels[p] == labels[a] and p != a]
        negatives = [n for n in range(len(x)) if labels[n] != labels[a]]
        for p in positives:
            for n in negatives:
                mined = {
                    "none": True,
                    "batch_hard": d[a, p] == max(d[a, positives]) and d[a, n] == min(d[a, negatives]),
                    "semihard": d[a, p] < d[a, n] <= d[a, p] + loss.miner_margin,
                    "hard": d[a, n] <= d[a, p],
                }[loss.miner]
                violation = d[a, p] - (min(d[a, n], d[p, n]) if loss.swap else d[a, n]) + loss.margin
                if mined:
                    terms.append(np.log1p(np.exp(violation)) if loss.smooth_loss else max(violation, 0))
    return np.mean([term for term in terms if term > 0])


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="TripletMarginLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(TripletMargin(**options_of(case["params"])).build(CTX), case["y"], case)


@pytest.mark.parametrize(
    "options",
    [
        *VARIANTS,
        {"margin": 0.2, "swap": True},
        {"margin": 0.2, "smooth_loss": True},
        {"margin": 1.0, "normalize": False},
        {"miner": "batch_hard"},
        {"miner": "hard", "smooth_loss": True, "swap": True},
    ],
)
def test_value_and_gradient_are_those_of_loops(evaluate, central_differences, options):
    labels, x = batch()
    value, gradient = evaluate(TripletMargin(**options).build(CTX), labels, x)
    assert value == pytest.approx(naive(labels, x, options), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, options), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("labels", [[0] * 9, list(range(9))])
@pytest.mark.parametrize("miner", ["none", "batch_hard"])
def test_without_triplets_it_is_zero(evaluate, labels, miner):
    value, gradient = evaluate(TripletMargin(miner=miner).build(CTX), np.array(labels), batch()[1])
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert TripletMargin() == TripletMargin(margin=0.05, miner="none", miner_margin=0.2, power=1)


def test_is_made_for_euclidean_distances_unless_it_normalises():
    assert TripletMargin(normalize=False).traits().distance == "euclidean"
