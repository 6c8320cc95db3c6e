"""The page of a run: what it says, that it harms nobody and loads nothing from elsewhere."""

from __future__ import annotations

import base64
import itertools
import re

import pytest

from faceexp.evaluation.catalogue import COLUMNS, METRICS
from faceexp.experiment.published import Published, PublishedResult
from faceexp.report.columns import rows_of
from faceexp.report.glossary import TERMS, glossary
from faceexp.report.page.html import page
from faceexp.results.collect import _published
from faceexp.results.schema import EnvironmentRecord

PHASE_1 = "phase-1 embedding"
SEEDS = range(4)

# The page as a file


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(text, read, without_plotly):
    assert text.startswith("<!doctype html>")
    reader = read(text)
    tags = {tag for tag, _ in reader.tags}
    assert {"html", "head", "title", "body", "main", "nav", "h1"} <= tags
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & tags
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    for name in ("src", "action", "srcset", "background", "style"):
        assert reader.attributes(name) == []
    assert 10_000 < len(without_plotly(text)) < len(text) / 2
    for part in ("http:", "https:", "//cdn", "url(", "@import"):
        assert part not in without_plotly(text)


def test_the_policy_of_the_page_forbids_to_load_anything(text, read):
    (policy,) = [a["content"] for tag, a in read(text).tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "data:"
    assert set(rules.values()) <= {"'none'", "'unsafe-inline'"}
    assert text.index("Content-Security-Policy") < text.index("<style")


def test_every_place_that_is_named_exists_once(text, read):
    reader = read(text)
    names = reader.attributes("id")
    assert sorted(names) == sorted(set(names))
    links = [link for link in reader.attributes("href") if link != "#finding"]
    assert {link.removeprefix("#") for link in links} <= set(names)
    assert {"#leaderboard", "#verdicts", "#curves", "#loss", "#comparisons", "#budgets", "#glossary"} <= set(links)
    assert set(reader.attributes("aria-labelledby")) <= set(names)


def test_what_scrolls_can_be_reached_by_keyboard(text, read):
    reader = read(text)
    regions = [a for tag, a in reader.tags if "scroll" in (a.get("class") or "").split()]
    assert len(regions) == text.count("<table") > 2
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-labelledby"] for a in regions)
    assert [a for tag, a in reader.tags if a.get("tabindex") not in (None, "0", "-1")] == []


def test_what_people_write_is_text_on_the_page(text, read, data_of, bad_label):
    reader = read(text)
    assert len(re.findall(r"<script", text)) == text.count("</script>") == 4
    # A tag of its own would have been among the tags, and no text.
    assert reader.words.count(bad_label.strip()) > 5
    for words in ("<no luck>", "<somewhere>", "A <fast> one", "What <is> it for?", "Paired <t> tests."):
        assert words in reader.words
    data = data_of(text)
    assert bad_label in data["labels"]
    raw = text[text.index('id="data">') + 10 : text.index("</script>", text.index('id="data">'))]
    assert not set("<>&'\u2028\u2029") & set(raw)


def test_each_picture_is_in_the_page_once(text, pictures, data_of):
    for png in pictures.values():
        assert text.count(base64.b64encode(png).decode()) == 1
    pairs = [pair for row in data_of(text)["chosen"] for group in row.get("hardest", []) for pair in group["pairs"]]
    assert len(pairs) > len({image for pair in pairs for image in pair["images"]}) > 1


# What it says


def test_the_finding_comes_first(text, read, bad_label):
    words = read(text).words
    assert words.index("is better than") < words.index("Leaderboard all 10 metrics")
    assert words.index("Leaderboard all 10 metrics") < words.index("Verdict matrix Is the row")
    assert f"{bad_label.strip()} is better than {PHASE_1} and weak" in words
    assert f"twin is better than {PHASE_1} and weak" in words
    assert "in accuracy at 5 %. No other two of the 5 rows can be told apart." in words
    assert "Every row had 4 trials (seeds and folds), trained on 5 people (30 to 33 images)" in words
    assert "tested on 4 people (24 images): 276 pairs, of which 60 similar, in each trial" in words


def test_warnings_are_seen_as_warnings(study, environment, changed, read):
    text = page(changed(study, protocol="closed_set", notes=["closed set: so it is"]), environment, {}, {})
    start = text.index("<header")
    alarms = re.findall(r'class="alarm"><b>Warning.</b> (.*?)</p>', text[start : text.index("</header>")])
    assert alarms[0].startswith("Closed set: the people of the test were seen in training")
    assert alarms[1] == "Unequal budgets, steps of phase 2: weak 300; the others 200."
    assert alarms[2].startswith("4 trials of 20 did not end well")
    assert alarms[3] == "weak does not beat the phase-1 embedding in accuracy."
    assert "so it is" not in text
    assert "Closed set" not in read(page(study, environment, {}, {})).words


def test_many_losses_below_phase_1_are_folded_away(study, environment, made_trial, judged, read):
    poor = [made_trial(f"poor {i}", seed, 0.6) for i in range(4) for seed in SEEDS]
    text = page(judged(study, [*study.trials, *poor]), environment, {}, {})
    assert "5 losses do not beat the phase-1 embedding" in read(text).words
    assert "poor 3 does not beat" in text[text.index("<details><summary>Which ones") :]


def test_the_leaderboard_has_every_metric_that_a_run_has(study, text, read, changed):
    board = read(text).tables[0]
    present = [metric.heading for metric in COLUMNS]
    assert len(present) == 10
    assert [name.split(",")[0] for name in board[0][:3]] == ["loss or baseline", "letters", "ok"]
    assert board[0][3:] == present
    assert [row[0] for row in board[1:]] == [row.label for row in rows_of(study)]
    low, high = next(row.ci95 for row in study.summary if row.label == board[1][0] and row.metric == "accuracy")
    assert board[1][3] == f"*91.0 {100 * low:.1f}–{100 * high:.1f}"
    assert sum("*" in cell for row in board for cell in row) == 2, "in no other metric than accuracy and EER"
    assert [row[1] for row in board[1:]] == ["a", "a", "b", "b", ""]
    assert board[-1][2:4] == ["0/4", "-"]
    fewer = [summary for summary in study.summary if summary.metric != "rank_1"]
    closed = read(page(changed(study, summary=fewer), EnvironmentRecord(), {}, {})).tables[0]
    assert "rank-1 %" in board[0]
    assert closed[0][3:] == [heading for heading in present if heading != "rank-1 %"]


def test_headings_that_sort_are_buttons_and_say_how(text, read):
    reader = read(text)
    headings = [a for tag, a in reader.tags if tag == "th" and "aria-sort" in a]
    assert len(headings) > len(COLUMNS)
    assert [a["aria-sort"] for a in headings].count("descending") == 1  # the leaderboard, by accuracy
    firsts = [a["data-first"] for a in headings[2 : 2 + len(COLUMNS)]]
    assert firsts == ["descending" if metric.higher_is_better else "ascending" for metric in COLUMNS]
    assert text.count('<button type="button">') == len(headings)


def test_the_matrix_says_of_each_two_rows_what_the_statistics_say(study, text, read):
    matrix = read(text).tables[1]
    order = [re.sub(r"^\d+", "", row[0]) for row in matrix[1:]]
    assert order == [row.label for row in rows_of(study)]
    assert matrix[0][1:] == [str(number + 1) for number in range(5)]
    said = {(pair.a, pair.b): pair for pair in study.comparisons if pair.metric == "accuracy"}
    marks = set()
    for (row, a), (column, b) in itertools.product(enumerate(order), repeat=2):
        mark = matrix[1 + row][1 + column]
        pair = said.get((a, b)) or said.get((b, a))
        if a == b:
            assert mark == ""
        elif pair.p_corrected is None:
            assert mark == "·"
        elif pair.verdict == "indistinguishable":
            assert mark == "="
        else:
            winner = pair.a if pair.verdict == "a>b" else pair.b
            assert mark == (">" if winner == a else "<")
        marks.add(mark)
    assert marks == {"", "·", "=", ">", "<"}


def test_every_comparison_has_its_numbers(study, text, data_of, read):
    table = next(table for table in read(text).tables if table[0][0] == "a")
    accuracy = [pair for pair in study.comparisons if pair.metric == "accuracy"]
    assert len(table) == 1 + len(accuracy) == 11
    (row,) = [line for line in table if line[:2] == ["twin", "weak"]]
    (pair,) = [pair for pair in accuracy if (pair.a, pair.b) == ("twin", "weak")]
    assert row[2] == "+19.8"
    assert row[3] == f"+{100 * pair.ci95[0]:.1f} to +{100 * pair.ci95[1]:.1f}"
    assert row[4] == ("< 0.001" if pair.p_corrected < 0.001 else f"{pair.p_corrected:.3f}")
    assert row[5] == f"+{pair.effect_size:.2f}"
    assert row[6] == f"{100 * pair.minimum_detectable_difference:.1f}"
    assert row[7] == "a is better"
    (untested,) = [line for line in table if line[:2] == ["twin", "dead"]]
    assert untested[2:] == ["\N{EN DASH}"] * 5 + ["no test"]
    # The others are there for the scripts, in the direction and the unit of each metric.
    data = data_of(text)
    assert set(data["compared"]) == {metric.key for metric in COLUMNS}
    places = [data["labels"].index(label) for label in ("twin", "weak")]
    (eer,) = [line for line in data["compared"]["eer"] if line[:2] == places]
    assert eer[2] == "\N{MINUS SIGN}19.8"
    assert eer[7] == 1  # fewer errors are better


def test_budgets_unlike_the_others_are_marked(text):
    section = text[text.index('<h2 id="budgets">') : text.index('<h2 id="failures">')]
    assert re.findall(r'class="unusual">(.*?)<', section) == ["300"]  # four per cent more weights are no other budget
    assert "Unequal budgets, steps of phase 2" in section
    assert "5,200" in section


def test_published_results_stand_beside_those_of_the_run(study, environment, read, changed, without_plotly):
    results = tuple(PublishedResult(label=label, right=right) for label, right in (("twin", 114), ("elsewhere", 110)))
    published = Published(source="A <notebook>", pairs=134, results=results)
    text = page(changed(study, published=_published(published)), environment, {}, {})
    section = without_plotly(text)[without_plotly(text).index('<h2 id="published">') :]
    reader = read(section[: section.index("</section>")])
    assert "A <notebook>; 134 test pairs" in reader.words
    assert "The two published losses cannot be told apart at 5 % by McNemar's exact test, not even if" in reader.words
    twin, elsewhere = reader.tables[0][1:]
    assert twin[:3] == ["twin", "114", "85.1"]
    low, high = next(row.ci95 for row in study.summary if row.label == "twin" and row.metric == "accuracy")
    assert twin[5] == f"90.9 {100 * low:.1f}–{100 * high:.1f}"
    assert elsewhere[5:] == ["-", "-"]
    assert reader.tables[1][1][-1] == "not told apart"
    far = [("twin", 130), ("elsewhere", 60), ("near", 61)]
    published = Published(source="x", pairs=134, results=tuple(PublishedResult(label=a, right=b) for a, b in far))
    words = read(page(changed(study, published=_published(published)), environment, {}, {})).words
    assert (
        "Of the 3 pairs of published losses: 2 told apart even if errors are unrelated; "
        "1 not told apart even in the best case (5 %, after Holm)."
    ) in words
    assert "Published results" not in read(page(study, environment, {}, {})).words


def test_failures_and_environment_are_there(study, environment, text, read, without):
    words = read(text).words
    assert words.count("(seed 2, fold 0) diverged: <no luck> at step 7") == 1
    assert "numpy 2.0, keras 3.15" in words
    assert "loss other: faceexp-loss-other 0.1" in words
    well = read(page(without(study, "dead"), EnvironmentRecord(), {}, {})).words
    assert "did not end well" not in well
    assert "Not recorded." in well


def test_every_term_is_explained(text, read):
    words = read(text).words
    terms = dict(glossary())
    assert {metric.heading for metric in METRICS} | set(TERMS) == set(terms)
    for term, meaning in terms.items():
        assert f"{term} {meaning}" in words


def test_the_words_of_other_fields_are_explained_beside_ours():
    terms = dict(glossary())
    for ours, theirs in (
        ("similar pair", ("genuine pair", "positive pair")),
        ("different pair", ("impostor pair", "negative pair")),
        ("FAR, false accept rate", ("FMR, false match rate",)),
        ("FRR, false reject rate", ("FNMR, false non-match rate",)),
    ):
        assert [word for word in theirs if word not in terms[ours]] == []
    # Whoever looks for a word of theirs finds ours.
    assert "similar pair and a different pair" in terms["genuine pair, impostor pair"]
    assert "FAR and FRR" in terms["FMR, FNMR"]
    assert "a similar and a different pair" in terms["positive, negative"]


def test_one_seed_claims_no_interval_and_no_difference(study, environment, judged, read):
    single = judged(study, [trial for trial in study.trials if trial.seed == 0])
    words = read(page(single, environment, {}, {})).words
    assert not re.search(r"\d–\d", words)
    assert "One seed and fold" in words


def test_a_run_of_failures_alone_has_a_page(study, environment, changed, read, without, accuracies):
    words = read(page(without(study, *accuracies), environment, {}, {})).words
    assert "Nothing can be told apart" in words
    assert "0/4" in words
    bare = changed(without(study, *accuracies), summary=[], comparisons=[])
    words = read(page(bare, EnvironmentRecord(), {}, {})).words
    assert "0/4" in words


def test_a_matrix_without_any_difference_is_folded(study, text, environment, changed):
    assert "<details open><summary>The matrix</summary>" in text
    alike = [pair.model_copy(update={"verdict": "indistinguishable"}) for pair in study.comparisons]
    assert "<details><summary>No two rows are shown to differ in accuracy: the matrix</summary>" in page(
        changed(study, comparisons=alike), environment, {}, {}
    )


def test_nothing_scrolls_inside_the_page_but_sideways(text):
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"max-height|overflow(-y)?: *(auto|scroll)", style)


# The questions that the experiment file asks


def claimed(label, verdict, difference, interval):
    return {
        "label": label,
        "reference": PHASE_1,
        "difference": difference,
        "interval": interval,
        "p_corrected": None if interval is None else 0.0312,
        "verdict": verdict,
        "trials": 4,
    }


def placed(label, difference, interval, may_be_best):
    return {"label": label, "difference": difference, "interval": interval, "may_be_best": may_be_best}


@pytest.fixture
def answered(study, changed, bad_label):
    """The study as a run of today's version: three losses are judged, one of which failed."""
    verdict = {
        "metric": "accuracy",
        "questions": ["helps", "best"],
        "equivalence": 0.07,
        "guessing": [claimed(bad_label, "better", 0.2, (0.1, 0.3))],
        "helps": [
            claimed(bad_label, "better", 0.191, (0.15, 0.23)),
            claimed("weak", "undecided", -0.004, (-0.1, 0.09)),
            claimed("dead", "undecided", None, None),
        ],
        "best": [
            placed(bad_label, 0.2, (0.0, 0.25), True),
            placed("weak", -0.2, (-0.25, -0.15), False),
            placed("dead", None, None, True),
        ],
    }
    return changed(study, verdict=verdict)


def test_the_questions_have_a_table_and_a_chart(answered, environment, read, data_of, without_plotly, bad_label):
    text = page(answered, environment, {}, {})
    reader = read(text)
    words = reader.words
    assert (
        words.index(f"1 of 2 losses helps (better than the {PHASE_1})")
        < words.index("Leaderboard all 10 metrics")
        < words.index("Which losses help?")
        < words.index("The experiment file declared before the run")
    )
    assert "Within 7 points a difference is practically none." in words  # 0.07 x 100 is not 7 in binary
    (table,) = [table for table in reader.tables if table[0][0] == "loss" and "helps by" in table[0]]
    assert table[1:] == [
        [
            bad_label,
            "+19.1",
            "+15.0 to +23.0",
            "0.031",
            "helps",
            "+20.0",
            "+0.0 to +25.0",
            "may be",
        ],
        ["weak", "−0.4", "−10.0 to +9.0", "0.031", "undecided", "−20.0", "−25.0 to −15.0", "no"],
        ["dead", "–", "–", "–", "undecided", "–", "–", "?"],
    ]
    figure = data_of(text)["helps"]
    drawn = [(trace["name"], *trace["x"]) for trace in figure["data"] if trace["x"]]
    assert drawn == [("better", 19.1), ("undecided", -0.4)]
    band = figure["layout"]["shapes"][0]
    assert (band["x0"], band["x1"]) == (pytest.approx(-7), pytest.approx(7))
    assert {trace["hovertemplate"] for trace in figure["data"]} == {"%{text}<br>%{x:.1f}<extra></extra>"}
    names = reader.attributes("id")
    assert {"questions", "helps"} <= set(names)
    assert sorted(names) == sorted(set(names))


def test_the_chart_has_as_many_digits_as_its_metric(answered, environment, changed, data_of):
    verdict = answered.to_jsonable()["verdict"] | {"metric": "auc"}
    figure = data_of(page(changed(answered, verdict=verdict), environment, {}, {}))["helps"]
    assert {trace["hovertemplate"] for trace in figure["data"]} == {"%{text}<br>%{x:.3f}<extra></extra>"}
    assert [trace["x"] for trace in figure["data"] if trace["x"]] == [[0.191], [-0.004]]


def test_a_run_of_an_older_version_has_no_questions(text, read, data_of):
    reader = read(text)
    assert "questions" not in reader.attributes("id")
    assert data_of(text)["helps"] is None


def test_where_nothing_could_be_tested_there_is_a_table_and_no_chart(answered, environment, changed, read, data_of):
    untested = [claimed(label, "undecided", 0.1, None) for label in ("weak", "twin")]
    verdict = answered.to_jsonable()["verdict"] | {"helps": untested, "best": []}
    text = page(changed(answered, verdict=verdict), environment, {}, {})
    assert data_of(text)["helps"] is None
    assert "questions" in read(text).attributes("id")
    assert 'id="helps"' not in text


def test_on_a_narrow_screen_the_verdict_takes_the_place_of_letters(answered, study, environment):
    def folded(run):
        return re.findall(r'<th[^>]*class="([^"]*folded[^"]*)"', page(run, environment, {}, {}))

    letters = "text letters folded-if-narrow"
    assert folded(answered).count(letters) == 1
    assert folded(study).count(letters) == 0
    assert folded(study) == [each for each in folded(answered) if each != letters]
