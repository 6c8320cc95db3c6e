"""The section of the page about a search: what it says, and its charts, which are those that Plotly takes."""

from __future__ import annotations

import re

import plotly.graph_objects as go
import pytest

from faceexp.report.page.figures_of_search import charts, importances, parallel, sensitivity
from faceexp.report.page.html import page
from faceexp.report.page.search import section
from faceexp.results.schema import EnvironmentRecord
from faceexp.results.search_record import SearchRecord


@pytest.fixture
def search(search_data):
    return SearchRecord.model_validate(search_data)


@pytest.fixture
def twin(search):
    return search.losses[0]


def text_of(html):
    without = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", without).split())


def test_the_page_shows_what_was_searched(tuned_run):
    text = text_of(page(tuned_run, EnvironmentRecord(), {}, {}))
    for part in (
        "Each loss was given 5 trials x 2 seeds",
        "3 of the people who are tested took part.",
        "Twin: margin = 9.99 lies at an end",
        "one of &#34;all&#34;, &#34;halves&#34; (suggested)",
        "twin: 1 of 5 trials of the search failed or diverged: step 7: the loss is &lt;nan&gt;",
        "defaults kept",
        "twin: with the settings of the search; --settings shows the defaults, too.",
    ):
        assert part in text, part
    assert text.count("3 of the people who are tested took part") == 1, "it is said once"


def test_a_page_of_a_run_without_a_search_has_no_such_section(study):
    assert section(study) is None
    assert 'id="search"' not in page(study, EnvironmentRecord(), {}, {})


def test_plotly_takes_every_chart(search):
    for chart in charts(search):
        for figure in (chart["sensitivity"], chart["parallel"], chart["importances"]):
            if figure is not None:
                go.Figure(figure)


def test_there_is_a_chart_for_each_setting_with_a_dot_for_each_trial_that_has_a_score(twin):
    figure = sensitivity(twin)
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert figure["layout"]["xaxis2"]["type"] == "category"
    margin = [trace for trace in figure["data"] if trace["xaxis"] == "x"]
    assert [trace["name"] for trace in margin] == ["trial", "default", "chosen"]
    dots = margin[0]
    assert sorted(zip(dots["x"], dots["y"], strict=True)) == [(0.11, 0.7), (0.5, 0.92), (1.0, 0.9), (9.99, 0.95)]
    pruned = dots["x"].index(0.11)
    assert dots["marker"]["symbol"][pruned] != dots["marker"]["symbol"][dots["x"].index(1.0)]
    assert margin[1]["x"] == [1.0]
    assert margin[2]["x"] == [9.99]


def test_parallel_coordinates_have_a_line_for_each_trial_from_low_to_high(twin):
    figure = parallel(twin)
    assert figure["layout"]["xaxis"]["ticktext"] == ["margin", "pairs", "score"]
    lines = {line["y"][0]: line["y"] for line in figure["data"]}
    # By orders of magnitude, 0.11 is at the bottom and 9.99 on top; so are the worst score and the best.
    assert lines[0.0] == [0.0, 1.0, 0.0]
    assert lines[1.0] == [1.0, 1.0, 1.0]
    assert len(figure["data"]) == 4


def test_with_one_setting_the_dots_say_all(search):
    weak = search.losses[1]
    assert parallel(weak) is None
    assert importances(weak) is None
    assert sensitivity(weak)["layout"]["xaxis"]["type"] == "linear"


def test_the_setting_that_matters_most_has_the_bar_on_top(twin):
    (bars,) = importances(twin)["data"]
    assert (bars["x"], bars["y"]) == ([25.0, 75.0], ["pairs", "margin"])


def test_a_loss_of_which_nothing_ended_well_has_no_charts(twin):
    failed = tuple(trial.model_copy(update={"state": "failed", "score": None}) for trial in twin.trials)
    nothing = twin.model_copy(update={"trials": failed, "best": {}, "score": None, "importances": {}})
    assert sensitivity(nothing) is None
    assert parallel(nothing) is None


def test_names_and_values_are_no_markup(twin):
    bad = "<b>"
    renamed = twin.model_copy(
        update={
            "ranges": {bad: "0 to 1", "pairs": "x"},
            "logarithmic": (),
            "trials": tuple(
                trial.model_copy(update={"values": {bad: "<i>", "pairs": trial.number}}) for trial in twin.trials
            ),
        }
    )
    assert bad not in str(sensitivity(renamed)).replace("<br>", "")
    assert bad not in str(parallel(renamed)).replace("<br>", "")
