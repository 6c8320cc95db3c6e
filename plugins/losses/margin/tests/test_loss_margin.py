from typing import Any, ClassVar

import numpy as np
import pytest
from faceexp_loss_margin import Margin, chances_by_distance

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)
SAMPLED = {"sampling": "distance_weighted", "learn_beta": True, "nu": 0.1}


class TestMarginContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Margin()


class TestMarginSampledContract(LossContract):
    skips: ClassVar = {"test_order_of_rows_does_not_matter": "which negatives are drawn depends on it"}

    @pytest.fixture
    def plugin(self):
        return Margin(**SAMPLED)


def batch(rows=9):
    return np.resize([0, 1, 2, 0, 0, 1, 3, 2, 0], rows), np.random.default_rng(0).normal(size=(rows, 4))


def distances(x):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.linalg.norm(x[:, None] - x[None, :], axis=2)


def drawn(layer, labels, x, times):
    """Values of a layer called several times with one batch."""
    import tensorflow as tf

    run = tf.function(layer, autograph=False)
    return [float(run(tf.constant(labels, tf.int32), tf.constant(x, tf.float32))) for _ in range(times)]


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    import tensorflow as tf

    seen = {"beta": 0, "all": 0}
    for case in oracle_cases(source="pml", loss="MarginLoss", status="ok"):
        layer: Any = Margin(**case["params"]).build(CTX)
        agrees(layer, case["y"], case)
        if "beta" in case["other_grad_arrays"]:
            with tf.GradientTape() as tape:
                value = layer(tf.constant(case["y"], tf.int32), tf.constant(case["x"], tf.float32))
            gradient = tape.gradient(value, layer.beta)
            np.testing.assert_allclose(gradient, case["other_grad_arrays"]["beta"], rtol=1e-4, atol=1e-5)
            seen["beta"] += 1
        seen["all"] += 1
    assert all(seen.values())


def test_formula(evaluate):
    labels, x = batch()
    d = distances(x)
    terms = []
    for a in range(9):
        for p in np.flatnonzero((labels == labels[a]) & (np.arange(9) != a)):
            for n in np.flatnonzero(labels != labels[a]):
                terms += [max(d[a, p] - 1.1 + 0.3, 0), max(1.1 - d[a, n] + 0.3, 0)]
    expected = np.sum(terms) / np.count_nonzero(terms)
    assert evaluate(Margin(margin=0.3, beta=1.1).build(CTX), labels, x)[0] == pytest.approx(expected, rel=1e-5)
    with_nu = Margin(margin=0.3, beta=1.1, nu=0.1, learn_beta=True).build(CTX)
    assert evaluate(with_nu, labels, x)[0] == pytest.approx(expected + 0.11, rel=1e-5)


@pytest.mark.parametrize("options", [{}, SAMPLED])
@pytest.mark.parametrize("labels", [[0] * 9, list(range(9))])
def test_without_triplets_it_is_zero(evaluate, options, labels):
    value, gradient = evaluate(Margin(**options).build(CTX), np.array(labels), batch()[1])
    assert value == 0
    assert not gradient.any()


def test_chances_are_inverse_to_the_density_of_distances():
    labels, x = batch()
    d = distances(x)
    clipped = np.maximum(d, 0.5)
    weights = clipped ** (2.0 - 4) * (1 - clipped**2 / 4) ** ((3.0 - 4) / 2)
    weights *= (labels[:, None] != labels[None, :]) & (d < 1.4)
    expected = weights / weights.sum(axis=1, keepdims=True)
    found = chances_by_distance(labels, d.astype(np.float32), 4, 0.5, 1.4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_an_anchor_far_from_all_negatives_may_draw_any():
    found = chances_by_distance(np.array([0, 0, 1, 2]), np.full((4, 4), 1.5, np.float32), 4, 0.5, 1.4)
    np.testing.assert_allclose(found[0], [0, 0, 0.5, 0.5])


def test_draws_follow_the_chances():
    # One anchor-positive pair of each order, three negatives: the mean over many draws is that over the chances.
    labels, x = np.array([0, 0, 1, 2, 3]), batch(5)[1]
    d = distances(x)
    chances = chances_by_distance(labels, d.astype(np.float32), 4, 0.5, 1.9).numpy()
    options = {"margin": 2.0, "beta": 1.0}  # so wide that every term counts
    layer = Margin(**options, sampling="distance_weighted", nonzero_loss_cutoff=1.9).build(CTX)
    values = drawn(layer, labels, x, times=400)
    expected = np.mean([d[a, 1 - a] - 1 + 2 + chances[a] @ (1 - d[a] + 2) for a in (0, 1)]) / 2
    assert np.mean(values) == pytest.approx(expected, rel=0.02)
    assert len({round(value, 4) for value in values}) == 9


def test_draws_follow_from_seed_and_step():
    labels, x = batch(60)
    layers = [Margin(sampling="distance_weighted").build(LossContext(4, 4, seed)) for seed in (1, 1, 2)]
    first, again, other = (drawn(layer, labels, x, times=3) for layer in layers)
    assert first == again
    assert len({*first, *other}) == 6


def test_only_beta_is_trained_and_only_when_told():
    untrained: Any = Margin().build(CTX)
    assert untrained.trainable_variables == []
    layer: Any = Margin(**SAMPLED).build(CTX)
    assert [weight.name for weight in layer.trainable_variables] == ["beta"]
    assert [weight.name for weight in layer.non_trainable_variables] == ["random"]


def test_defaults():
    assert Margin() == Margin(margin=0.2, nu=0.0, beta=1.2, learn_beta=False, sampling="all")
