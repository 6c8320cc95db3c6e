"""What people, plugins and file systems write does no harm in any report: nothing of it is a command, a tag or a formula."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from faceexp.evaluation.catalogue import ACCURACY
from faceexp.report import formats
from faceexp.report.page.html import page
from faceexp.report.shown import shown
from faceexp.report.terminal import progress
from faceexp.report.terminal import run as terminal
from faceexp.report.terminal.between_runs import comparison_table
from faceexp.results.between_runs import compare_records
from faceexp.results.schema import EnvironmentRecord, RunRecord, TrialFile
from faceexp.store import digest

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = "\u200e\u200f\u061c"
PLOTLY = get_plotlyjs()
# What has done harm somewhere, one for each way of doing it.
HARMFUL = (
    "[online]",
    "[/c]",
    "[link=javascript:alert(1)]x[/link]",
    ":smiley:",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07",
    "\x9b2J",
    "\u202egpj.exe",
    "\u2066\u2069\u200f\u061c",
    "\u2028\u2029\x85",
    "a\r\nb\tc\0\x7f",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "javascript:alert(1)",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "%{x}",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "-1+1",
    "&lt;b&gt;",
    r"\input{x}",
    "|",
    "\ufffe\uffff",
    "{braces}",
)
TEXTS = st.one_of(st.sampled_from(HARMFUL), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


def harm(text: str) -> set[str]:
    """Return the characters of a report that could do harm where it is read; a new line is none."""
    return {
        character
        for character in set(text) - {"\n"}
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(character) in DIRECTIONS
        or character in MARKS
    }


def texts_in(value: object) -> list[str]:
    """Return every text in JSON data, keys included."""
    if isinstance(value, dict):
        return [text for pair in value.items() for inner in pair for text in texts_in(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts_in(inner)]
    return [value] if isinstance(value, str) else []


def run_of(texts: list[str]) -> RunRecord:
    """Return a run in which every text that comes from outside is one of these."""
    good, bad, base, name, note, warning, reason, source, published = texts
    labels = {f"1{good}": "loss", f"2{bad}": "loss", f"3{base}": "baseline"}
    trials = [
        {"id": f"{digest(label)[:8]}-{seed}", "loss": label, "label": label, "kind": kind, "seed": seed, "fold": 0}
        | (
            {"status": "failed", "reason": reason}
            if label[0] == "2"
            else {"status": "ok", "metrics": {"accuracy": 0.9}}
        )
        for label, kind in labels.items()
        for seed in (0, 1)
    ]
    first, _, third = labels
    return RunRecord.model_validate(
        {
            "schema": 1,
            "name": name,
            "description": name,
            "protocol": "open_set",
            "method": note,
            "notes": [note],
            "warnings": [warning],
            "budgets": [{"label": first, "loss": first, "pretrain_images": 1, "steps": 1, "images": 1}],
            "published": {"source": source, "pairs": 9, "results": [{"label": published, "right": 7}]},
            "trials": trials,
            "summary": [
                {
                    "label": label,
                    "kind": kind,
                    "metric": "accuracy",
                    "mean": 0.9,
                    "ci95": [0.8, 1.0],
                    "n": 2,
                    "group": "a",
                }
                for label, kind in labels.items()
                if label[0] != "2"
            ],
            "comparisons": [
                {"metric": "accuracy", "a": first, "b": third, "difference": 0.1, "p_corrected": 0.01, "verdict": "a>b"}
            ],
        }
    )


RUNS = st.lists(TEXTS, min_size=9, max_size=9).map(run_of)


@pytest.mark.parametrize("text", [text for text in HARMFUL if text.isascii() and text.isprintable()])
def test_what_looks_like_markup_is_shown_as_it_is(text, drawn):
    run = run_of([text] * 9)
    table, matrix = drawn(terminal.run_table(run, 400), 400), drawn(terminal.matrix(run, ACCURACY), 400)
    # Twice as a label; as title, note, warning, reason of both failures, source and published label.
    assert table.count(text) >= 9
    assert f"1{text}"[:31] in matrix
    assert text in progress.ended(run.failed[0], 1, 2)


@given(run=RUNS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_of_a_run_does_harm_in_a_terminal(run, drawn):
    tables = [terminal.run_table(run, 120), terminal.matrix(run, ACCURACY), terminal.budgets(run)]
    tables.append(
        comparison_table(compare_records([run.name, "x"], [{}, {run.name: run.name}], [run, run], ACCURACY), ACCURACY)
    )
    for table in tables:
        assert harm(drawn(table)) == set()
    for trial in run.trials:
        assert harm(progress.ended(trial, 1, 2)) == set()


@given(run=RUNS)
@settings(max_examples=20, deadline=None)
def test_a_picture_is_valid_xml_whatever_a_run_holds(run):
    picture = terminal.picture(run)
    assert harm(picture) == set()
    assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - we have written it


@given(run=RUNS)
@settings(max_examples=30, deadline=None)
def test_text_for_other_programs_holds_neither_commands_nor_formulas(run):
    rows = len({row.label for row in run.trials})
    markdown, latex, table = formats.markdown(run), formats.latex(run), formats.table_csv(run)
    for text in (markdown, latex, table):
        assert harm(text) == set()
    # Six more lines of Markdown are the title, the finding and the heading, two the empty line and the legend.
    assert len(markdown.split("\n")) == rows + 8
    assert not re.search(r"(?<!\\)[\[\]<>`]", markdown.replace("\\\\", ""))
    assert all(
        len(re.findall(r"(?<!\\)&", line)) == (3 if "multicolumn" in line else 4)
        for line in latex.split("\n")
        if line.endswith(r" \\")
    )
    assert not re.search(r"^\s*[\[*]", latex, re.MULTILINE)
    read = list(csv.reader(io.StringIO(table)))
    assert len(read) == rows + 1
    assert not [row[0] for row in read if row[0].lstrip().startswith(("=", "+", "-", "@"))]


def page_of(run: RunRecord, text: str) -> str:
    evidence = {
        "far": [0, 0, 1],
        "tar": [0, 1, 1],
        "edges": [0, 1, 2],
        "similar": [1, 0],
        "different": [0, 1],
        "hardest": [{"distance": 1, "similar": True, "accepted": True, "images": [0, 1], "identities": [text, text]}],
        "met": {},
        "map": {"x": [0, 1], "y": [0, 1], "identity": [text, "x"], "explained": 0.5},
    }
    files = {
        trial.id: TrialFile.model_validate(
            trial.to_jsonable() | {"evidence": evidence if trial.status == "ok" else None}
        )
        for trial in run.trials
    }
    plugin = {"kind": "loss", "name": text, "distribution": text, "version": text}
    environment = EnvironmentRecord.model_validate(
        {
            "python": text or "3",
            "platform": text,
            "processor": text,
            "cores": 1,
            "plugins": [plugin],
            "packages": {text: text},
        }
    )
    return page(run, environment, files, {}).replace(PLOTLY, "")


@given(run=RUNS, text=TEXTS)
@settings(max_examples=15, deadline=None)
def test_the_page_holds_what_people_write_as_text_alone(run, text):
    written, plain = page_of(run, text), page_of(run_of(["x"] * 9), "x")
    assert harm(written) == set()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', written, re.DOTALL)
    assert not set("<>&'") & set(data)
    assert harm("".join(texts_in(json.loads(data)))) == set()
    # No text has begun a tag or an attribute of its own.
    for sign in ("<script", "</script>", "<!--", " on", "javascript:"):
        tags = [re.sub(r'"[^"]*"', '""', tag) for tag in re.findall(r"<[^<>]*>", written)]
        tags_of_plain = [re.sub(r'"[^"]*"', '""', tag) for tag in re.findall(r"<[^<>]*>", plain)]
        assert sum(sign in tag for tag in tags) == sum(sign in tag for tag in tags_of_plain), sign
    assert set(re.findall(r'(?:href|src)="([^#"]*)', written)) <= {""}


def test_a_text_of_several_lines_is_one_paragraph_on_the_page(study):
    described = study.model_copy(update={"description": "Two\n  lines."})
    assert '<p class="muted">Two lines.</p>' in page(described, EnvironmentRecord.model_validate({}), {}, {})


@dataclasses.dataclass(frozen=True)
class Leaf:
    text: str
    number: float | None = None


def test_only_texts_are_changed():
    leaf = Leaf("\x1b", 1.5)
    assert shown({"\x07": (leaf, ["\u202e", 2, None, True])}) == {
        r"\x07": (Leaf(r"\x1b", 1.5), [r"\u202e", 2, None, True])
    }
    assert leaf.text == "\x1b"
