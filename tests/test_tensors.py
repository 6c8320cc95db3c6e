"""Distances of a batch against SciPy and NumPy, and gradients that stay finite."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from faceexp.tensors import (
    add_angle,
    arc_margin,
    as_float32,
    cosine_logits,
    image_numbers,
    inner_products,
    normalized,
    pair_distances,
    pairwise_distances,
    replace_targets,
    row_norms,
    safe_sqrt,
    softmax_cross_entropy,
    squared_distances,
    sum_over_positives,
    target_logits,
    unit_rows,
)

HOWS = ["eager", "graph", "xla"]


def drawn(seed, rows=12, dim=7, scale=1.0, offset=0.0):
    return (np.random.default_rng(seed).normal(size=(rows, dim)) * scale + offset).astype(np.float32)


def run(function, *args, how="eager"):
    """Run a TensorFlow function in one of three ways."""
    import tensorflow as tf

    if how != "eager":
        function = tf.function(function, jit_compile=how == "xla")
    return function(*(tf.constant(arg) for arg in args))


def value_and_gradient(function, x, weights, how="eager"):
    """Return f(x) and the gradient of sum(weights * f(x))."""
    import tensorflow as tf

    def both(x, weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
            total = tf.reduce_sum(weights * value)
        return value, tape.gradient(total, x)

    value, gradient = run(both, x, np.asarray(weights, np.float32), how=how)
    return value.numpy(), gradient.numpy()


def analytic_gradient(x, weights):
    """Return d/dx_i of sum_ij w_ij ||x_i - x_j||: unit vectors, none where two rows coincide."""
    x = x.astype(np.float64)
    difference = x[:, None] - x[None, :]
    distance = np.linalg.norm(difference, axis=2)
    unit = np.divide(difference, distance[..., None], out=np.zeros_like(difference), where=distance[..., None] > 0)
    return ((weights + weights.T)[..., None] * unit).sum(axis=1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (50, 0), (1, 100), (50, -1000), (0.001, 0), (1e-3, 1)])
def test_distances_are_those_of_scipy(seed, scale, offset):
    x = drawn(seed, scale=scale, offset=offset)
    found = run(pairwise_distances, x).numpy()
    assert found.dtype == np.float32
    # Moved far away, rows keep fewer digits of their differences; float32 holds 1000 to about 6e-5.
    np.testing.assert_allclose(found, cdist(x.astype(np.float64), x.astype(np.float64)), rtol=2e-5, atol=1e-4 * scale)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("scale", [1, 50])
def test_distances_and_gradients_however_they_run(how, scale):
    x, weights = drawn(3, scale=scale), np.random.default_rng(4).normal(size=(12, 12))
    value, gradient = value_and_gradient(pairwise_distances, x, weights, how)
    np.testing.assert_allclose(value, cdist(x, x), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, analytic_gradient(x, weights), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (50, 0), (1, 30)])
def test_rows_that_coincide_are_exactly_at_zero_with_finite_gradients(how, scale, offset):
    x = np.concatenate([drawn(0, 5, scale=scale, offset=offset)] * 3)
    weights = np.random.default_rng(1).normal(size=(15, 15))
    value, gradient = value_and_gradient(pairwise_distances, x, weights, how)
    same = np.arange(15)[:, None] % 5 == np.arange(15)[None, :] % 5
    np.testing.assert_array_equal(value[same], 0)
    assert (value[~same] > 0).all()
    np.testing.assert_allclose(gradient, analytic_gradient(x, weights), rtol=1e-3, atol=1e-3)


def test_one_point_alone_gives_neither_distance_nor_gradient():
    x = np.tile(drawn(0, 1, dim=4, scale=50), (8, 1))
    value, gradient = value_and_gradient(pairwise_distances, x, np.ones((8, 8)))
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("how", HOWS)
def test_inner_products_and_their_gradient(how):
    x, weights = drawn(0), np.random.default_rng(1).normal(size=(12, 12)).astype(np.float32)
    value, gradient = value_and_gradient(inner_products, x, weights, how)
    np.testing.assert_allclose(value, x @ x.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, (weights + weights.T) @ x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", HOWS)
def test_squared_distances_and_their_gradient(how):
    x, weights = drawn(0), np.random.default_rng(1).normal(size=(12, 12))
    value, gradient = value_and_gradient(squared_distances, x, weights, how)
    np.testing.assert_allclose(value, cdist(x, x) ** 2, rtol=2e-5, atol=1e-5)
    expected = 2 * np.einsum("ij,ijd->id", weights + weights.T, x[:, None] - x[None, :])
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", HOWS)
def test_image_numbers_count_the_rows_of_each_identity(how):
    labels = np.array([7, 3, 7, 7, 0, 3], np.int32)
    np.testing.assert_array_equal(run(image_numbers, labels, how=how), [0, 0, 1, 2, 0, 1])


@pytest.mark.parametrize("how", HOWS)
def test_safe_sqrt(how):
    x = np.array([0.0, 1e-30, 0.25, 4.0, 1e12], np.float32)
    value, gradient = value_and_gradient(safe_sqrt, x, np.ones(5), how)
    np.testing.assert_allclose(value, np.sqrt(x), rtol=1e-6)
    np.testing.assert_allclose(gradient, [0, *0.5 / np.sqrt(x[1:])], rtol=1e-6)


def test_safe_sqrt_does_not_hide_what_is_no_number():
    value = run(safe_sqrt, np.array([np.nan, np.inf, -1.0], np.float32)).numpy()
    assert np.isnan(value[0])
    assert np.isinf(value[1])
    assert value[2] == 0


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("seed", range(3))
def test_all_pairs_against_loops(how, seed):
    x, labels = drawn(seed, 9), np.random.default_rng(seed).integers(0, 3, 9).astype(np.int32)
    found = run(lambda y, e: pair_distances(y, e, "all"), labels, x, how=how)
    distances, similar, different = (tensor.numpy() for tensor in found)
    assert distances.shape == similar.shape == different.shape == (9, 9)
    for i in range(9):
        for j in range(9):
            assert similar[i, j] == (i < j and labels[i] == labels[j])
            assert different[i, j] == (i < j and labels[i] != labels[j])
            assert distances[i, j] == pytest.approx(np.linalg.norm(x[i] - x[j]), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("rows", [8, 9])
def test_halves_against_loops(how, rows):
    """An odd row at the end has no partner."""
    x, labels = drawn(rows, rows), np.random.default_rng(rows).integers(0, 2, rows).astype(np.int32)
    found = run(lambda y, e: pair_distances(y, e, "halves"), labels, x, how=how)
    distances, similar, different = (tensor.numpy() for tensor in found)
    assert distances.shape == similar.shape == different.shape == (4,)
    for i in range(4):
        assert distances[i] == pytest.approx(np.linalg.norm(x[i] - x[i + 4]), rel=1e-5)
        assert similar[i] == (labels[i] == labels[i + 4])
        assert different[i] == (labels[i] != labels[i + 4])


@pytest.mark.parametrize("pairs", ["all", "halves"])
def test_gradients_of_coinciding_pairs_are_zero(pairs):
    x = np.tile(drawn(0, 4), (2, 1))
    labels = np.array([0, 1, 2, 3] * 2, np.int32)

    def similar_distances(e):
        distances, similar, _ = pair_distances(labels, e, pairs)
        return distances * similar

    value, gradient = value_and_gradient(similar_distances, x, 1.0)
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(gradient, 0)


# Classification


@pytest.mark.parametrize("how", HOWS)
def test_row_norms(how):
    x = drawn(0)
    x[2] = 0
    value, gradient = value_and_gradient(row_norms, x, np.arange(12), how)
    norms = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(value, norms, rtol=1e-5)
    directions = np.divide(x, norms[:, None], out=np.zeros_like(x), where=norms[:, None] > 0)
    np.testing.assert_allclose(gradient, np.arange(12)[:, None] * directions, rtol=1e-5)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("scale", [0.001, 1, 50])
def test_cosines_do_not_depend_on_length(how, scale):
    x, proxies = drawn(0), drawn(1, rows=5)
    found = run(cosine_logits, scale * x, proxies, how=how)
    np.testing.assert_allclose(found, 1 - cdist(x, proxies, "cosine"), rtol=1e-4, atol=1e-6)


def test_nothing_has_an_angle_to_zero():
    x = np.concatenate([np.zeros((1, 7), np.float32), drawn(0, 2)])
    value, gradient = value_and_gradient(lambda x: cosine_logits(x, drawn(1, 5)), x, np.ones((3, 5)))
    np.testing.assert_array_equal(value[0], 0)
    np.testing.assert_array_equal(gradient[0], 0)


@pytest.mark.parametrize("how", HOWS)
def test_rows_are_normalised_when_told(how):
    x = drawn(0, scale=3.0)
    np.testing.assert_allclose(
        run(lambda x: normalized(x, when=True), x, how=how), x / np.linalg.norm(x, axis=1, keepdims=True), rtol=1e-6
    )
    assert np.array_equal(run(lambda x: normalized(x, when=False), x, how=how), x)


@pytest.mark.parametrize("how", HOWS)
def test_add_angle(how):
    theta = np.linspace(0.05, np.pi - 0.05, 12)
    value, gradient = value_and_gradient(lambda c: add_angle(c, 0.7), np.cos(theta, dtype=np.float32), np.ones(12), how)
    np.testing.assert_allclose(value, np.cos(theta + 0.7), atol=1e-5)
    np.testing.assert_allclose(gradient, np.sin(theta + 0.7) / np.sin(theta), rtol=1e-3)


@pytest.mark.parametrize("function", [add_angle, arc_margin])
def test_angles_of_zero_and_pi_have_finite_gradients(function):
    cosines = np.array([1.0000001, 1, -1, -1.0000001], np.float32)  # rounding may pass 1
    value, gradient = value_and_gradient(lambda c: function(c, 0.5), cosines, np.ones(4))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(value[:2], np.cos(0.5), atol=1e-5)


@pytest.mark.parametrize("how", HOWS)
def test_arc_margin_never_rises_with_the_angle(how):
    theta = np.linspace(0, np.pi, 1000)
    for margin in (0.0, 0.5, 1.5):
        found = run(lambda c, margin=margin: arc_margin(c, margin), np.cos(theta, dtype=np.float32), how=how).numpy()
        beyond = theta + margin > np.pi + 1e-3
        expected = np.where(beyond, np.cos(theta) - margin * np.sin(margin), np.cos(theta + margin))
        far = np.abs(theta + margin - np.pi) > 2e-3  # the two parts do not meet
        np.testing.assert_allclose(found[far], expected[far], atol=1e-3)
        assert (np.diff(found[beyond]) <= 0).all()
        assert (np.diff(found[~beyond & far]) <= 1e-6).all()


@pytest.mark.parametrize("how", HOWS)
def test_targets_are_taken_and_replaced(how):
    labels, logits = np.array([2, 0, 2], np.int32), drawn(0, 3, dim=4)
    np.testing.assert_array_equal(run(target_logits, labels, logits, how=how), logits[[0, 1, 2], labels])
    changed = run(replace_targets, labels, logits, np.array([7, 8, 9], np.float32), how=how)
    expected = logits.copy()
    expected[[0, 1, 2], labels] = 7, 8, 9
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("how", HOWS)
def test_softmax_cross_entropy(how):
    labels, logits = np.array([2, 0, 2], np.int32), drawn(0, 3, dim=4, scale=50)
    expected = np.log(np.exp(logits.astype(np.float64)).sum(axis=1)) - logits[[0, 1, 2], labels]
    found = run(softmax_cross_entropy, labels, logits, how=how)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 0, 1, 3, 2, 0], [0] * 9, list(range(9)), [7, -1] * 4 + [7]])
def test_sum_over_positives_takes_every_similar_pair_once(how, labels):
    import tensorflow as tf

    labels, x = np.array(labels, np.int32), np.random.default_rng(0).normal(size=(9, 9)).astype(np.float32)

    def negative_squares(x, positives):
        """Squares of x_ip for the pairs (i, p), and of their neighbours x_i,p+1; those that are negative."""
        values = tf.gather(x, tf.stack([positives, (positives + 1) % 9], axis=1), batch_dims=1)
        return tf.square(values), values < 0

    def summed(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total, count = sum_over_positives(labels, x, negative_squares)
            tripled = 3.0 * total
        return total, count, tape.gradient(tripled, x)

    expected, slope = [], np.zeros((9, 9))
    for i in range(9):
        for p in range(9):
            for j in (p, (p + 1) % 9):
                if labels[i] == labels[p] and i != p and x[i, j] < 0:
                    expected.append(x[i, j] ** 2)
                    slope[i, j] += 6 * x[i, j]
    total, count, gradient = run(summed, x, how=how)
    assert float(total) == pytest.approx(sum(expected), rel=1e-5)
    assert int(count) == len(expected)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize(
    "function",
    [
        as_float32,
        inner_products,
        pairwise_distances,
        row_norms,
        squared_distances,
        unit_rows,
        lambda x: cosine_logits(x, np.eye(3, 8, dtype=np.float32)),
        lambda x: normalized(x, when=False),
        lambda x: normalized(x, when=True),
        lambda x: pair_distances(np.array([0, 1, 0, 2]), x, "all")[0],
        lambda x: pair_distances(np.array([0, 1, 0, 2]), x, "halves")[0],
    ],
)
def test_what_takes_embeddings_computes_in_float32(function, dtype):
    import tensorflow as tf

    x = tf.cast(np.random.default_rng(0).normal(size=(4, 8)), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        given = function(x)
    assert given.dtype == tf.float32
    np.testing.assert_array_equal(given, function(tf.cast(x, tf.float32)))
    assert tape.gradient(given, x).dtype == x.dtype


def test_importing_does_not_import_tensorflow():
    code = "import sys, faceexp.tensors; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
