"""All metrics of a trial together, against reference values and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.evaluation import verification as v
from faceexp.evaluation.catalogue import COLUMNS, METRICS
from faceexp.evaluation.checkpoints import validation_auc
from faceexp.evaluation.metrics import calibrate, evaluate, examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import auc, roc


def reference(oracle_metrics, batch):
    return next(entry for entry in oracle_metrics["embedding_sets"] if entry["batch"] == batch)


def every_threshold(pairs):
    """Yield (threshold, TAR, FAR) by brute force, accepting none first."""
    for threshold in [-1.0, *np.unique(pairs.distance)]:
        accept = pairs.distance <= threshold
        yield threshold, accept[pairs.similar].mean(), accept[~pairs.similar].mean()


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_evaluate_has_every_metric_and_ignores_the_order_of_rows(oracle_batches, oracle_metrics, distance):
    x, y = oracle_batches["b"]["embeddings"], oracle_batches["b"]["labels"]
    threshold = calibrate(x, y, distance)
    found = evaluate(x, y, threshold, distance)
    expected = reference(oracle_metrics, "b")
    assert [*found, "rank_1"] == [metric.key for metric in METRICS if metric in COLUMNS]
    assert found["auc"] == pytest.approx(expected[distance]["auc"], rel=1e-6) == validation_auc(x, y, distance)
    assert found["tar@far=0.01"] == pytest.approx(expected[distance]["tar_at_far"]["0.01"])
    assert found["tar@far=0.001"] == pytest.approx(expected[distance]["tar_at_far"]["0.001"])
    assert found["map_at_r"] == pytest.approx(expected[f"retrieval_{distance}"]["mean_average_precision_at_r"])
    assert found["sim_diff_ratio"] == v.sim_diff_ratio(x, y)
    pairs = pair_distances(x, y, distance)
    balanced = [(tar + 1 - far) / 2 for _, tar, far in every_threshold(pairs)]
    assert found["accuracy"] == pytest.approx(max(balanced), abs=1e-12)
    order = np.random.default_rng(0).permutation(len(y))
    assert evaluate(x[order], y[order], threshold, distance) == pytest.approx(found, rel=1e-12)


def test_where_nobody_can_be_searched_for_retrieval_is_not_measured():
    random = np.random.default_rng(0)
    rows, labels = random.normal(size=(12, 4)), np.repeat(np.arange(4), 3)
    for weights in ("pairs", "people"):
        usual, without = (
            examine(rows, labels, 1.0, "cosine", weights=weights, searches=searches).metrics
            for searches in (True, False)
        )
        assert list(usual) == list(without)
        unknown = {key for key, value in without.items() if np.isnan(value)}
        assert {key.removesuffix("_pooled") for key in unknown} == {"precision_at_1", "r_precision", "map_at_r"}
        assert all(usual[key] == without[key] for key in usual.keys() - unknown)


def test_evaluate_on_listed_pairs_leaves_retrieval_alone(oracle_batches):
    x, y = oracle_batches["b"]["embeddings"], oracle_batches["b"]["labels"]
    listed = np.column_stack(np.triu_indices(len(x), 1))[::3]
    found, everything = evaluate(x, y, 1.0, "euclidean", listed), evaluate(x, y, 1.0, "euclidean")
    d = pair_distances(x, y, "euclidean", listed)
    assert found["accuracy"] == v.balanced_accuracy(d, 1.0) != everything["accuracy"]
    assert found["auc"] == auc(roc(d)) == validation_auc(x, y, "euclidean", listed)
    assert found["map_at_r"] == everything["map_at_r"]
    assert calibrate(x, y, "euclidean", listed) == v.balanced_threshold(roc(d))
