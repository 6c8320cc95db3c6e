"""What is known of every metric."""

from __future__ import annotations

from faceexp.evaluation.catalogue import METRICS


def test_direction_is_known_of_every_metric():
    assert {metric.key for metric in METRICS if not metric.higher_is_better} == {"sim_diff_ratio", "eer"}
