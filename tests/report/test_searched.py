"""What a search found, in words and rows: every sentence is compared with one that was written by hand."""

from __future__ import annotations

import pytest

from faceexp.report.searched import (
    budgets_sentence,
    edges,
    failures,
    loss_rows,
    setting_rows,
    several_settings,
    tuning,
)
from faceexp.report.settings_in_words import score_text, value_text, values_text
from faceexp.report.terminal.run import run_table
from faceexp.report.terminal.searched import searched
from faceexp.results.search_record import SearchRecord


@pytest.fixture
def search(search_data):
    return SearchRecord.model_validate(search_data)


@pytest.fixture
def with_gains(changed, tuned_run, search_data):
    """``with_gains(claim, ...)``: the run with other claims about what was gained."""

    def build(*claims, **parts):
        return changed(tuned_run, search=search_data | {"gains": list(claims)} | parts)

    return build


def claim(label, difference, verdict, interval=(0.01, 0.09), p=0.01):
    ends = [-interval[1], -interval[0]] if difference < 0 else list(interval)
    return {
        "label": label,
        "reference": f"{label} (defaults)",
        "difference": difference,
        "interval": ends,
        "p_corrected": p,
        "verdict": verdict,
    }


def test_budgets_are_told_with_what_pruning_saved(search):
    assert budgets_sentence(search, "auc") == (
        "Each loss was given 5 trials x 2 seeds x 1 fold = 10 trainings, each of 200 steps and 12,800 images. The pruner "
        "(median) ended 1 of 10 trials early, so that 7 to 10 trainings of a loss were made; what was saved went to no "
        "other loss. Settings were proposed by Optuna's TPE, which learns from the trials before, and judged by the "
        "AUC of validation people."
    )


def test_equal_budgets_are_called_so(search):
    whole = [loss.model_copy(update={"trials": loss.trials[:3]}) for loss in search.losses]
    text = budgets_sentence(
        search.model_copy(update={"losses": tuple(whole), "pruner": "none", "sampler": "grid"}), "map_at_r"
    )
    assert "12,800 images: equal budgets. Settings were taken from a grid" in text
    assert text.endswith("judged by the MAP@R of validation people.")


def test_a_search_of_phase_1_is_told_before_that_of_the_losses(search):
    phase1 = search.losses[0].model_copy(update={"label": "phase 1", "trainings": 10})
    both = search.model_copy(update={"phase1": phase1})
    first = "Trunk and phase 1, which all losses share, were searched first (5 trials, 10 trainings), and judged"
    assert budgets_sentence(both, "auc").startswith(
        f"{first} by the AUC of their embedding of validation people. Each loss was given"
    )
    assert [row.label for row in setting_rows(both)] == ["phase 1", "phase 1", "twin", "twin", "weak"]
    assert budgets_sentence(both.model_copy(update={"losses": ()}), "auc").endswith("of validation people.")


def test_rows_of_losses(tuned_run, search):
    gained, kept = loss_rows(tuned_run, search)
    assert (gained.default, gained.chosen, gained.ended) == ("0.9000", "0.9500", "3 of 5, 1 pruned, 1 diverged")
    # MAP@R is not judged in a run without a verdict; accuracy is, in points.
    assert (gained.gain, gained.interval, gained.p, gained.verdict) == ("+5.0", "2.0 to 8.0", "0.010", "gains")
    assert (kept.gain, kept.interval, kept.verdict, kept.ended) == ("defaults kept", "–", "", "5 of 5")


def test_rows_of_settings(search):
    margin, pairs, reg_lambda = setting_rows(search)
    assert (margin.default, margin.chosen, margin.share, margin.at_edge) == ("1", "9.99", "75", True)
    assert (pairs.default, pairs.chosen, pairs.suggested, pairs.at_edge) == ('"all"', '"halves"', True, False)
    assert (reg_lambda.default, reg_lambda.chosen, reg_lambda.share) == ("0.002", "0.002", "")


def test_a_setting_at_an_end_of_its_range_gets_a_hint(search):
    assert edges(search) == [
        "twin: margin = 9.99 lies at an end of what was tried (0.1 to 10, by orders of magnitude); write a wider range, "
        "since a better value may lie beyond"
    ]


def test_failures_have_their_reasons(search):
    assert failures(search) == ["twin: 1 of 5 trials of the search failed or diverged: step 7: the loss is <nan>"]


def test_values_are_written_without_digits_that_nobody_would_set():
    assert values_text({"a": 0.00481298, "b": 12, "c": True, "d": "x", "e": [1, 2]}) == (
        'a = 0.00481, b = 12, c = true, d = "x", e = [1, 2]'
    )
    assert (value_text(None), score_text(None), score_text(0.95784)) == ("–", "–", "0.9578")


KEPT = " For weak, nothing better than the defaults was tried."


def test_the_finding_says_what_tuning_gained(tuned_run, with_gains, study):
    assert tuning(tuned_run).text == (
        "Tuning: of 2 losses, with the chosen settings instead of the defaults, 1 is shown to be better, twin by "
        f"5.0 points (2.0 to 8.0), in accuracy on test.{KEPT}"
    )
    both = with_gains(claim("a", 0.03, "better"), claim("b", 0.06, "better"), claim("c", -0.05, "worse"))
    assert (
        "2 are shown to be better, most of all b by 6.0 points (1.0 to 9.0); 1 is shown to be worse, c"
        in tuning(both).text
    )
    assert tuning(study) is None


def test_the_finding_says_that_nothing_is_shown(with_gains):
    undecided = with_gains(claim("a", 0.03, "undecided", (-0.02, 0.08), 0.4), claim("b", -0.01, "undecided", p=0.9))
    assert tuning(undecided).text == (
        "Tuning: no loss is shown to be better or worse in accuracy with the chosen settings than with its defaults; "
        f"the largest gain is +3.0 (−2.0 to 8.0), of a.{KEPT}"
    )


def test_the_finding_says_why_nothing_can_be_said(with_gains, search_data):
    assert "cannot be said from so few trials" in tuning(with_gains(claim("twin", 0.1, "undecided", p=None))).text
    assert "the defaults are not in the comparison" in tuning(with_gains()).text
    kept = [search_data["losses"][1]]
    assert tuning(with_gains(losses=kept)).text == "Tuning: nothing better than the defaults was tried."
    assert tuning(with_gains(losses=[])).text.startswith("Tuning: only trunk and phase 1 were searched")


def test_the_line_below_the_table_says_how_to_see_all_settings(changed, study, tuned_run):
    assert several_settings(study) == []
    assert several_settings(tuned_run) == ["twin: with the settings of the search; --settings shows the defaults, too"]
    grid = [
        {"label": "twin", "of": "a loss", "chosen": True, "validation": 0.9},
        {"label": "margin=2", "of": "a loss", "chosen": False, "validation": 0.8},
    ]
    assert several_settings(changed(study, settings=grid)) == [
        "a loss (2 settings): the row is that of the setting which is best on validation people; --settings shows all"
    ]
    everything = [*grid[:1], grid[1] | {"label": "weak"}]
    assert several_settings(changed(study, settings=everything)) == [
        "losses are judged by the settings that are best on validation people: twin"
    ]


def test_the_table_of_a_run_has_that_line(tuned_run, drawn):
    assert "twin: with the settings of the search; --settings shows the defaults, too" in " ".join(
        drawn(run_table(tuned_run, 120)).split()
    )


@pytest.mark.parametrize("width", [80, 140])
def test_the_tables_in_a_terminal_fit_it_and_lose_nothing(tuned_run, search, drawn, width):
    text = drawn(searched(tuned_run, search), width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for part in (
        "+5.0 (2.0 to 8.0) gains",
        "defaults kept",
        "9.99*",
        "0.1 to 10, log",
        "! twin: margin",
        "x twin: 1 of 5",
    ):
        assert part in words
    assert "3 of the people who are tested took part" in words
    assert "3 of the people who are tested took part" not in " ".join(
        drawn(searched(tuned_run, search, told=True)).split()
    )
