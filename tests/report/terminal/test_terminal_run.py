"""The tables of a run as people read them in a terminal."""

from __future__ import annotations

import re

import pytest

from faceexp.evaluation.catalogue import COLUMNS, METRIC_OF
from faceexp.report.terminal import run as terminal
from faceexp.statistics import power

EER = METRIC_OF["eer"]
BUDGET = {"pretrain_images": 1000, "steps": 10, "images": 640, "trainable_parameters": 12345, "settings_tried": 1}


@pytest.mark.parametrize(("width", "columns"), [(40, 1), (60, 1), (80, 2), (100, 3), (120, 4), (140, 5), (200, 8)])
def test_a_narrow_screen_shows_the_most_important_metrics(written, width, columns, drawn):
    text = drawn(terminal.run_table(written, width), width)
    assert all(len(line) <= width for line in text.splitlines())
    head = next(line for line in text.splitlines() if "ok" in line.split())
    shown = [metric.heading for metric in COLUMNS if metric.heading.split()[0] in head]
    assert shown == [metric.heading for metric in COLUMNS[:columns]]
    row = next(line for line in text.splitlines() if " 2/2 " in line)
    assert row.count("–") == columns  # no number is cut
    assert row.rstrip().endswith(" ab") == (width > 40)  # the letters are the first to go


def test_the_table_has_one_row_per_label_the_best_first(written, drawn, bold_label):
    text = drawn(terminal.run_table(written, 140), 140)
    rows = [line for line in text.splitlines() if re.search(r" \d/\d ", line)]
    assert [re.split(r"\s{2,}", row)[0].strip() for row in rows] == [bold_label, "phase-1 embedding", "other", "dead"]
    assert [re.search(r"(\d/\d)", row).group() for row in rows] == ["2/2", "2/2", "1/2", "0/2"]
    assert "study: open set, 8 trials (3 losses and 1 baseline x 2 seeds x 1 fold)" in text
    assert rows[0].split()[-1] == "ab"


def test_the_best_of_a_column_is_marked_if_it_is_told_from_others(written, drawn, changed, comparison, bold_label):
    fewer_errors = comparison("eer", a="other", b=bold_label, verdict="b>a")
    text = drawn(terminal.run_table(changed(written, comparisons=[*written.comparisons, fewer_errors]), 140), 140)
    best, baseline, other, dead = (line for line in text.splitlines() if re.search(r" \d/\d ", line))
    assert "*86.1 81.1–91.1" in best
    assert "*0.912 0.862–0.962" in best
    assert "*14.1  9.1–19.1" in best  # of errors, the smallest
    assert " 0.45 0.40–0.50" in best  # nothing was shown in this metric
    assert "80.0 75.0–85.0" in baseline
    assert "*80.0" not in baseline + other
    assert "–" not in other  # without an interval, none is shown
    assert "*" not in dead
    assert dead.split()[2:] == ["-"] * 5


def test_another_metric_decides_the_order_and_is_shown_however_narrow_the_screen(written, drawn):
    lines = drawn(terminal.run_table(written, 80, EER), 80).splitlines()
    order = [line.split()[0] for line in lines if re.search(r" \d/2 ", line)]
    assert order == ["<b>bold</b>", "other", "phase-1", "dead"]
    head = next(line for line in lines if "ok" in line.split())
    assert "accuracy %" in head
    assert "EER %" in head


def test_chosen_columns_are_shown_in_their_order_and_what_has_no_room_is_named(written, drawn):
    columns = [METRIC_OF[key] for key in ("eer", "map_at_r", "auc")]
    text = drawn(terminal.run_table(written, 140, columns=columns), 140)
    (head,) = [line for line in text.splitlines() if "ok" in line.split()]
    assert head.split()[4:] == ["EER", "%", "MAP@R", "%", "AUC", "group"]
    text = drawn(terminal.run_table(written, 70, columns=columns), 70)
    (head,) = [line for line in text.splitlines() if "ok" in line.split()]
    assert head.split()[4:] == ["EER", "%", "MAP@R", "%"], "before the letters"
    assert "no room in 70 characters for AUC" in text
    assert "…" not in text


def test_metrics_that_a_protocol_does_not_give_are_no_columns(written, drawn, changed):
    fewer = [summary for summary in written.summary if summary.metric != "rank_1"]
    assert "rank-1" in drawn(terminal.run_table(written, 250), 250)
    assert "rank-1" not in drawn(terminal.run_table(changed(written, summary=fewer), 250), 250)


def test_warnings_and_the_verdict_are_said(written, drawn, changed, comparison):
    text = drawn(terminal.run_table(changed(written, warnings=["unequal budgets, steps: x 5; the others 9"]), 120))
    assert "! unequal budgets, steps: x 5; the others 9" in text
    assert text.index("is better than other, in accuracy at 5 %") < text.index("loss or baseline")
    told = drawn(terminal.run_table(written, 120, notes=True))
    assert "1 of the 2 pairs of rows can be told apart in accuracy" in told
    nothing = changed(written, comparisons=[comparison(verdict="indistinguishable")])
    assert "none of the 1 pairs" in drawn(terminal.run_table(nothing, 120, notes=True))


def test_the_matrix_says_who_beats_whom(written, comparison, bold_label, drawn, changed):
    comparisons = [
        comparison("eer", a="other", b=bold_label, verdict="b>a"),
        comparison("eer", a="phase-1 embedding", b=bold_label, verdict="indistinguishable"),
        comparison("eer", a="other", b="phase-1 embedding", verdict="a>b"),
    ]
    lines = drawn(terminal.matrix(changed(written, comparisons=comparisons), EER), 120).splitlines()
    # Below each number of the head stands a sign; a row has none for itself.
    places = [lines[1].index(number) for number in "123"]
    signs = [[line.ljust(len(lines[1]))[place] for place in places] for line in lines[2:5]]
    assert signs == [[" ", ">", "="], ["<", " ", ">"], ["=", "<", " "]]
    assert [line[0] for line in lines[2:5]] == ["1", "2", "3"]
    assert lines[-1] == "2 of the 3 pairs of rows can be told apart in EER"


def test_a_pair_that_was_not_tested_has_no_verdict_in_the_matrix(written, comparison, bold_label, drawn, changed):
    untested = comparison("eer", a="other", b=bold_label, verdict="indistinguishable", p_corrected=None)
    lines = drawn(terminal.matrix(changed(written, comparisons=[untested]), EER), 120).splitlines()
    places = [lines[1].index(number) for number in "123"]
    assert [[line.ljust(len(lines[1]))[place] for place in places] for line in lines[2:5]] == [
        [" ", "·", "·"],
        ["·", " ", "·"],
        ["·", "·", " "],
    ]
    assert "· no test" in lines[-2]


def test_the_usual_budget_is_said_in_a_line(written, drawn, changed):
    budgets = [{"label": label, "loss": "x", **BUDGET} for label in "ab"]
    budgets.append({"label": "c", "loss": "x", **BUDGET, "steps": 99})
    text = drawn(terminal.run_table(changed(written, budgets=budgets), 160, notes=True), 160)
    assert (
        "each loss: 1,000 images seen in phase 1, 10 steps of phase 2, 640 images seen in phase 2, 12,345 trainable"
        in text
    )


def test_published_results_stand_in_their_own_layout_and_are_judged(written, drawn, changed):
    results = [("balanced_l2", 111, 0.44), ("contrastive", 110, 0.45), ("npairs", 114, 0.28), ("cluster", 112, None)]
    published = {
        "source": "a study",
        "pairs": 134,
        "results": [{"label": label, "right": right, "sim_diff_ratio": ratio} for label, right, ratio in results],
        "power": power.from_counts({label: right for label, right, _ in results}, 134),
    }
    text = " ".join(drawn(terminal.run_table(changed(written, published=published), 120, notes=True)).split())
    assert "published: a study" in text
    assert "npairs 114 85.1 0.28" in text
    assert "cluster 112 83.6 -" in text
    assert "With 134 pairs each published accuracy is uncertain by ±6.0 points or more (95 %)" in text
    assert "the losses differ by at most 3.0 points." in text
    assert "None of the 6 pairs of published losses can be told apart at 5 % by McNemar's exact test after Holm" in text
    assert "as alike as they can be: no winner can be called." in text


def test_budgets_are_a_table(written, drawn, changed, bold_label):
    text = drawn(terminal.budgets(changed(written, budgets=[{"label": bold_label, "loss": "x", **BUDGET}])))
    assert re.search(r"1,000 +10 +640 +12,345 +1", text)
    assert "[red]" in text


def test_failures_are_shown_with_their_reason_as_it_is(written, drawn):
    text = drawn(terminal.run_table(written, 120))
    assert "x other (seed 1, fold 0) diverged: the loss is not finite at step 7; 2 more such with --notes" in text
    text = drawn(terminal.run_table(written, 120, notes=True))
    assert "x other (seed 1, fold 0) diverged: the loss is not finite at step 7" in text
    assert text.count("failed: RuntimeError: <no luck> [bold]") == 2


def test_a_mistake_that_was_told_is_one_short_sentence_at_the_end(written, drawn):
    told = "x dead was not trained: its first call failed, as was said when the run began"
    text = drawn(terminal.run_table(written, 120, notes=True, told={"dead"}))
    assert told in text
    assert "no luck" not in text
    assert "diverged: the loss is not finite at step 7" in text, "it ended while it was trained"
    both = drawn(terminal.run_table(written, 120, notes=True, told={"dead", "other"}))
    assert "x other and dead were not trained: their first call failed" in both


def test_losses_no_better_than_phase_1_are_named(written, drawn, bold_label):
    text = drawn(terminal.run_table(written, 120, notes=True))
    assert "! other does not beat the phase-1 embedding in accuracy" in text
    assert f"{bold_label} does not beat" not in text
    assert "dead does not beat" not in text
    assert "12 people, 72 images; <somewhere>" in text


def test_one_trial_has_no_interval(written, changed, drawn):
    # As a run of one seed is written: without intervals.
    trials = [trial for trial in written.trials if trial.seed == 0]
    summaries = [summary.model_copy(update={"ci95": None}) for summary in written.summary]
    single = changed(written, trials=trials, summary=summaries)
    text = drawn(terminal.run_table(single, 140), 140)
    assert "–" not in text
    assert "One seed and fold: no interval, and no difference can be called real." in text
    assert "x 1 seed x 1 fold" in text
    assert "Holm-corrected" in drawn(terminal.run_table(written, 300, notes=True), 300)


def test_a_table_of_templates_says_so(written, changed, drawn):
    assert "templates" not in drawn(terminal.run_table(written, 140), 140)
    run = changed(written, notes=["templates by video: 9 images are 3"], note_kinds=["templates"])
    assert "templates are judged, not images: --notes" in " ".join(drawn(terminal.run_table(run, 140), 140).split())


def test_a_run_of_failures_alone_is_drawn(written, changed, drawn):
    trials = [trial for trial in written.trials if trial.label == "dead"]
    summaries = [summary for summary in written.summary if summary.label == "dead"]
    alone = changed(written, trials=trials, summary=summaries)
    text = drawn(terminal.run_table(alone, 120))
    assert "0/2" in text
    assert "*" not in text


def test_a_trial_that_is_in_no_summary_is_a_row(written, drawn, bold_label, changed):
    text = drawn(terminal.run_table(changed(written, summary=[]), 120))
    assert bold_label in text
    assert "0/2" in text


def test_a_picture_of_the_table_loads_nothing_from_elsewhere():
    assert "http" not in terminal.SVG_FORMAT.replace("http://www.w3.org/2000/svg", "").replace(
        "https://www.textualize.io", ""
    ), "but for the name space and a comment"
    assert "font-face" not in terminal.SVG_FORMAT
