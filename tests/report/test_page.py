"""The page of a run: what it says, that it harms nobody and asks nobody, and that a browser shows it."""

from __future__ import annotations

import base64
import html.parser
import itertools
import json
import re
import shutil
import subprocess
import types

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs
from scipy.stats import norm

from faceexp.evaluation.diagnostics import projection
from faceexp.evaluation.metrics import HIGHER_IS_BETTER, examine
from faceexp.experiment.schema import Published
from faceexp.report import findings
from faceexp.report.columns import COLUMNS, rows
from faceexp.report.glossary import TERMS, glossary
from faceexp.report.page import figures_of_rows, figures_of_trials
from faceexp.report.page.html import page
from faceexp.results.collect import _published
from faceexp.results.jsonable import to_jsonable
from faceexp.statistics import comparisons as statistics

BAD = "</script><b>&'quoted'\u2028"  # closes a script, opens a tag, ends a line of JavaScript
PHASE_1 = "phase-1 embedding"
SEEDS = range(4)
# Accuracy by seed: two losses clearly better than the others, one of them and a baseline alike, one that fails.
ACCURACY = {
    BAD: (0.90, 0.91, 0.92, 0.91),
    "twin": (0.91, 0.90, 0.92, 0.905),
    "weak": (0.70, 0.712, 0.719, 0.711),
    PHASE_1: (0.72, 0.70, 0.71, 0.725),
}
# The smallest picture: one grey pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6368000000820081774cd5f60000000049454e44ae426082"
)


def made_trial(label, seed, accuracy):
    kind = "baseline" if label == PHASE_1 else "loss"
    metrics = dict.fromkeys(HIGHER_IS_BETTER, 0.5 + seed / 100) | {"accuracy": accuracy, "eer": 1 - accuracy}
    return {
        "id": f"{label}-{seed}",
        "loss": label,
        "label": label,
        "kind": kind,
        "seed": seed,
        "fold": 0,
        "status": "ok",
        "reason": None,
        "metrics": metrics,
        "threshold": 1.0,
        "distance": "euclidean",
        "best_step": 20,
        "curve": [] if kind == "baseline" else [{"step": s, "loss": 1 / s, "validation": 0.9} for s in (10, 20)],
    }


def failed_trial(seed):
    empty = {"status": "diverged", "reason": "<no luck> at step 7", "metrics": {}, "threshold": None, "curve": []}
    return made_trial("dead", seed, 0) | empty


def judged(trials):
    """Return summary and comparisons of trials, by the statistics that a run uses."""
    results = [types.SimpleNamespace(**trial) for trial in trials]
    return {
        "trials": trials,
        "summary": [to_jsonable(item) for item in statistics.summarise(results, HIGHER_IS_BETTER)],
        "comparisons": [to_jsonable(item) for item in statistics.compare(results, HIGHER_IS_BETTER)],
    }


@pytest.fixture(scope="module")
def document():
    """Four rows on four seeds, and a loss that fails on all."""
    trials = [made_trial(label, seed, values[seed]) for label, values in ACCURACY.items() for seed in SEEDS]
    part = {"images": 24, "people": 4, "pairs": 276, "similar": 60}
    budget = {"pretrain_images": 1000, "steps": 200, "images": 12800, "trainable_parameters": 5000, "settings_tried": 1}
    return judged(trials + [failed_trial(seed) for seed in SEEDS]) | {
        "schema": 1,
        "name": "study",
        "description": "What <is> it for?",
        "protocol": "open_set",
        "notes": ["12 people, 72 images; <somewhere>"],
        "warnings": ["unequal budgets, steps of phase 2: weak 300; the others 200"],
        "method": "Paired <t> tests.",
        "test_train_ratio": 0.25,
        "parts": [
            {"seed": seed, "fold": 0, "train": {"images": 30 + seed, "people": 5}, "validation": part, "test": part}
            for seed in SEEDS
        ],
        "budgets": [
            {"label": label, "loss": label} | budget | more
            for label, more in ((BAD, {"trainable_parameters": 5200}), ("twin", {}), ("weak", {"steps": 300}))
        ],
        "published": None,
    }


@pytest.fixture(scope="module")
def environment():
    return {
        "python": "3.11.7",
        "platform": "Linux",
        "processor": "A <fast> one",
        "cores": 2,
        "plugins": [{"kind": "loss", "name": "other", "distribution": "faceexp-loss-other", "version": "0.1"}],
        "packages": {"numpy": "2.0", "keras": "3.15"},
    }


def made_evidence(seed):
    """Return the evidence of a trial on 24 images of four people, as a run writes it."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 6)
    embeddings = random.normal(size=(4, 8))[labels] * 0.5 + random.normal(size=(24, 8)) * 0.4
    found = to_jsonable(examine(embeddings, labels, 1.5, "euclidean").evidence)
    names = [f"person {label}" + (BAD if label == 0 else "") for label in labels]
    for pair in found["hardest"]:
        images = [pair.pop("first"), pair.pop("second")]
        pair |= {"images": images, "identities": [names[image] for image in images]}
    drawn = projection(embeddings, "euclidean")
    return found | {"map": {"x": drawn.x, "y": drawn.y, "identity": names, "explained": drawn.explained}}


@pytest.fixture(scope="module")
def trials(document):
    found = {}
    for trial in document["trials"]:
        evidence = made_evidence(trial["seed"]) if trial["status"] == "ok" else None
        if evidence and trial["seed"]:
            del evidence["map"]
        found[trial["id"]] = trial | {"evidence": evidence}
    return found


@pytest.fixture(scope="module")
def pictures():
    # Images differ, so that each one's data are found by looking for them.
    return {image: PNG + bytes([image]) for image in range(24)}


@pytest.fixture(scope="module")
def text(document, environment, trials, pictures):
    return page(document, environment, trials, pictures)


PLOTLY = get_plotlyjs()


# Reading a page -----------------------------------------------------------------------------------------------------------


class Reader(html.parser.HTMLParser):
    """Follows tags as a browser would, and complains where a browser would repair."""

    VOID = ("meta", "link", "br", "img", "hr", "input")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts, self.scripts, self.tables = [], [], [], [], []
        self.sections = {}

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.texts.append(data)
            if {"td", "th"} & set(self.open):
                self.tables[-1][-1][-1] += data

    @property
    def words(self):
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def own(text):
    """Return a page without Plotly's code: it is long, and knows addresses that no figure here makes it ask."""
    assert text.count(PLOTLY) == 1
    return text.replace(PLOTLY, "")


def read(text):
    reader = Reader()
    reader.feed(text.replace(PLOTLY, ""))
    reader.close()
    assert reader.open == []
    return reader


def data_of(text):
    """Return what the scripts of a page read."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def without(document, *labels):
    """Return a run as it is without some rows."""
    return document | judged([trial for trial in document["trials"] if trial["label"] not in labels])


# The page as a file ---------------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_asks_nobody_for_anything(text):
    assert text.startswith("<!doctype html>")
    found = read(text)
    tags = {tag for tag, _ in found.tags}
    assert {"html", "head", "title", "body", "main", "nav", "h1"} <= tags
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & tags
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    for name in ("src", "action", "srcset", "background", "style"):
        assert found.attributes(name) == []
    assert 10_000 < len(own(text)) < len(text) / 2
    for part in ("http:", "https:", "//cdn", "url(", "@import"):
        assert part not in own(text)


def test_the_policy_of_the_page_forbids_to_ask(text):
    (policy,) = [a["content"] for tag, a in read(text).tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "data:"
    assert set(rules.values()) <= {"'none'", "'unsafe-inline'"}
    assert text.index("Content-Security-Policy") < text.index("<style")


def test_every_place_that_is_named_exists_once(text):
    found = read(text)
    names = found.attributes("id")
    assert sorted(names) == sorted(set(names))
    links = [link for link in found.attributes("href") if link != "#finding"]
    assert {link.removeprefix("#") for link in links} <= set(names)
    assert {"#leaderboard", "#verdicts", "#curves", "#loss", "#comparisons", "#budgets", "#glossary"} <= set(links)
    assert set(found.attributes("aria-labelledby")) <= set(names)


def test_what_scrolls_can_be_reached_by_keyboard(text):
    found = read(text)
    regions = [a for tag, a in found.tags if "scroll" in (a.get("class") or "").split()]
    assert len(regions) == text.count("<table") > 2
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-labelledby"] for a in regions)
    assert [a for tag, a in found.tags if a.get("tabindex") not in (None, "0", "-1")] == []


def test_what_people_write_is_text_on_the_page(text):
    found = read(text)
    assert len(re.findall(r"<script", text)) == text.count("</script>") == 4
    # A tag of its own would have been among the tags, and no text.
    assert found.words.count(BAD.strip()) > 5
    for words in ("<no luck>", "<somewhere>", "A <fast> one", "What <is> it for?", "Paired <t> tests."):
        assert words in found.words
    data = data_of(text)
    assert BAD in data["labels"]
    raw = text[text.index('id="data">') + 10 : text.index("</script>", text.index('id="data">'))]
    assert not set("<>&'\u2028\u2029") & set(raw)


def test_each_picture_is_in_the_page_once(text, pictures):
    for png in pictures.values():
        assert text.count(base64.b64encode(png).decode()) == 1
    shown = [p for row in data_of(text)["chosen"] for group in row.get("hardest", []) for p in group["shown"]]
    assert len(shown) > len({image for pair in shown for image in pair["images"]}) > 1


# What it says -----------------------------------------------------------------------------------------------------------------


def test_the_finding_comes_first(text):
    words = read(text).words
    assert words.index("is better than") < words.index("Leaderboard loss or baseline")
    assert f"{BAD.strip()} is better than {PHASE_1} and weak" in words
    assert f"twin is better than {PHASE_1} and weak" in words
    assert "in accuracy at 5 %. No other two of the 5 rows can be told apart." in words
    assert "Every row had 4 trials (seeds and folds), trained on 5 people (30 to 33 images)" in words
    assert "tested on 4 people (24 images): 276 pairs, of which 60 similar, in each trial" in words


def test_no_difference_is_said_to_be_none_shown(document):
    alike = without(document, PHASE_1, "weak", "dead")
    assert findings.verdict(alike) == "No two of the 2 rows can be told apart in accuracy at 5 %."
    assert findings.among_losses(alike) == "Among the 2 losses alone, without the baselines, no two can be told apart."
    (comparison,) = [c for c in alike["comparisons"] if c["metric"] == "accuracy"]
    size = f"{comparison['minimum_detectable_difference'] * 100:.1f} points"
    assert findings.sensitivity(alike).count(size) == 2  # of one pair, smallest and median
    assert "no difference was shown, not that there is none" in findings.sensitivity(alike)


def test_the_smallest_detectable_difference_is_that_between_losses(document):
    losses = set(ACCURACY) - {PHASE_1}
    sizes = [
        c["minimum_detectable_difference"] * 100
        for c in document["comparisons"]
        if c["metric"] == "accuracy" and {c["a"], c["b"]} <= losses
    ]
    assert f"{min(sizes):.1f} points for the one with the least spread" in findings.sensitivity(document)
    assert f"{np.median(sizes):.1f} points for the median pair" in findings.sensitivity(document)


def test_one_seed_tells_nothing_apart(document, environment):
    single = document | judged([trial for trial in document["trials"] if trial["seed"] == 0])
    assert findings.verdict(single).startswith("Nothing can be told apart in accuracy at 5 %: with one seed and fold")
    assert findings.sensitivity(single) is findings.among_losses(single) is None
    words = read(page(single, environment, {}, {})).words
    assert "±" not in words
    assert "One seed and fold" in words


def test_rows_without_common_trials_are_not_judged(document):
    apart = [made_trial("early", 0, 0.8), made_trial("late", 1, 0.9)]
    text = findings.verdict(document | judged(apart))
    assert text == "Nothing can be told apart in accuracy at 5 %: no two rows have enough trials in common."


def test_many_differences_are_counted(document):
    # Ten losses a tenth apart, each with a little spread of its own.
    random = np.random.default_rng(3)
    many = [
        made_trial(f"loss {i:02}", seed, 0.9 - i / 20 + e)
        for i in range(10)
        for seed, e in zip(SEEDS, random.normal(0, 0.002, 4), strict=True)
    ]
    crowd = document | judged(many)
    real = sum(c["verdict"] != "indistinguishable" for c in crowd["comparisons"] if c["metric"] == "accuracy")
    assert real > findings.TOLD
    text = findings.verdict(crowd)
    assert text.startswith(f"{real} of the 45 pairs of rows differ in accuracy at 5 %.")
    assert text.endswith("The loss with the best mean, loss 00, is better than 9 losses.")
    wild = [made_trial("wild", seed, value) for seed, value in zip(SEEDS, (0.5, 1.4, 0.6, 1.5), strict=True)]
    text = findings.verdict(document | judged(many + wild))
    assert text.endswith("wild, is better than no other row; it cannot be told apart from 10 losses.")


def test_warnings_are_seen_as_warnings(document, environment):
    text = page(document | {"protocol": "closed_set", "notes": ["closed set: so it is"]}, environment, {}, {})
    start = text.index("<header")
    alarms = re.findall(r'class="alarm"><b>Warning.</b> (.*?)</p>', text[start : text.index("</header>")])
    assert alarms[0].startswith("Closed set: the people of the test were seen in training")
    assert alarms[1] == "Unequal budgets, steps of phase 2: weak 300; the others 200."
    assert alarms[2].startswith("4 trials of 20 did not end well")
    assert alarms[3] == "weak does not beat the phase-1 embedding in accuracy."
    assert "so it is" not in text
    assert "Closed set" not in read(page(document, environment, {}, {})).words


def test_many_losses_below_phase_1_are_folded_away(document, environment):
    poor = [made_trial(f"poor {i}", seed, 0.6) for i in range(4) for seed in SEEDS]
    text = page(document | judged([*document["trials"], *poor]), environment, {}, {})
    assert "5 losses do not beat the phase-1 embedding" in read(text).words
    assert "poor 3 does not beat" in text[text.index("<details><summary>Which ones") :]


def test_the_leaderboard_has_every_metric_that_a_run_has(document, text):
    board = read(text).tables[0]
    present = [column.heading for column in COLUMNS if column.metric in HIGHER_IS_BETTER]
    assert board[0][2:-1] == present
    assert [row[0] for row in board[1:]] == [row.label for row in rows(document)]
    assert board[1][2] == "*91.0 ±1.3"
    assert [row[-1] for row in board[1:]] == ["a", "a", "b", "b", ""]
    assert board[-1][1:3] == ["0/4", "-"]
    fewer = [item for item in document["summary"] if item["metric"] != "rank_1"]
    closed = read(page(document | {"summary": fewer}, {}, {}, {})).tables[0]
    assert "rank-1 %" in board[0]
    assert closed[0][2:-1] == [heading for heading in present if heading != "rank-1 %"]


def test_headings_that_sort_are_buttons_and_say_how(text):
    found = read(text)
    headings = [a for tag, a in found.tags if tag == "th" and "aria-sort" in a]
    assert len(headings) > len(COLUMNS)
    assert [a["aria-sort"] for a in headings].count("descending") == 1  # the leaderboard, by accuracy
    firsts = [a["data-first"] for a in headings[2 : 2 + len(COLUMNS)]]
    assert firsts == ["descending" if column.higher else "ascending" for column in COLUMNS]
    assert text.count('<button type="button">') == len(headings)


def test_the_matrix_says_of_each_two_rows_what_the_statistics_say(document, text):
    matrix = read(text).tables[1]
    order = [re.sub(r"^\d+", "", row[0]) for row in matrix[1:]]
    assert order == [row.label for row in rows(document)]
    assert matrix[0][1:] == [str(number + 1) for number in range(5)]
    said = {(c["a"], c["b"]): c for c in document["comparisons"] if c["metric"] == "accuracy"}
    marks = set()
    for (row, a), (column, b) in itertools.product(enumerate(order), repeat=2):
        mark = matrix[1 + row][1 + column]
        comparison = said.get((a, b)) or said.get((b, a))
        if a == b:
            assert mark == ""
        elif comparison["p_corrected"] is None:
            assert mark == "·"
        elif comparison["verdict"] == "indistinguishable":
            assert mark == "="
        else:
            winner = comparison["a"] if comparison["verdict"] == "a>b" else comparison["b"]
            assert mark == (">" if winner == a else "<")
        marks.add(mark)
    assert marks == {"", "·", "=", ">", "<"}


def test_every_comparison_has_its_numbers(document, text):
    table = next(table for table in read(text).tables if table[0][0] == "a")
    accuracy = [c for c in document["comparisons"] if c["metric"] == "accuracy"]
    assert len(table) == 1 + len(accuracy) == 11
    (row,) = [line for line in table if line[:2] == ["twin", "weak"]]
    (c,) = [c for c in accuracy if (c["a"], c["b"]) == ("twin", "weak")]
    assert row[2] == "+19.8"
    assert row[3] == f"+{100 * c['ci95'][0]:.1f} to +{100 * c['ci95'][1]:.1f}"
    assert row[4] == ("< 0.001" if c["p_corrected"] < 0.001 else f"{c['p_corrected']:.3f}")
    assert row[5] == f"+{c['effect_size']:.2f}"
    assert row[6] == f"{100 * c['minimum_detectable_difference']:.1f}"
    assert row[7] == "a is better"
    (untested,) = [line for line in table if line[:2] == ["twin", "dead"]]
    assert untested[2:] == ["\N{EN DASH}"] * 5 + ["no test"]
    # The others are there for the scripts, in the direction and the unit of each metric.
    data = data_of(text)
    assert set(data["compared"]) == {column.metric for column in COLUMNS}
    places = [data["labels"].index(label) for label in ("twin", "weak")]
    (eer,) = [line for line in data["compared"]["eer"] if line[:2] == places]
    assert eer[2] == "\N{MINUS SIGN}19.8"
    assert eer[7] == 1  # fewer errors are better


def test_budgets_unlike_the_others_are_marked(text):
    section = text[text.index('<h2 id="budgets">') : text.index('<h2 id="failures">')]
    assert re.findall(r'class="unusual">(.*?)<', section) == ["300"]  # four per cent more weights are no other budget
    assert "Unequal budgets, steps of phase 2" in section
    assert "5,200" in section


def test_published_results_stand_beside_those_of_the_run(document, environment):
    results = tuple({"label": label, "right": right} for label, right in (("twin", 114), ("elsewhere", 110)))
    published = Published(source="A <notebook>", pairs=134, results=results)
    text = page(document | {"published": _published(published)}, environment, {}, {})
    section = own(text)[own(text).index('<h2 id="published">') :]
    found = read(section[: section.index("</section>")])
    assert "A <notebook>; 134 test pairs" in found.words
    assert "None of the 1 pairs of published losses can be told apart" in found.words
    twin, elsewhere = found.tables[0][1:]
    assert twin[:3] == ["twin", "114", "85.1"]
    assert twin[5] == "90.9 ±1.4"
    assert elsewhere[5:] == ["-", "-"]
    assert found.tables[1][1][-1] == "not told apart"
    far = [("twin", 130), ("elsewhere", 60), ("near", 61)]
    published = Published(source="x", pairs=134, results=tuple({"label": a, "right": b} for a, b in far))
    words = read(page(document | {"published": _published(published)}, environment, {}, {})).words
    assert (
        "Of the 3 pairs of published losses: 2 told apart even if errors are unrelated; "
        "1 not told apart even in the best case (5 %, after Holm)."
    ) in words
    assert "Published results" not in read(page(document, environment, {}, {})).words


def test_failures_and_environment_are_there(document, environment, text):
    words = read(text).words
    assert words.count("(seed 2, fold 0) diverged: <no luck> at step 7") == 1
    assert "numpy 2.0, keras 3.15" in words
    assert "loss other: faceexp-loss-other 0.1" in words
    well = read(page(without(document, "dead"), {}, {}, {})).words
    assert "did not end well" not in well
    assert "Not recorded." in well


def test_every_term_is_explained(text):
    words = read(text).words
    terms = dict(glossary())
    assert {column.heading for column in COLUMNS} | set(TERMS) == set(terms)
    for term, meaning in terms.items():
        assert f"{term} {meaning}" in words


def test_a_run_of_failures_alone_has_a_page(document, environment):
    words = read(page(without(document, *ACCURACY), environment, {}, {})).words
    assert "Nothing can be told apart" in words
    assert "0/4" in words
    bare = read(page(without(document, *ACCURACY) | {"summary": [], "comparisons": []}, {}, {}, {})).words
    assert "0/4" in bare


# Evidence ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [{}, None, {"evidence": None}])
def test_without_evidence_the_rest_is_shown(document, environment, lost):
    given = {} if lost is None else {trial["id"]: lost for trial in document["trials"]}
    text = page(document, environment, given, {})
    assert "The evidence of the trials is not there" in read(text).words
    data = data_of(text)
    assert data["roc"]["data"] == []
    assert all("histogram" not in row for row in data["chosen"])
    assert data["chosen"][0]["training"]  # that is in results.json


def test_the_best_losses_and_the_baselines_are_drawn_first(document, environment, trials):
    crowd = [made_trial(f"loss {i}", seed, 0.5 - i / 100) for i in range(6) for seed in SEEDS]
    kept = {trial["id"]: {"evidence": made_evidence(1)} for trial in crowd}
    text = page(document | judged(document["trials"] + crowd), environment, trials | kept, {})
    shown = {trace["name"]: trace["visible"] for trace in data_of(text)["roc"]["data"]}
    assert [name for name, visible in shown.items() if visible][-1] == "loss 0"
    assert len(shown) == 10
    assert shown[PHASE_1]
    assert sum(shown.values()) == 5


def test_a_pair_is_shown_among_its_kind(document, trials, text):
    data = data_of(text)
    first = rows(document)[0].label
    (trial,) = [t for t in document["trials"] if t["label"] == first and t["seed"] == 0]
    groups = data["chosen"][0]["hardest"]
    hardest = trials[trial["id"]]["evidence"]["hardest"]
    assert len(groups) == 4
    assert sum(len(group["shown"]) for group in groups) == len(hardest) > 12
    for group, (similar, accepted) in zip(
        groups, [(True, False), (False, True), (True, True), (False, False)], strict=True
    ):
        own = [pair for pair in hardest if (pair["similar"], pair["accepted"]) == (similar, accepted)]
        assert [pair["images"] for pair in group["shown"]] == [pair["images"] for pair in own]
        assert [pair["names"] for pair in group["shown"]] == [pair["identities"] for pair in own]
    pair = groups[0]["shown"][0]
    assert pair["text"].startswith(f"{hardest[0]['distance']:.3g}, {hardest[0]['distance'] / 1.0:.2f}")


# Figures ----------------------------------------------------------------------------------------------------------------------


def test_plotly_accepts_every_figure(text):
    data = data_of(text)
    found = [*data["forest"].values(), data["roc"], data["det"]]
    found += [row[name] for row in data["chosen"] for name in ("histogram", "training", "map") if row.get(name)]
    assert len(found) == len(COLUMNS) + 2 + 4 + 3 + 4
    for figure in found:
        go.Figure(figure)
    with pytest.raises(ValueError, match="Invalid property"):
        go.Figure({"data": [{"type": "scatter", "colour": "red"}]})


def test_the_forest_has_means_and_intervals_of_each_row(document):
    column = COLUMNS[0]
    figure = figures_of_rows.forest(rows(document), column)
    drawn = {}
    for trace in figure["data"]:
        for x, y, half in zip(trace["x"], trace["y"], trace["error_x"]["array"], strict=True):
            drawn[figure["layout"]["yaxis"]["ticktext"][y]] = (x, half)
    assert "&lt;/script&gt;" in next(iter(drawn.keys() - {"twin", "weak", PHASE_1}))
    values = np.array(ACCURACY["twin"]) * 100
    half = 3.182446 * values.std(ddof=1) / 2  # t(0.975, 3) from tables, times s over the root of four
    assert drawn["twin"] == pytest.approx((values.mean(), half), rel=1e-4)
    assert len(drawn) == 4


def test_curves_are_averaged_at_equal_false_accept_rates():
    step = {"far": [0.0, 0.0, 0.5, 0.5, 1.0], "tar": [0.0, 0.4, 0.4, 1.0, 1.0]}
    line = {"far": [0.0, 1.0], "tar": [0.0, 1.0]}
    mean = dict(zip(figures_of_rows.FAR.tolist(), figures_of_rows.average([step, line]), strict=True))
    assert mean[0.0] == pytest.approx((0.4 + 0.0) / 2)  # at a rise, its upper end
    assert mean[0.25] == pytest.approx((0.4 + 0.25) / 2)
    assert mean[0.5] == pytest.approx((1.0 + 0.5) / 2)
    assert mean[1.0] == 1.0
    sloped = {"far": [0.0, 0.2, 0.2, 1.0], "tar": [0.1, 0.2, 0.5, 1.0]}
    alone = dict(zip(figures_of_rows.FAR.tolist(), figures_of_rows.average([sloped]), strict=True))
    assert alone[0.1] == pytest.approx(0.15)
    assert alone[0.75] == pytest.approx(0.84375)


def test_det_axes_are_normal_deviates():
    rates = np.array([0.001, 0.2, 0.5, 0.977])
    np.testing.assert_allclose(figures_of_rows.deviates(rates), norm.ppf(rates), rtol=1e-9)
    assert np.isfinite(figures_of_rows.deviates(np.array([0.0, 1.0]))).all()
    # Of normally distributed distances, here two deviations apart, the DET is a straight line of slope -1.
    curve = figures_of_rows.Curve(
        "x", figures_of_rows.Style("#000000", ""), norm.cdf(norm.ppf(figures_of_rows.FAR) + 2), True
    )
    figure = figures_of_rows.det([curve])
    x, y = (np.array(figure["data"][0][axis])[1:-1] for axis in "xy")
    np.testing.assert_allclose(x + y, -2, atol=1e-3)
    ticks = figure["layout"]["xaxis"]
    assert ticks["ticktext"][:6] == ["0.1", "1", "5", "10", "20", "40"]
    np.testing.assert_allclose(ticks["tickvals"], norm.ppf(np.array(ticks["ticktext"], float) / 100), rtol=1e-4)


def test_reliability_is_how_often_a_probability_came_true():
    """Against a loop over pairs, each of them at the middle of its bin."""
    edges = [0.0, 1.0, 2.0, 3.0, 4.0]
    own = {"edges": edges, "similar": [6, 3, 1, 0], "different": [0, 10, 30, 60]}
    calibration = {"slope": -2.0, "intercept": 4.0}
    figure, error = figures_of_trials.reliability([(own, calibration)])
    given, true, weight = [], [], []
    for place, middle in enumerate((0.5, 1.5, 2.5, 3.5)):
        shares = own["similar"][place] / 10, own["different"][place] / 100
        given.append(1 / (1 + np.exp(-(4.0 - 2.0 * middle))))
        true.append(shares[0] / sum(shares))
        weight.append(sum(shares))
    curve = figure["data"][1]
    assert curve["x"] == pytest.approx(sorted(np.array(given) * 100), rel=1e-3)
    assert curve["y"] == pytest.approx(np.array(true)[np.argsort(given)] * 100, rel=1e-3)
    assert error == pytest.approx(np.average(np.abs(np.array(given) - true), weights=weight))
    go.Figure(figure)
    # Two trials that say the same are no other curve.
    again, same = figures_of_trials.reliability([(own, calibration)] * 2)
    assert (again["data"][1]["y"], same) == (curve["y"], pytest.approx(error))


def test_the_histogram_shows_shares_of_each_kind():
    evidence = {"edges": [0.0, 1.0, 2.0, 3.0], "similar": [3, 1, 0], "different": [0, 10, 30]}
    figure = figures_of_trials.histogram(evidence, 1.25, "cosine")
    similar, different = figure["data"]
    assert similar["y"] == [0, 75.0, 25.0, 0.0, 0]
    assert different["y"] == [0, 0.0, 25.0, 75.0, 0]
    assert similar["x"] == [0.0, 0.0, 1.0, 2.0, 3.0]
    assert figure["layout"]["shapes"][0]["x0"] == 1.25


def test_training_marks_the_kept_step_of_each_trial(document):
    own = [trial for trial in document["trials"] if trial["label"] == "twin"]
    figure = figures_of_trials.training(own)
    *lines, kept = figure["data"]
    assert len(lines) == 2 * len(own)
    assert kept["x"] == [20] * 4
    assert kept["y"] == [0.9] * 4
    assert {line["yaxis"] for line in lines} == {"y", "y2"}


def test_the_map_has_every_point_under_its_name():
    points = made_evidence(0)["map"]
    figure = figures_of_trials.projection(points)
    assert [len(trace["x"]) for trace in figure["data"]] == [6, 6, 6, 6]
    assert figure["data"][1]["name"] == "person 1"
    assert sorted(x for trace in figure["data"] for x in trace["x"]) == pytest.approx(sorted(points["x"]), rel=1e-3)


def test_rows_are_drawn_in_ways_that_differ():
    many = [types.SimpleNamespace(kind="loss")] * 42 + [types.SimpleNamespace(kind="baseline")] * 4
    found = figures_of_rows.styles(many)
    assert len(set(found)) == 46
    for one, other in itertools.pairwise(found[:42]):
        assert one.colour != other.colour
        assert one.dash != other.dash


# In a browser -----------------------------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHARTS = ("forest", "roc", "det", "histogram", "training", "map")

# Does what a reader does and tells the page around it what came of it.
PROBE = """
<script>
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const get = (query) => document.querySelector(query);
  const all = (query) => [...document.querySelectorAll(query)];
  const change = async (id, value) => { get(id).value = value; get(id).dispatchEvent(new Event("change")); await wait(); };
  const texts = ["#roc .xtick text", "#forest .ytick text, #forest .annotation-text"];
  const shade = () => [
    getComputedStyle(document.body).backgroundColor, ...texts.map((query) => getComputedStyle(get(query)).fill),
  ];
  const names = () => all("#board tbody tr").map((row) => row.cells[0].textContent);
  await wait();
  const outcome = {
    inner: innerWidth,
    outer: document.documentElement.scrollWidth,
    charts: all(".chart").filter((chart) => chart.querySelector(".main-svg")).map((chart) => chart.id),
    wide: all(".chart").filter((chart) => chart.scrollWidth > chart.clientWidth + 1).map((chart) => chart.id),
    faces: all("#pairs img").map((image) => [image.naturalWidth, image.alt]),
    lines: all("#roc .scatterlayer .trace").length,
    auto: shade(),
  };
  try {
    get("#theme").click(); await wait(); outcome.light = shade();
    get("#theme").click(); await wait(); outcome.dark = shade();
    const heading = all("#board th").find((th) => th.textContent === "EER %");
    outcome.unsorted = names();
    heading.querySelector("button").click();
    outcome.ascending = [heading.getAttribute("aria-sort"), names()];
    heading.querySelector("button").click();
    outcome.descending = [heading.getAttribute("aria-sort"), names()];
    outcome.lettered = get("#lettered").textContent;
    get("#key input:checked").click(); await wait();
    outcome.fewer = all("#roc .scatterlayer .trace").length;
    await change("#matrix-metric", "eer");
    outcome.matrix = all("#matrix tbody tr").map((row) => [...row.cells].slice(1).map((cell) => cell.textContent));
    get("#matrix td[tabindex='0']").focus();
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    outcome.sentence = [document.activeElement.getAttribute("aria-label"), get("#matrix-words").textContent];
    get("#pairs-real").click();
    outcome.real = all("#pairs-table tbody tr").map((row) => row.cells[7].textContent);
    await change("#chosen", [...get("#chosen").options].find((option) => option.text === "phase-1 embedding").value);
    outcome.baseline = get("#training").textContent;
  } catch (error) { outcome.error = String(error); }
  outcome.asked = performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60));
  parent.postMessage(JSON.stringify(outcome), "*");
});
</script>
"""
# A browser's window has a smallest width that is wider than a telephone; a frame has none.
FRAMES = """<!doctype html><body><script>
addEventListener("message", ({ data }) => {
  const told = document.createElement("pre");
  told.textContent = data;
  document.body.append(told);
});
</script>
"""


def shown(tmp_path, widths, **pages):
    """Return what became of pages in a browser: an outcome for each page and width, and what was said on its console."""
    frames = FRAMES
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text.replace("</body>", PROBE + "</body>"), encoding="utf-8")
        frames += "".join(f'<iframe src="{name}.html" width="{width}" height="900"></iframe>' for width in widths)
    (tmp_path / "frames.html").write_text(frames, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run(
        [*command, (tmp_path / "frames.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    told = re.findall(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    outcomes = [json.loads(html.unescape(outcome)) for outcome in told]
    assert len(outcomes) == len(pages) * len(widths), done.stderr[-2000:]
    # Frames end in any order.
    return sorted(outcomes, key=lambda outcome: outcome["inner"]), re.findall(r"CONSOLE.*", done.stderr)


def complaints(outcome, console):
    """Return what is wrong with any page, whatever it is about."""
    found = [f"console: {line}" for line in console]
    found += [f"asked: {name}" for name in outcome["asked"] if not name.startswith("data:")]
    if outcome["outer"] > outcome["inner"]:
        found.append(f"wide: {outcome['outer']} in {outcome['inner']}")
    found += [f"no chart: {name}" for name in CHARTS if name not in outcome["charts"]]
    found += [f"no picture: {name}" for width, name in outcome["faces"] if not width]
    return found


@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome on the PATH")
class TestInABrowser:
    def test_it_works_on_a_telephone_and_on_a_desk(self, tmp_path, document, text):
        outcomes, console = shown(tmp_path, (390, 1280), page=text)
        labels = [row.label for row in rows(document)]
        assert [outcome["inner"] for outcome in outcomes] == [390, 1280]
        for outcome in outcomes:
            assert complaints(outcome, console) == []
            assert "error" not in outcome
            assert outcome["wide"] == []
            assert {alt.removesuffix(BAD) for _, alt in outcome["faces"]} == {f"person {number}" for number in range(4)}
            # Light and dark, page and charts.
            assert outcome["light"][0] == "rgb(255, 255, 255)"
            assert all(max(map(int, re.findall(r"\d+", fill))) < 80 for fill in outcome["light"][1:])
            assert max(map(int, re.findall(r"\d+", outcome["dark"][0]))) < 40
            assert all(min(map(int, re.findall(r"\d+", fill))) > 200 for fill in outcome["dark"][1:])
            assert len(outcome["light"]) == len(outcome["dark"]) == 3
            # Sorting, the failed row always last.
            assert outcome["unsorted"] == labels
            assert outcome["ascending"] == ["ascending", labels]
            descending, names = outcome["descending"]
            assert descending == "descending"
            assert sorted(names[:2]) == sorted(labels[2:4])
            assert names[-1] == "dead"
            assert outcome["lettered"] == ", EER %"
            # Lines, the matrix of another metric, its cells by keyboard.
            assert (outcome["lines"], outcome["fewer"]) == (4, 3)
            assert outcome["matrix"][0][2:] == [">", ">", "·"]
            assert outcome["matrix"][3] == ["<", "<", "=", "", "·"]
            assert outcome["sentence"][0] == outcome["sentence"][1]
            assert "not told apart" in outcome["sentence"][0]
            assert "corrected p 1.000" in outcome["sentence"][0]
            assert outcome["real"] == ["a is better"] * 4
            assert outcome["baseline"] == "A baseline is not trained in phase 2."

    def test_what_is_wrong_is_found(self, tmp_path, text):
        outside = '<img src="https://planted.invalid/x.png" alt="">'
        careless = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text)
        careless = careless.replace(
            "</main>", f'{outside}<div style="width: 3000px">wide</div><script>none()</script></main>'
        )
        careless = careless.replace('id="det"', 'id="lost"').replace("iVBORw0KGgo", "AAAAAAAAAAA")
        (outcome,), console = shown(tmp_path, (1280,), careless=careless)
        found = " ".join(complaints(outcome, console))
        for part in (
            "asked: https://planted.invalid",
            "wide: 3",
            "no chart: det",
            "no picture: person",
            "none is not defined",
        ):
            assert part in found

    def test_the_policy_stops_what_would_ask(self, tmp_path, text):
        asking = text.replace("</main>", '<img src="https://planted.invalid/x.png" alt=""></main>')
        (outcome,), console = shown(tmp_path, (1280,), asking=asking)
        assert "Content Security Policy" in " ".join(console)
        assert outcome["charts"] == list(CHARTS)
