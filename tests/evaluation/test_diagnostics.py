"""The curves and pairs that a report shows, against plain loops over every pair."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import auc, roc_curve
from sklearn.neighbors import KNeighborsClassifier

from faceexp.evaluation import diagnostics
from faceexp.evaluation.diagnostics import projection
from faceexp.evaluation.metrics import examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.retrieval import rank_1


def embedded(people=12, images=6, spread=0.9, seed=0):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(people), images))
    return (random.normal(size=(people, 4))[labels] + spread * random.normal(size=(len(labels), 4))).astype(
        np.float32
    ), labels


def naive_pairs(rows, labels):
    """Return (first, second, distance, similar) of every pair, one at a time."""
    rows = rows.astype(np.float64)
    return [
        (i, j, float(np.linalg.norm(rows[i] - rows[j])), labels[i] == labels[j])
        for i, j in itertools.combinations(range(len(rows)), 2)
    ]


def test_the_hardest_pairs_are_those_a_loop_finds():
    rows, labels = embedded()
    threshold = 2.0
    found = examine(rows, labels, threshold, "euclidean").diagnostics.hardest
    pairs = naive_pairs(rows, labels)
    expected = []
    for similar, accepted in ((True, False), (True, True), (False, True), (False, False)):
        own = [pair for pair in pairs if (pair[3], pair[2] <= threshold) == (similar, accepted)]
        own.sort(key=lambda pair: -pair[2] if pair[3] else pair[2])
        expected += own[: diagnostics.PAIRS_OF_A_KIND]
    assert len(found) == 4 * diagnostics.PAIRS_OF_A_KIND
    for mine, (first, second, distance, similar) in zip(found, expected, strict=True):
        assert (mine.first, mine.second, mine.similar) == (first, second, similar)
        assert mine.distance == pytest.approx(distance)
        assert mine.accepted == (distance <= threshold)


def test_blocks_do_not_matter(monkeypatch):
    rows, labels = embedded()
    whole = examine(rows, labels, 2.0, "euclidean").diagnostics
    monkeypatch.setattr(diagnostics, "BLOCK", 97)
    assert examine(rows, labels, 2.0, "euclidean").diagnostics == whole


def test_listed_pairs_are_named_by_their_own_rows():
    rows, labels = embedded()
    listed = np.array([[5, 3], [10, 2], [7, 1], [0, 11]])
    found = examine(rows, labels, 2.0, "euclidean", listed)
    assert sorted((pair.first, pair.second) for pair in found.diagnostics.hardest) == sorted(
        map(tuple, listed.tolist())
    )
    assert (found.n_similar, found.n_different) == (
        sum(labels[listed[:, 0]] == labels[listed[:, 1]]),
        4 - sum(labels[listed[:, 0]] == labels[listed[:, 1]]),
    )


def test_the_curve_is_the_exact_one_where_it_is_short():
    rows, labels = embedded(people=5, images=4)
    found = examine(rows, labels, 2.0, "euclidean").diagnostics
    pairs = naive_pairs(rows, labels)
    far, tar, _ = roc_curve([pair[3] for pair in pairs], [-pair[2] for pair in pairs])
    assert auc(found.far, found.tar) == pytest.approx(auc(far, tar), abs=1e-5)
    assert (found.far[0], found.tar[0], found.far[-1], found.tar[-1]) == (0, 0, 1, 1)


def test_a_long_curve_keeps_vertices_of_the_exact_one_close_together():
    rows, labels = embedded(people=60, images=10, spread=0.5)
    measured = pair_distances(rows, labels, "euclidean")
    from faceexp.evaluation.roc import roc

    curve = roc(measured)
    found = diagnostics.diagnose(measured, curve, 1.0, None, len(rows))
    assert len(curve.far) > 2 * diagnostics.VERTICES
    assert len(found.far) <= diagnostics.VERTICES
    exact = {(float(f"{far:.6g}"), float(f"{tar:.6g}")) for far, tar in zip(curve.far, curve.tar, strict=True)}
    assert set(zip(found.far, found.tar, strict=True)) <= exact
    assert np.max(np.diff(found.tar)) < 0.03
    positive = np.array([far for far in found.far if far > 0])
    assert np.max(positive[1:] / positive[:-1]) < 2
    assert auc(found.far, found.tar) == pytest.approx(auc(curve.far, curve.tar), abs=2e-3)


def test_histograms_count_every_pair_once():
    rows, labels = embedded()
    found = examine(rows, labels, 2.0, "euclidean").diagnostics
    pairs = naive_pairs(rows, labels)
    assert (len(found.edges), len(found.similar)) == (diagnostics.BINS + 1, diagnostics.BINS)
    for similar, counts in ((True, found.similar), (False, found.different)):
        own = [pair[2] for pair in pairs if pair[3] == similar]
        assert sum(counts) == len(own)
        np.testing.assert_allclose(
            np.cumsum(counts), [sum(d <= edge + 1e-5 for d in own) for edge in found.edges[1:]], atol=1
        )


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_map_is_scikit_learns_principal_plane(distance):
    rows, labels = embedded()
    found = projection(rows, distance, labels < 5)
    chosen = rows[labels < 5].astype(np.float64)
    if distance == "cosine":
        chosen /= np.linalg.norm(chosen, axis=1, keepdims=True)
    pca = PCA(2).fit(chosen)
    expected = pca.transform(chosen)
    assert list(found.row) == np.flatnonzero(labels < 5).tolist()
    np.testing.assert_allclose(np.abs([found.x, found.y]), np.abs(expected.T), atol=1e-5)
    assert found.explained == pytest.approx(pca.explained_variance_ratio_.sum())
    assert max(found.x, key=abs) > 0


def test_a_map_of_next_to_nothing():
    assert projection(np.ones((2, 3), np.float32), "euclidean") is None
    point = projection(np.ones((4, 3), np.float32), "euclidean")
    assert (point.x, point.y, point.explained) == ((0.0,) * 4, (0.0,) * 4, 1.0)
    line = projection(np.arange(5, dtype=np.float32)[:, None], "euclidean")
    assert (set(line.y), line.explained) == ({0.0}, 1.0)
    assert len(projection(np.random.default_rng(0).normal(size=(900, 3)), "euclidean").x) == diagnostics.POINTS


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_rank_1_is_the_nearest_neighbour_classifier_of_scikit_learn(distance):
    rows, labels = embedded(people=20, images=6, spread=0.7)
    gallery, probes = slice(0, 60), slice(60, 120)
    nearest = KNeighborsClassifier(1, metric=distance).fit(rows[gallery], labels[gallery])
    expected = nearest.score(rows[probes], labels[probes])
    found = rank_1(rows[gallery], labels[gallery], rows[probes], labels[probes], distance)
    assert 0.1 < found < 1
    assert found == pytest.approx(expected)


def test_rank_1_of_equally_near_people_and_of_strangers_is_a_miss():
    gallery, enrolled = np.array([[0.0], [2.0]]), np.array([0, 1])
    assert rank_1(
        gallery, enrolled, np.array([[1.0], [0.9], [0.0]]), np.array([0, 0, 7]), "euclidean"
    ) == pytest.approx(1 / 3)
    assert np.isnan(rank_1(gallery, enrolled, np.empty((0, 1)), np.empty(0, int), "euclidean"))


def test_one_kind_of_pair_has_a_curve_of_nothing():
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = examine(rows, np.arange(4), 1.0, "euclidean").diagnostics
    assert all(np.isnan(tar) for tar in found.tar)
    assert sum(found.similar) == 0
