import numpy as np
import pytest
from faceexp_loss_triplet_semihard import TripletSemihard

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestTripletSemihardContract(LossContract):
    @pytest.fixture(params=[{}, {"normalize": True}], ids=str)
    def plugin(self, request):
        return TripletSemihard(**request.param)


def batch(seed=0):
    return np.array([0, 1, 2, 0, 0, 1, 3, 2, 0]), np.random.default_rng(seed).normal(size=(9, 4))


def test_values_and_gradients_of_tf_contrib(oracle_cases, agrees):
    cases = list(oracle_cases(source="tf_contrib", loss="triplet_semihard_loss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        agrees(TripletSemihard(**case["params"]).build(CTX), case["y"], case)


@pytest.mark.parametrize("seed", range(3))
def test_formula(evaluate, seed):
    labels, x = batch(seed)
    d = np.square(x[:, None] - x[None, :]).sum(axis=2)
    terms = []
    for i in range(9):
        negatives = d[i][labels != labels[i]]
        for p in range(9):
            if p != i and labels[p] == labels[i]:
                further = negatives[negatives > d[i, p]]
                d_in = further.min() if len(further) else negatives.max()
                terms.append(max(d[i, p] - d_in + 3.0, 0))
    value, _ = evaluate(TripletSemihard(margin=3.0).build(CTX), labels, x)
    assert value == pytest.approx(np.mean(terms), rel=1e-5)


def test_equally_near_negatives_share_the_gradient(evaluate):
    x = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.1], [0.0, -1.1]]
    _, gradient = evaluate(TripletSemihard().build(CTX), np.array([0, 0, 1, 2]), x)
    np.testing.assert_allclose(gradient[2], gradient[3] * [1, -1], rtol=1e-5)
    assert gradient[2].any()


def test_without_similar_pairs_it_is_zero(evaluate):
    value, gradient = evaluate(TripletSemihard().build(CTX), np.arange(9), batch()[1])
    assert value == 0
    assert not gradient.any()


def test_defaults():
    assert TripletSemihard() == TripletSemihard(margin=1.0, normalize=False)
