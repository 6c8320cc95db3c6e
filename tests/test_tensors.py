"""Distances of a batch against SciPy and NumPy, and gradients that stay finite."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from faceexp.tensors import pair_distances, pairwise_distances, safe_sqrt

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


def test_importing_does_not_import_tensorflow():
    code = "import sys, faceexp.tensors; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
