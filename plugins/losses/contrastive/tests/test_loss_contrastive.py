from typing import Any, ClassVar

import numpy as np
import pytest
from faceexp_loss_contrastive import Contrastive

from faceexp.contract import BatchNeeds, LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)
PYTORCH: dict[str, Any] = {"normalize": True, "power": 1, "mean": "costly"}


class TestContrastiveContract(LossContract):
    @pytest.fixture(params=[{}, {"pairs": "halves"}, {"normalize": True}, PYTORCH], ids=str)
    def plugin(self, request):
        return Contrastive(**request.param)


class TestContrastiveOfCosinesContract(LossContract):
    skips: ClassVar[dict[str, str]] = {"test_normalises_only_when_told": "cosines do not depend on lengths"}

    @pytest.fixture
    def plugin(self):
        return Contrastive(**PYTORCH | {"measure": "cosine"})


def batch(seed=0):
    return np.array([0, 1, 2, 3, 0, 1, 3, 2]), np.random.default_rng(seed).normal(size=(8, 4))


def test_values_and_gradients_of_tf_contrib(oracle_cases, agrees):
    seen = 0
    for case in oracle_cases(source="tf_contrib", loss="contrastive_loss", status="ok"):
        pairs = case["params"]["pairs"].removeprefix("pairs_")
        agrees(Contrastive(margin=case["params"]["margin"], pairs=pairs).build(CTX), case["y"], case)
        seen += 1
    assert seen > 0


def options_of(params):
    """Options of ours that stand for parameters, distance and miner of pytorch-metric-learning."""
    options = PYTORCH | {"pos_margin": params.get("pos_margin", 0), "margin": params.get("neg_margin", 1)}
    if params.get("distance") == "CosineSimilarity()":
        options |= {"measure": "cosine", "pos_margin": 1 - params["pos_margin"], "margin": 1 - params["neg_margin"]}
    elif "distance" in params:
        assert params["distance"] == "LpDistance(normalize_embeddings=False,p=2,power=1)"
        options["normalize"] = False
    if "miner" in params:
        assert params["miner"] == "PairMarginMiner(pos_margin=0.2,neg_margin=0.8)"
        options |= {"far_similar": 0.2, "near_different": 0.8}
    return options


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="ContrastiveLoss", status="ok"))
    assert {key for case in cases for key in case["params"]} == {"pos_margin", "neg_margin", "distance", "miner"}
    for case in cases:
        agrees(Contrastive(**options_of(case["params"])).build(CTX), case["y"], case)


@pytest.mark.parametrize("mean", ["pairs", "costly"])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("measure", ["euclidean", "cosine"])
def test_value_and_gradient_are_those_of_loops(evaluate, central_differences, measure, power, mean):
    labels, x = batch()
    margins = {"margin": 0.9, "pos_margin": 0.2} if measure == "cosine" else {"margin": 3, "pos_margin": 1}

    def naive(x):
        costs: dict[bool, list[float]] = {True: [], False: []}
        for i in range(8):
            for j in range(i):
                cosine = x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j])
                d = np.linalg.norm(x[i] - x[j]) if measure == "euclidean" else 1 - cosine
                same = bool(labels[i] == labels[j])
                costs[same].append(max(d - margins["pos_margin"] if same else margins["margin"] - d, 0) ** power)
        if mean == "pairs":
            return np.mean(costs[True] + costs[False])
        return sum(np.mean([cost for cost in kind if cost > 0]) for kind in costs.values())

    value, gradient = evaluate(Contrastive(measure=measure, power=power, mean=mean, **margins).build(CTX), labels, x)
    assert value == pytest.approx(naive(x), rel=1e-5)
    np.testing.assert_allclose(gradient, central_differences(naive, x), rtol=1e-3, atol=1e-5)


def test_defaults():
    other = {"measure": "euclidean", "pos_margin": 0, "power": 2, "mean": "pairs", "far_similar": 0}
    assert Contrastive() == Contrastive(margin=1, pairs="all", normalize=False, near_different=None, **other)


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


@pytest.mark.parametrize("options", [{"normalize": True}, {"measure": "cosine"}])
def test_is_made_for_cosines_where_lengths_do_not_matter(options):
    assert Contrastive().traits().distance == "euclidean"
    assert Contrastive(**options).traits().distance == "cosine"
