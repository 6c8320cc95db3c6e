"""The tables of what the field reports: every number is written by hand."""

from __future__ import annotations

import pytest

from faceexp.evaluation.catalogue import FOLD_ACCURACY
from faceexp.report.columns import columns_of, mean_and_interval, metric_of
from faceexp.report.formats import markdown
from faceexp.report.rates import rates_tables
from faceexp.report.terminal.run import run_table
from faceexp.results.schema import SummaryRecord


def test_a_run_that_was_asked_for_nothing_has_none(study):
    assert rates_tables(study) == []


@pytest.fixture(scope="module")
def asked(study, changed, judged):
    """The study, where its file asked for rates and identification and its pairs came from a list."""
    trials = []
    for trial in study.trials:
        data = trial.to_jsonable()
        if trial.status == "ok":
            data["met"] = {"tar@far=0.0001": 0.00008 + trial.seed * 1e-5, "tar@far=1e-06": None, "tpir@fpir=0.1": 0.09}
            data["metrics"] |= {"tar@far=0.0001": 0.8, "tar@far=1e-06": None, "tpir@fpir=0.1": 0.7}
            cmc = [0.5 + trial.seed / 100, *(0.9 + k / 200 for k in range(11))]
            data["identification"] = {"gallery": 12 + trial.seed, "strangers": 13, "draws": 20, "cmc": cmc}
        trials.append(data)
    run = changed(study, trials=trials)
    more = [
        summary
        for label in dict.fromkeys(trial.label for trial in run.trials if trial.status == "ok")
        for summary in (
            {"metric": "tar@far=0.0001", "mean": 0.8, "ci95": [0.7, 0.9], "met": 0.000095},
            {"metric": "tar@far=1e-06", "mean": None},
            {"metric": "tpir@fpir=0.1", "mean": 0.7, "met": 0.09},
            {"metric": "fold_accuracy", "mean": 0.99783, "standard_error": 0.00062, "folds": 10},
        )
        for summary in [{"label": label, "kind": "loss", "n": 4, **summary}]
    ]
    return changed(run, summary=[*(summary.to_jsonable() for summary in run.summary), *more])


def test_the_accuracy_over_folds_stands_as_the_field_writes_it(asked):
    table = rates_tables(asked)[0]
    assert (table.title, table.headings) == ("Accuracy over folds", ("fold acc. %",))
    assert ("twin", ("99.78 ±0.06 (ten folds)",)) in table.rows
    assert "dead" not in dict(table.rows)
    summary = SummaryRecord(label="x", kind="loss", metric="fold_accuracy", mean=0.9, standard_error=None)
    assert mean_and_interval(summary, FOLD_ACCURACY) == "90.00"


def test_the_rate_that_was_met_stands_beside_and_what_was_refused_is_a_dash(asked):
    table = rates_tables(asked)[1]
    assert table.headings == ("TAR@1e-4 %", "FAR met", "TAR@1e-6 %", "FAR met")
    assert dict(table.rows)["twin"] == ("80.0 70.0–90.0", "9.5e-05", "-", "–")


def test_identification_says_the_size_of_the_gallery_and_the_ranks(asked):
    table = rates_tables(asked)[2]
    assert table.headings == ("TPIR@10%", "FPIR met", "CMC-1", "CMC-2", "CMC-3", "CMC-5", "CMC-10")
    assert dict(table.rows)["weak"] == ("70.0", "0.09", "51.5", "90.0", "90.5", "91.5", "94.0")
    assert table.text.startswith("12 to 15 of the test people are in the gallery with one photo each, 13 are strangers")
    assert "20 draws" in table.text


def test_what_was_asked_for_stands_behind_the_primary_metric_unless_it_was_refused(asked):
    keys = [metric.key for metric in columns_of(asked)]
    assert keys[:3] == ["accuracy", "tar@far=0.0001", "tpir@fpir=0.1"]
    assert keys.index("tar@far=1e-06") > keys.index("tar@far=0.01")


@pytest.mark.parametrize("name", ["tar@far=0.0001", "tar@far=1e-4", "TAR@1e-4", "TAR@1e-4 %"])
def test_a_column_is_found_however_its_rate_is_written(asked, name):
    assert metric_of(asked, name).key == "tar@far=0.0001"
    with pytest.raises(KeyError):
        metric_of(asked, "tar@far=1e-5")


def test_terminal_and_markdown_show_them(asked, drawn):
    text = drawn(run_table(asked, 140, notes=True), 140)
    for words in ("Accuracy over folds", "99.78 ±0.06 (ten folds)", "CMC-10", "9.5e-05", "TAR@1e-4"):
        assert words in text
    assert "99.78 ±0.06" in drawn(run_table(asked, 140, columns=[FOLD_ACCURACY]), 140)
    head = next(line for line in markdown(asked, columns=[FOLD_ACCURACY]).splitlines() if line.startswith("| loss"))
    assert "| fold acc. % | standard error |" in head


def test_a_refused_rate_alone_makes_no_table(asked, changed):
    summary = [each.to_jsonable() for each in asked.summary if each.metric == "tar@far=1e-06"]
    trials = [trial.to_jsonable() | {"identification": None} for trial in asked.trials]
    assert rates_tables(changed(asked, summary=summary, trials=trials)) == []
