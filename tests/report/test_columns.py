"""Columns, rows and numbers of the table of a run."""

from __future__ import annotations

import pytest

from faceexp.evaluation.catalogue import ACCURACY, COLUMNS, METRIC_OF
from faceexp.report.columns import best, losses_below_phase1, mean_and_interval, metric_of, rows_of
from faceexp.results.schema import SummaryRecord


def test_columns_cover_every_metric_in_its_direction():
    assert {metric.key: metric.better for metric in COLUMNS} == {
        "accuracy": "higher",
        "auc": "higher",
        "eer": "lower",
        "sim_diff_ratio": "lower",
        "tar@far=0.01": "higher",
        "tar@far=0.001": "higher",
        "precision_at_1": "higher",
        "r_precision": "higher",
        "map_at_r": "higher",
        "rank_1": "higher",
    }


@pytest.mark.parametrize(
    ("mean", "ci95", "key", "text"),
    [
        (0.9512, [0.92, 0.98], "accuracy", "95.1 92.0–98.0"),
        (0.9512, None, "accuracy", "95.1"),
        (0.98765, [0.98, 1.0], "auc", "0.988 0.980–1.000"),
        (0.4449, None, "sim_diff_ratio", "0.44"),
        (0.0, [0.0, 0.0], "accuracy", "0.0 0.0–0.0"),
        (None, None, "accuracy", "-"),
    ],
)
def test_mean_and_interval(mean, ci95, key, text):
    metric = METRIC_OF[key]
    summary = SummaryRecord(label="x", kind="loss", metric=metric.key, mean=mean, ci95=ci95)
    assert mean_and_interval(summary, metric) == text


def test_nothing_is_a_hyphen():
    assert mean_and_interval(None, ACCURACY) == "-"


def test_best_of_nothing_is_none(written, changed):
    dead = changed(written, summary=[summary for summary in written.summary if summary.label == "dead"])
    assert best(rows_of(dead), ACCURACY) is None
    assert best(rows_of(written), ACCURACY) == 0.861
    assert best(rows_of(written), METRIC_OF["eer"]) == 0.141


def test_rows_count_and_give_the_first_reason(written, bold_label):
    rows = {row.label: row for row in rows_of(written)}
    assert (rows["other"].ok, rows["other"].total) == (1, 2)
    assert rows["other"].reason == "diverged: the loss is not finite at step 7"
    assert rows[bold_label].reason is None
    assert rows["phase-1 embedding"].kind == "baseline"


def test_without_a_phase_1_baseline_there_is_no_note(written, changed):
    assert losses_below_phase1(written) == ["other does not beat the phase-1 embedding in accuracy"]
    rest = changed(written, trials=[trial for trial in written.trials if trial.kind == "loss"])
    assert losses_below_phase1(rest) == []


def test_a_metric_that_a_run_lacks_is_refused_with_those_that_it_has(changed, written):
    fewer = changed(written, summary=[summary for summary in written.summary if summary.metric in ("auc", "eer")])
    assert metric_of(fewer, "eer") is METRIC_OF["eer"]
    for wrong, hint in (("accuracy", "known: auc, eer"), ("AUD", "did you mean 'AUC'?")):
        with pytest.raises(KeyError) as refused:
            metric_of(fewer, wrong)
        assert refused.value.args == (hint,)


@pytest.mark.parametrize("name", ["sim_diff_ratio", "sim/diff"])
def test_a_metric_goes_by_its_key_and_by_its_heading(written, name):
    assert metric_of(written, name) is METRIC_OF["sim_diff_ratio"]


def test_a_heading_needs_neither_its_unit_nor_its_capitals(written):
    for name in ("MAP@R %", "MAP@R", "map@r"):
        assert metric_of(written, name) is METRIC_OF["map_at_r"]
