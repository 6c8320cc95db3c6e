"""All test sets side by side, in words, in a terminal and on the page."""

from __future__ import annotations

import pytest

from faceexp.report.over_sets import ranks_in_words, rows_over_sets
from faceexp.report.page.html import page
from faceexp.report.page.over_sets import critical_differences
from faceexp.report.terminal.sets import sets_table
from faceexp.results.schema import EnvironmentRecord

HELD = {"images": 30, "people": 10, "pairs": 435, "similar": 30}
RECORD = {
    "metric": "accuracy",
    "means": {
        "twin": {"test": 0.9, "b": 0.5, "c-d": 0.7},
        "weak": {"test": 0.8, "b": 0.6, "c-d": None},
        "phase-1 embedding": {"test": 0.7, "b": 0.4, "c-d": 0.9},
    },
    "sets": 3,
    "mean_rank": {"phase-1 embedding": 1.25, "twin": 1.75},
    "fewest_sets": 3,
    "p": 0.2,
    "critical": 1.5,
}
SETS = [{"name": "b", "measured": HELD}, {"name": "c-d", "measured": HELD}]


@pytest.fixture
def with_sets(study, changed):
    """``with_sets(p=0.01, ...)``: the study measured on two test sets, with other ranks."""
    return lambda **ranks: changed(study, test_sets=SETS, over_sets=RECORD | ranks)


def test_rows_stand_in_the_order_of_their_mean_ranks(with_sets):
    rows = rows_over_sets(with_sets())
    assert [(row.label, row.kind, row.rank) for row in rows] == [
        ("phase-1 embedding", "baseline", "1.2"),
        ("twin", "loss", "1.8"),
        ("weak", "loss", ""),
    ]
    assert [row.means for row in rows] == [("70.0", "40.0", "90.0"), ("90.0", "50.0", "70.0"), ("80.0", "60.0", "-")]
    assert [row.best for row in rows] == [(False, False, True), (True, False, False), (False, True, False)]


RANKS = {"a": 1.0, "b": 2.0, "c": 3.0}


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ({}, "Ranks decide nothing: fewer than 3 rows have a value on every set."),
        ({"mean_rank": RANKS, "p": None, "sets": 2}, "2 sets can decide nothing by ranks, whatever the numbers: it "),
        (
            {"mean_rank": RANKS},
            "In accuracy, the ranks of 3 rows over 3 sets are not shown to differ (Friedman's test, p = 0.200).",
        ),
        (
            {"mean_rank": RANKS, "p": 0.01},
            "In accuracy, the ranks of 3 rows over 3 sets differ (Friedman's test, p = 0.010), but no two of them by "
            "Nemenyi's critical difference of 1.5.",
        ),
        (
            {"mean_rank": RANKS, "p": 0.01, "apart": [["a", "c"]]},
            "In accuracy, the ranks of 3 rows over 3 sets differ (Friedman's test, p = 0.010). Mean ranks that lie 1.5 "
            "apart are told apart (Nemenyi, 5 %): a before c.",
        ),
    ],
)
def test_what_ranks_show_is_said_in_words(with_sets, ranks, words):
    assert ranks_in_words(with_sets(**ranks)).text.startswith(words)


def test_a_run_without_test_sets_shows_none(study):
    assert rows_over_sets(study) == []
    assert ranks_in_words(study) is None
    assert sets_table(study, 80) is None
    assert critical_differences(study) is None


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_fits_into_its_width(with_sets, drawn, width):
    text = drawn(sets_table(with_sets(), width, "runs/x"), width)
    assert all(len(line) <= width for line in text.splitlines())
    words = [line.split() for line in text.splitlines()]
    assert ["loss", "or", "baseline", "test", "b", "c-d", "mean", "rank"] in words
    assert ["twin", "*90.0", "50.0", "70.0", "1.8"] in words


def test_sets_that_do_not_fit_are_named(study, changed, drawn):
    names = [f"a-rather-long-name-{number}" for number in range(6)]
    means = {"twin": dict.fromkeys(["test", *names], 0.5), "weak": dict.fromkeys(["test", *names], 0.4)}
    sets = [{"name": name, "measured": HELD} for name in names]
    text = drawn(sets_table(changed(study, test_sets=sets, over_sets=RECORD | {"means": means}), 80), 80)
    assert "a-rather-long-name-0" in text
    assert "no room in 80 characters for " in text
    assert "a-rather-long-name-5" in text[text.index("no room") :]


def test_bars_of_the_picture_reach_half_of_the_critical_difference(with_sets):
    figure = critical_differences(with_sets())
    losses, baselines = figure["data"]
    assert (losses["x"], losses["y"], baselines["x"], baselines["y"]) == ([1.75], [1], [1.25], [0])
    assert losses["error_x"]["value"] == 0.75
    assert losses["error_x"]["visible"]
    assert figure["layout"]["yaxis"]["ticktext"] == ["phase-1 embedding", "twin"]
    undecided = critical_differences(with_sets(critical=None))
    assert not undecided["data"][0]["error_x"]["visible"]


def test_the_page_has_the_table_and_a_tab_for_each_set(with_sets):
    run = with_sets(mean_rank=RANKS, sets=2, p=None, critical=None)
    pages = {"test": "report.html", "b": "report-b.html", "c-d": "report-c-d.html"}
    text = page(run, EnvironmentRecord(), {}, {}, None, pages)
    assert '<a href="report.html" aria-current="page">test</a>' in text
    assert '<a href="report-c-d.html">c-d</a>' in text
    assert '<h2 id="sets">Test sets</h2>' in text
    assert "2 sets can decide nothing by ranks" in text
    assert "There are no bars of critical differences" in text
    on_b = page(
        run.model_copy(update={"measured_on": "b", "over_sets": None}), EnvironmentRecord(), {}, {}, None, pages
    )
    assert '<a href="report-b.html" aria-current="page">b</a>' in on_b
    assert 'id="sets"' not in on_b


def test_a_page_without_test_sets_has_no_tabs(study):
    text = page(study, EnvironmentRecord(), {}, {})
    assert 'class="tabs"' not in text
    assert 'id="sets"' not in text
