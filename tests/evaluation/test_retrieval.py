"""Retrieval metrics against reference values and a naive re-derivation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.evaluation import embeddings as embeddings_module
from faceexp.evaluation import retrieval as r

BATCHES = ["a", "b", "d", "e", "m1"]
# The reference's own name, its accuracy (one of them is computed in float32 there).
METRICS = {
    "precision_at_1": (r.precision_at_1, 1e-6),
    "r_precision": (r.r_precision, 1e-6),
    "mean_average_precision_at_r": (r.map_at_r, 1e-6),
    "mean_average_precision": (r.mean_average_precision, 1e-6),
    "mean_reciprocal_rank": (r.mean_reciprocal_rank, 1e-5),
}


def agrees(value, expected, rel):
    return math.isnan(value) if expected is None else value == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("batch", BATCHES)
def test_reference_values(oracle_batches, oracle_metrics, batch, distance):
    expected = next(entry for entry in oracle_metrics["embedding_sets"] if entry["batch"] == batch)
    found = r.ranks(oracle_batches[batch]["embeddings"], oracle_batches[batch]["labels"], distance)
    assert len(found.count) == expected["n_queries_with_match"]
    assert set(expected[f"retrieval_{distance}"]) == set(METRICS)
    for name, (metric, rel) in METRICS.items():
        assert agrees(metric(found), expected[f"retrieval_{distance}"][name], rel), name
    if distance == "euclidean":
        for k, value in expected["recall_at_k_euclidean"].items():
            assert agrees(r.recall_at_k(found, int(k)), value, 1e-9), k


def naive(distance, labels):
    """Every metric from sorted neighbour lists, query by query."""
    values = []
    for query in range(len(labels)):
        others = [i for i in range(len(labels)) if i != query]
        neighbours = sorted(others, key=lambda i: distance[query, i])
        hit = [bool(labels[i] == labels[query]) for i in neighbours]
        total = sum(hit)
        if not total:
            continue
        precision = [sum(hit[: i + 1]) / (i + 1) for i in range(len(hit))]
        values.append(
            {
                "precision_at_1": hit[0],
                "r_precision": sum(hit[:total]) / total,
                "mean_average_precision_at_r": sum(p for p, h in zip(precision[:total], hit, strict=False) if h)
                / total,
                "mean_average_precision": sum(p for p, h in zip(precision, hit, strict=True) if h) / total,
                "mean_reciprocal_rank": 1 / (1 + hit.index(True)),
                "recall_at_3": any(hit[:3]),
            }
        )
    return {key: np.mean([value[key] for value in values]) for key in values[0]}


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 12))
def test_naive_re_derivation(seed, classes):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(24, 3)), rng.integers(0, classes, 24)
    found = r.ranks(x, y, "euclidean")
    expected = naive(np.linalg.norm(x[:, None] - x[None], axis=2), y)
    assert {name: metric(found) for name, (metric, _) in METRICS.items()} | {
        "recall_at_3": r.recall_at_k(found, 3)
    } == pytest.approx(expected)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_of_rows_does_not_matter_even_with_ties(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 3, (30, 2)).astype(float), rng.integers(0, 6, 30)
    order = rng.permutation(30)
    for metric, _ in METRICS.values():
        assert metric(r.ranks(x, y, "euclidean")) == pytest.approx(metric(r.ranks(x[order], y[order], "euclidean")))


def test_ranks_by_hand():
    x = np.array([[0.0], [1.0], [3.0], [7.0], [7.5]])
    found = r.ranks(x, np.array([0, 1, 0, 0, 2]), "euclidean")
    np.testing.assert_array_equal(found.count, [2, 2, 2])  # rows 1 and 4 have no other row of their identity
    np.testing.assert_array_equal(found.rank, [2, 3, 2, 3, 2, 4])
    assert r.precision_at_1(found) == 0
    assert r.r_precision(found) == 0.5
    assert r.map_at_r(found) == pytest.approx(0.25)
    assert r.mean_average_precision(found) == pytest.approx((7 / 12 + 7 / 12 + 0.5) / 3)


def test_collapsed_embeddings_find_nothing():
    found = r.ranks(np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1]), "euclidean")
    np.testing.assert_array_equal(found.rank, [4, 5] * 6)
    assert r.precision_at_1(found) == r.map_at_r(found) == 0


def test_blocks_do_not_matter(monkeypatch, oracle_batches):
    x, y = oracle_batches["m1"]["embeddings"], oracle_batches["m1"]["labels"]
    whole = r.ranks(x, y, "cosine")
    monkeypatch.setattr(embeddings_module, "BLOCK_ELEMENTS", 1000)
    np.testing.assert_array_equal(r.ranks(x, y, "cosine").rank, whole.rank)


def test_counting_and_sorting_find_the_same_ranks(monkeypatch):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 3, (200, 2)).astype(float), random.integers(0, 3, 200)  # with ties
    assert min(np.bincount(y)) > r._COUNTED
    by_sorting = r.ranks(x, y, "euclidean")
    monkeypatch.setattr(r, "_COUNTED", 200)
    by_counting = r.ranks(x, y, "euclidean")
    np.testing.assert_array_equal(by_counting.rank, by_sorting.rank)
    np.testing.assert_array_equal(by_counting.count, by_sorting.count)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_without_queries_nothing_is_defined(n):
    found = r.ranks(np.eye(max(n, 1))[:n], np.arange(n), "euclidean")
    assert all(math.isnan(metric(found)) for metric, _ in METRICS.values())
    assert math.isnan(r.recall_at_k(found, 1))


def test_labels_must_fit():
    with pytest.raises(ValueError, match="labels must have the shape"):
        r.ranks(np.ones((3, 2)), np.ones(2, int), "euclidean")
