"""A metric is found by its key or heading; there is a true accept rate at every false accept rate."""

from __future__ import annotations

import pytest

from faceexp.evaluation.catalogue import METRIC_OF, METRICS
from faceexp.evaluation.named import columns_among, known, metric_of, metrics_among


@pytest.mark.parametrize(
    ("name", "key", "heading"),
    [
        ("auc", "auc", "AUC"),
        ("TAR@1%", "tar@far=0.01", "TAR@1%"),
        ("tar@far=1e-2", "tar@far=0.01", "TAR@1%"),
        ("tar@far=0.05", "tar@far=0.05", "TAR@5%"),
        ("tar@far=1e-4", "tar@far=0.0001", "TAR@1e-4 %"),
        ("TAR@FAR=0.00025", "tar@far=0.00025", "TAR@2.5e-4 %"),
        ("tar@far=1e-6", "tar@far=1e-06", "TAR@1e-6 %"),
    ],
)
def test_a_metric_is_found_however_it_is_written(name, key, heading):
    metric = metric_of(name)
    assert (metric.key, metric.heading) == (key, heading)
    assert known(key) is metric
    assert metric.is_called(metric.name)


@pytest.mark.parametrize("name", ["", "tar@far=", "tar@far=0", "tar@far=1", "tar@far=-1", "tar@far=nan", "tar@far=x",
                                  "tar@far=0.01_pooled", "auc_pooled", "tpir@fpir=0.3", "tar@far=" + "9" * 40])  # fmt: skip
def test_what_is_no_metric(name):
    assert metric_of(name) is None
    with pytest.raises(KeyError):
        known(name)


def test_a_rate_says_what_it_is_like_those_of_the_catalogue():
    made, usual = metric_of("tar@far=1e-5"), METRIC_OF["tar@far=0.001"]
    assert made.meaning == "similar pairs accepted when 0.001 % of different ones are"
    assert "at most 1 of 100,000 pairs of two people" in made.explained
    assert "0.001 % is guessing" in made.explained
    assert made.guessing == 1e-5
    assert (made.scale, made.digits, made.higher_is_better) == (usual.scale, usual.digits, True)


def test_metrics_have_the_order_of_the_results_and_columns_that_of_importance():
    keys = {"eer", "accuracy", "tar@far=0.01", "tar@far=1e-06", "tar@far=0.0001", "accuracy_pooled", "rank_1"}
    assert [metric.key for metric in metrics_among(keys)] == [
        "accuracy", "eer", "tar@far=0.01", "rank_1", "tar@far=0.0001", "tar@far=1e-06"
    ]  # fmt: skip
    assert [metric.key for metric in columns_among(keys, {"tar@far=1e-06", "tar@far=0.01"})] == [
        "tar@far=0.01", "tar@far=1e-06", "accuracy", "eer", "tar@far=0.0001", "rank_1"
    ]  # fmt: skip
    assert metrics_among([metric.key for metric in METRICS]) == METRICS
