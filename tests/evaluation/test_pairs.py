"""Distances of pairs against direct evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import cosine_distances

from faceexp.evaluation import embeddings as embeddings_module
from faceexp.evaluation import pairs as module
from faceexp.evaluation.embeddings import Float64OnDemand, ScaledPixels, normalise
from faceexp.evaluation.pairs import distances_from, pair_distances, prepare

BATCHES = ["a", "b", "d", "e", "m1"]


def embeddings_and_labels(n=60, d=7, classes=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(np.float32), rng.integers(0, classes, n)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("batch", BATCHES)
def test_all_pairs_equal_scipy(oracle_batches, batch, distance):
    x, y = oracle_batches[batch]["embeddings"], oracle_batches[batch]["labels"]
    found = pair_distances(x, y, distance)
    left, right = np.triu_indices(len(x), 1)
    np.testing.assert_allclose(found.distance, pdist(x.astype(np.float64), distance), rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(found.similar, y[left] == y[right])


@pytest.mark.parametrize("batch", BATCHES)
def test_mean_distances_meet_the_reference(oracle_batches, oracle_metrics, batch):
    expected = next(entry for entry in oracle_metrics["embedding_sets"] if entry["batch"] == batch)
    found = pair_distances(oracle_batches[batch]["embeddings"], oracle_batches[batch]["labels"], "euclidean")
    for key, chosen in [("similar", found.similar), ("different", ~found.similar)]:
        if (mean := expected[f"mean_distance_{key}_l2"]) is None:
            assert not chosen.any()
        else:
            assert found.distance[chosen].mean() == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_listed_pairs_are_the_same_as_all_pairs(distance):
    x, y = embeddings_and_labels()
    everything = pair_distances(x, y, distance)
    listed = pair_distances(x, y, distance, np.column_stack(np.triu_indices(len(x), 1)))
    np.testing.assert_array_equal(listed.similar, everything.similar)
    np.testing.assert_allclose(listed.distance, everything.distance, rtol=1e-10)
    backwards = pair_distances(x, y, distance, np.array([[5, 2], [3, 3]]))
    np.testing.assert_allclose(backwards.distance, [module.distances_from(prepare(x, distance), 5, 6)[0, 2], 0])
    assert pair_distances(x, y, distance, np.empty((0, 2), np.int64)).distance.shape == (0,)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_blocks_do_not_matter(monkeypatch, distance):
    x, y = embeddings_and_labels()
    some = np.random.default_rng(1).integers(0, len(x), (50, 2))
    whole, listed = pair_distances(x, y, distance), pair_distances(x, y, distance, some)
    monkeypatch.setattr(embeddings_module, "BLOCK_ELEMENTS", 130)
    np.testing.assert_allclose(pair_distances(x, y, distance).distance, whole.distance, rtol=1e-10)
    np.testing.assert_allclose(pair_distances(x, y, distance, some).distance, listed.distance, rtol=1e-10)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_embeddings_that_are_made_ready_block_by_block_have_the_same_distances(monkeypatch, distance):
    x, y = embeddings_and_labels()
    whole = pair_distances(x, y, distance)
    monkeypatch.setattr(embeddings_module, "_WHOLE_ELEMENTS", 0)
    monkeypatch.setattr(embeddings_module, "BLOCK_ELEMENTS", 100)
    assert isinstance(prepare(x, distance).values, Float64OnDemand)
    found = pair_distances(x, y, distance)
    np.testing.assert_allclose(found.distance, whole.distance, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found.similar, whole.similar)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("many", [False, True], ids=["converted", "kept as bytes"])
def test_pixels_count_in_255ths(monkeypatch, many, distance):
    """Wider than the sums that float32 holds exactly; equal rows, and rows that differ in one pixel, among them."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (30, 2500)).astype(np.uint8)
    pixels[1], pixels[2] = 0, 255
    pixels[4] = pixels[3]
    pixels[5] = pixels[3]
    pixels[5, 0] ^= 1
    labels = random.integers(0, 4, 30)
    if many:
        monkeypatch.setattr(embeddings_module, "_WHOLE_ELEMENTS", 0)
        monkeypatch.setattr(embeddings_module, "BLOCK_ELEMENTS", 100)
        assert isinstance(prepare(pixels, distance).values, ScaledPixels)
    found = pair_distances(pixels, labels, distance).distance
    direct = pair_distances((pixels / 255).astype(np.float64), labels, distance).distance
    np.testing.assert_allclose(found, direct, rtol=1e-6, atol=1e-12)
    left, right = np.triu_indices(30, 1)
    assert found[(left == 3) & (right == 4)] == pytest.approx(0, abs=1e-15)
    assert (found[(left == 3) & (right == 5)] > 0) == (direct[(left == 3) & (right == 5)] > 0)
    listed = pair_distances(pixels, labels, distance, np.stack([left, right], axis=1)[::7]).distance
    np.testing.assert_allclose(listed, direct[::7], rtol=1e-6, atol=1e-12)


def test_many_pairs_are_kept_as_float32(monkeypatch):
    x, y = embeddings_and_labels()
    exact = pair_distances(x, y, "euclidean").distance
    monkeypatch.setattr(module, "_FLOAT64_PAIRS", 10)
    found = pair_distances(x, y, "euclidean").distance
    assert (exact.dtype, found.dtype) == (np.dtype(np.float64), np.dtype(np.float32))
    np.testing.assert_allclose(found, exact, rtol=1e-7)


def test_near_rows_far_from_the_origin_keep_their_digits():
    x, y = embeddings_and_labels()
    x = x.astype(np.float64)
    x[1:9] = x[0] + 1e-7 * x[1:9]
    x += 1e3
    np.testing.assert_allclose(pair_distances(x, y, "euclidean").distance, pdist(x), rtol=1e-9)


@pytest.mark.parametrize("whole", [True, False], ids=["all at once", "block by block"])
@pytest.mark.parametrize("outlier", [1e4, 1e17, 1e30])
def test_a_row_that_is_far_away_changes_no_distance_between_the_others(monkeypatch, outlier, whole):
    """Against NumPy's differences in float64, beside a common offset that centring has to take away."""
    x, y = embeddings_and_labels(n=200)
    x += np.float32(100)
    x[[13, 77, 140], [0, 3, 6]] = [outlier, -outlier, outlier]
    if not whole:
        monkeypatch.setattr(embeddings_module, "_WHOLE_ELEMENTS", 0)
        monkeypatch.setattr(embeddings_module, "BLOCK_ELEMENTS", 5000)
    left, right = np.triu_indices(200, 1)
    wide = x.astype(np.float64)
    naive = np.sqrt(((wide[left] - wide[right]) ** 2).sum(axis=1))
    for found in (
        pair_distances(x, y, "euclidean").distance,
        pair_distances(x, y, "euclidean", np.column_stack([left, right])).distance,
    ):
        np.testing.assert_allclose(found, naive, rtol=1e-10)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_copies_of_a_row_tie_exactly(distance, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 5))[rng.integers(0, 40, 60)]
    x[7] = x[3]
    block = distances_from(prepare(x, distance), 0, len(x))
    np.testing.assert_array_equal(block[7], block[3])
    np.testing.assert_array_equal(block, block.T)
    assert block[7, 3] == 0
    assert block.min() >= 0


def test_a_row_of_zeros_has_cosine_zero_with_everything():
    x, y = embeddings_and_labels(5)
    x[[1, 3]] = 0
    np.testing.assert_allclose(
        pair_distances(x, y, "cosine").distance, cosine_distances(x.astype(float))[np.triu_indices(5, 1)], atol=1e-14
    )
    np.testing.assert_array_equal(normalise(x)[1], 0)


def test_too_few_rows_have_no_pairs():
    for n in (0, 1):
        found = pair_distances(np.ones((n, 3)), np.zeros(n, int), "euclidean")
        assert found.distance.shape == found.similar.shape == (0,)


@pytest.mark.parametrize(
    ("embeddings", "labels", "distance", "pairs", "message"),
    [
        (np.ones(3), np.ones(3, int), "euclidean", None, "shape"),
        (np.ones((3, 2)), np.ones(2, int), "euclidean", None, "labels must have the shape"),
        (np.full((3, 2), np.nan), np.ones(3, int), "euclidean", None, "finite"),
        (np.ones((3, 2)), np.ones(3, int), "manhattan", None, "unknown distance 'manhattan'"),
        (np.ones((3, 2)), np.ones(3, int), "cosine", np.ones((2, 3), int), "pairs must have"),
        (np.ones((3, 2)), np.ones(3, int), "cosine", np.array([[0, 3]]), "from 0 to 2"),
        (np.ones((3, 2)), np.ones(3, int), "cosine", np.array([[-1, 1]]), "from 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(embeddings, labels, distance, pairs, message):
    with pytest.raises(ValueError, match=message):
        pair_distances(embeddings, labels, distance, pairs)
