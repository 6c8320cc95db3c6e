"""Runs side by side, as people read them in a terminal."""

from __future__ import annotations

import pytest

from faceexp.evaluation.catalogue import ACCURACY
from faceexp.report.terminal.between_runs import comparison_table
from faceexp.results.between_runs import Difference, RowInRuns, RunComparison
from faceexp.results.schema import ComparisonRecord, SummaryRecord


def summary(mean):
    return SummaryRecord(label="x", kind="loss", metric="accuracy", mean=mean, ci95=(mean - 0.02, mean + 0.02))


def paired(verdict):
    return ComparisonRecord(
        metric="accuracy", a="x", b="x", difference=0.031, ci95=(0.011, 0.051), p_corrected=0.0123, verdict=verdict
    )


def compared(*lines, differences=(), remarks=(), **rest):
    return RunComparison(("old", "new"), "accuracy", tuple(differences), tuple(lines), tuple(remarks), **rest)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("a>b", "old better"), ("b>a", "new better"), ("indistinguishable", "cannot be told apart")],
)
def test_a_row_of_two_runs_has_means_difference_p_and_verdict(drawn, verdict, words):
    line = RowInRuns("x", "loss", (summary(0.9), summary(0.869)), (paired(verdict),))
    text = drawn(comparison_table(compared(line), ACCURACY), 140)
    (row,) = [" ".join(part.split()) for part in text.splitlines() if part.strip().startswith("x ")]
    assert row == f"x 90.0 88.0–92.0 86.9 84.9–88.9 +3.1 ±2.0 0.012 {words}"
    assert "the experiment files do not differ" in text
    assert "trials are paired by seed and fold" in text


def test_the_same_trials_are_no_difference_of_nought(drawn):
    same = paired("indistinguishable").model_copy(update={"difference": 0.0, "p_corrected": 1.0})
    line = RowInRuns("x", "loss", (summary(0.9), summary(0.9)), (same,), (True,))
    text = drawn(comparison_table(compared(line), ACCURACY), 140)
    assert " ".join(text.split("x ")[1].split()[:9]).endswith("- - the same trials")
    assert "told apart" not in text


def test_other_code_and_other_packages_are_named(drawn):
    code = (Difference("loss 'probe'", ("a", "b")),)
    packages = tuple(Difference(f"package-{number}", (None, str(number))) for number in range(7))
    text = " ".join(drawn(comparison_table(compared(code=code, packages=packages), ACCURACY), 140).split())
    assert "the experiment files do not differ the code of loss 'probe' differs versions of packages differ: " in text
    assert "package-4 none and 4 and 2 more, with --json" in text
    assert "package-5" not in text


def test_what_was_not_tested_is_a_hyphen_with_a_reason(drawn):
    lines = RowInRuns("x", "loss", (summary(0.9), None), (None,)), RowInRuns("raw", "baseline", (None, None), (None,))
    differences = [Difference("finetune.steps", (10, None)), Difference("augment.flip", (True, False))]
    text = drawn(comparison_table(compared(*lines, differences=differences, remarks=["new: other data"]), ACCURACY))
    rows = [line.split() for line in text.splitlines()]
    assert ["x", "90.0", "88.0–92.0", "-", "-", "-"] in rows
    assert ["raw", "-", "-", "-", "-"] in rows
    assert ["finetune.steps", "10", "-"] in rows
    assert ["augment.flip", "yes", "no"] in rows
    assert "! new: other data" in text
    assert "trials are paired" not in text


def test_a_difference_that_was_not_tested_is_not_called_indistinguishable(drawn):
    test = paired("indistinguishable").model_copy(update={"p_corrected": None, "ci95": None})
    text = drawn(
        comparison_table(compared(RowInRuns("x", "loss", (summary(0.9), summary(0.9)), (test,))), ACCURACY), 140
    )
    assert "not tested" in text
    assert "told apart" not in text


def test_on_a_test_set_the_title_names_it_and_each_run_says_what_it_is_about(drawn):
    line = RowInRuns("x", "loss", (summary(0.9), summary(0.8)), (None,))
    about = ["340 of 400 pairs", ""]
    text = drawn(comparison_table(compared(line, measured_on="lfw"), ACCURACY, about), 140)
    assert "accuracy % on lfw" in text
    assert text.count("340 of 400 pairs") == 1
    assert "340 of 400" not in drawn(comparison_table(compared(line), ACCURACY), 140)
