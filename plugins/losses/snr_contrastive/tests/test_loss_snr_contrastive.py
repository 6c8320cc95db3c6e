import numpy as np
import pytest
from faceexp_loss_snr_contrastive import SNRContrastive

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestSNRContrastiveContract(LossContract):
    @pytest.fixture(params=[True, False], ids=["normalised", "as they are"])
    def plugin(self, request):
        return SNRContrastive(normalize=request.param)


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="SignalToNoiseRatioContrastiveLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        options = dict(case["params"])
        if "distance" in options:
            assert options.pop("distance") == "SNRDistance(normalize_embeddings=False)"
            options["normalize"] = False
        agrees(SNRContrastive(**options).build(CTX), case["y"], case)


def test_formula(evaluate):
    labels, x = np.array([0, 0, 0, 1, 1, 2]), np.random.default_rng(0).normal(size=(6, 4))
    pull: list[float] = []
    push: list[float] = []
    for i in range(6):
        for j in set(range(6)) - {i}:
            d = np.var(x[i] - x[j]) / np.var(x[i])
            (pull if labels[i] == labels[j] else push).append(
                max(d - 0.7, 0) if labels[i] == labels[j] else max(2.5 - d, 0)
            )
    expected = sum(np.sum(terms) / np.count_nonzero(terms) for terms in (pull, push))
    expected += 0.1 * np.mean(np.abs(x.sum(axis=1)))
    loss = SNRContrastive(pos_margin=0.7, neg_margin=2.5, normalize=False, embedding_reg_weight=0.1).build(CTX)
    assert evaluate(loss, labels, x)[0] == pytest.approx(expected, rel=1e-5)


def test_an_anchor_without_variance_is_at_distance_zero(evaluate):
    x = np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 4.0]])
    for normalize in (True, False):
        value, gradient = evaluate(SNRContrastive(normalize=normalize).build(CTX), np.array([0, 0]), x)
        assert value == pytest.approx(1)  # the second row's, whose difference has all its variance
        assert np.isfinite(gradient).all()


def test_defaults():
    assert SNRContrastive() == SNRContrastive(pos_margin=0, neg_margin=1, normalize=True, embedding_reg_weight=0)


def test_is_made_for_euclidean_distances_unless_it_normalises():
    assert SNRContrastive(normalize=False).traits().distance == "euclidean"
