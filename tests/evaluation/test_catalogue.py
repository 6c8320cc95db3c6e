"""What is known of every metric."""

from __future__ import annotations

import re

import pytest

from faceexp.evaluation.catalogue import METRIC_OF, METRICS


def test_direction_is_known_of_every_metric():
    assert {metric.key for metric in METRICS if not metric.higher_is_better} == {"sim_diff_ratio", "eer"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_every_metric_says_which_values_are_good_and_which_are_guessed(metric):
    perfect = "0" if not metric.higher_is_better else f"{metric.scale}"
    unit = " %" if metric.is_percentage else ""
    assert re.search(rf"(\b{perfect}{unit} is perfect|is {perfect}{unit} if)", metric.explained)
    if metric.guessing is not None:
        assert f"{metric.guessing * metric.scale:g}{unit} is guessing" in metric.explained


def test_why_runs_are_judged_by_one_of_them_is_said_there():
    assert "Runs are judged by it" in METRIC_OF["map_at_r"].explained
