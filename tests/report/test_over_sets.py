"""All test sets side by side, in words, in a terminal and on the page."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.report.over_sets import cliques, ranks_in_words, rows_over_sets
from faceexp.report.page.html import page
from faceexp.report.page.over_sets import critical_differences
from faceexp.report.terminal.sets import sets_table
from faceexp.results.schema import EnvironmentRecord
from faceexp.results.set_record import OverSetsRecord

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


@pytest.mark.parametrize("width", [64, 80, 140])
def test_the_table_fits_into_its_width(with_sets, drawn, width):
    text = drawn(sets_table(with_sets(), width, "runs/x"), width)
    assert all(len(line) <= width for line in text.splitlines())
    words = [line.split() for line in text.splitlines()]
    assert ["loss", "or", "baseline", "test", "b", "c-d", "mean", "rank", "alike"] in words
    assert ["twin", "*90.0", "50.0", "70.0", "1.8", "┃"] in words


def test_sets_that_do_not_fit_are_named(study, changed, drawn):
    names = [f"a-rather-long-name-{number}" for number in range(6)]
    means = {"twin": dict.fromkeys(["test", *names], 0.5), "weak": dict.fromkeys(["test", *names], 0.4)}
    sets = [{"name": name, "measured": HELD} for name in names]
    text = drawn(sets_table(changed(study, test_sets=sets, over_sets=RECORD | {"means": means}), 80), 80)
    assert "a-rather-long-name-0" in text
    assert "no room in 80 characters for " in text
    assert "a-rather-long-name-5" in text[text.index("no room") :]


MEANS = {"test": 0.9, "b": 0.5, "c-d": 0.7}
FIVE = {"a": 1.2, "b": 1.9, "c": 3.1, "d": 3.8, "e": 5.2}


def ranks_of(mean_rank, critical, p=0.001):
    """Return what the statistics say of mean ranks."""
    rows = list(mean_rank)
    apart = [[one, two] for one in rows for two in rows if p <= 0.05 and mean_rank[two] - mean_rank[one] >= critical]
    return {"mean_rank": mean_rank, "critical": critical, "p": p, "apart": apart}


@pytest.mark.parametrize(
    ("ranks", "joined"),
    [
        (ranks_of(FIVE, 2.0), ["abc", "bcd", "de"]),
        (ranks_of(FIVE, 1.0), ["ab", "cd"]),
        (ranks_of(FIVE, 5.0), ["abcde"]),
        # Friedman's test does not show that rows differ, however far apart they are.
        (ranks_of(FIVE, 1.0, p=0.2), ["abcde"]),
        (ranks_of(FIVE, 0.5), []),
        ({"mean_rank": FIVE, "critical": None, "p": None}, []),
    ],
)
def test_lines_join_rows_that_are_not_told_apart(with_sets, ranks, joined):
    assert ["".join(clique.labels) for clique in cliques(with_sets(**ranks).over_sets)] == joined


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(10, 60), min_size=2, max_size=9), st.integers(1, 40))
def test_they_are_the_largest_groups_without_two_rows_that_are_told_apart(tenths, critical):
    ordered = {f"row {place}": value / 10 for place, value in enumerate(sorted(tenths))}
    ranks = ranks_of(ordered, critical / 10)
    record = OverSetsRecord.model_validate(RECORD | ranks)
    apart = {frozenset(pair) for pair in ranks["apart"]}
    groups = [
        set(group)
        for size in range(2, len(ordered) + 1)
        for group in itertools.combinations(ordered, size)
        if not any(frozenset(pair) in apart for pair in itertools.combinations(group, 2))
    ]
    largest = [group for group in groups if not any(group < other for other in groups)]
    found = cliques(record)
    assert sorted(map(sorted, largest)) == sorted(sorted(clique.labels) for clique in found)
    # Lines in one lane do not touch.
    for one, other in itertools.combinations(found, 2):
        assert one.lane != other.lane or one.last < other.first or other.last < one.first


def lines(figure):
    return [trace for trace in figure["data"] if trace["mode"] == "lines"]


def test_the_picture_is_an_axis_of_mean_ranks_with_a_line_for_each_row_and_each_clique(with_sets):
    figure = critical_differences(with_sets(**ranks_of(FIVE, 2.0), means=dict.fromkeys(FIVE, MEANS)))
    leaders, first, second, third, bar = lines(figure)
    top = figure["layout"]["yaxis"]["range"][1]
    assert figure["layout"]["xaxis"]["side"] == "top"
    for place, rank in enumerate(FIVE.values()):
        begin, corner, on_axis, end = range(4 * place, 4 * place + 4)
        assert leaders["x"][begin] < 1
        assert (leaders["x"][corner], leaders["x"][on_axis], leaders["x"][end]) == (rank, rank, None)
        assert [leaders["y"][index] for index in (begin, corner, on_axis)] == [place, place, top]
    for line, (one, other) in zip((first, second, third), (("a", "c"), ("b", "d"), ("d", "e")), strict=True):
        assert line["line"]["width"] > leaders["line"]["width"]
        assert line["x"] == pytest.approx([FIVE[one] - 0.05, FIVE[other] + 0.05])
        assert top < line["y"][0] == line["y"][1] < 0
    # The first two overlap, and the third begins where the second ends.
    assert first["y"] == third["y"] != second["y"]
    assert first["text"][0] == "not told apart: a, b and c"
    assert (bar["x"], bar["y"]) == ([1, 3.0], [5, 5])
    assert [word["text"] for word in figure["layout"]["annotations"]] == ["critical difference 2.0"]


def test_rows_are_marked_by_their_kind(with_sets):
    figure = critical_differences(with_sets())
    losses, _, baselines = (trace for trace in figure["data"] if trace["mode"] == "markers")
    assert (losses["x"], losses["y"], baselines["x"], baselines["y"]) == ([1.75], [1], [1.25], [0])
    assert figure["layout"]["yaxis"]["ticktext"] == ["phase-1 embedding", "twin"]
    (_,) = lines(critical_differences(with_sets(critical=None)))


def test_in_a_terminal_lines_join_the_same_rows(with_sets, drawn):
    run = with_sets(**ranks_of(FIVE, 2.0), means=dict.fromkeys(FIVE, MEANS))
    text = drawn(sets_table(run, 80), 80)
    rows = {line.split()[0]: line for line in text.splitlines() if line.split()[:1] and line.split()[0] in FIVE}
    (heading,) = (line for line in text.splitlines() if "mean rank" in line)
    start = heading.index("alike")
    columns = {label: line[start:].ljust(5) for label, line in rows.items()}
    joined = ["".join(label for label in FIVE if columns[label][2 * place] == "┃") for place in range(3)]
    assert joined == ["abc", "bcd", "de"]
    assert "alike: a line joins rows no two of which are told apart" in text
    assert "alike" not in drawn(sets_table(with_sets(critical=None), 80), 80)


def test_the_page_has_the_table_and_a_tab_for_each_set(with_sets):
    run = with_sets(mean_rank=RANKS, sets=2, p=None, critical=None)
    pages = {"test": "report.html", "b": "report-b.html", "c-d": "report-c-d.html"}
    text = page(run, EnvironmentRecord(), {}, {}, None, pages)
    assert '<a href="report.html" aria-current="page">test</a>' in text
    assert '<a href="report-c-d.html">c-d</a>' in text
    assert '<h2 id="sets">Test sets</h2>' in text
    assert "2 sets can decide nothing by ranks" in text
    assert "No lines join rows that are not told apart" in text
    on_b = page(
        run.model_copy(update={"measured_on": "b", "over_sets": None}), EnvironmentRecord(), {}, {}, None, pages
    )
    assert '<a href="report-b.html" aria-current="page">b</a>' in on_b
    assert 'id="sets"' not in on_b


def test_a_page_without_test_sets_has_no_tabs(study):
    text = page(study, EnvironmentRecord(), {}, {})
    assert 'class="tabs"' not in text
    assert 'id="sets"' not in text
