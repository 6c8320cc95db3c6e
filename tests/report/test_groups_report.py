"""What reports show of groups, from a record that is written by hand."""

from __future__ import annotations

import pytest

from faceexp.report.groups import brief, group_tables
from faceexp.report.page.groups import charts, shown_groups
from faceexp.report.terminal.groups import groups as in_terminal
from faceexp.results.group_records import BEST


def rates(label, kind, threshold, fmr, fnmr, group="f", people=8):
    """The two rates of a group; a text is a refusal."""
    return [
        {
            "label": label,
            "kind": kind,
            "column": "sex",
            "group": group,
            "threshold": threshold,
            "rate": rate,
            "people": people,
            "value": None if isinstance(value, str) else value,
            "ci95": None if isinstance(value, str) else [value / 2, 2 * value],
            "refused": value if isinstance(value, str) else None,
        }
        for rate, value in (("fmr", fmr), ("fnmr", fnmr))
    ]


@pytest.fixture
def grouped(study, changed):
    """The study of the report tests, with groups of a baseline and of a loss."""
    ratio = {"label": "twin", "kind": "loss", "column": "sex", "threshold": BEST, "worst": "m", "best": "f"}
    return changed(
        study,
        groups={
            "columns": [{"column": "sex", "groups": ["f", "m"], "of_people": True}],
            "rates": [
                *rates("weak", "loss", "0.01", "5 people have such pairs", 0.3),
                *rates("weak", "loss", BEST, 0.02, 0.2),
                *rates("weak", "loss", BEST, 0.02, 0.1, "m"),
                *rates("twin", "loss", BEST, 0.012, 0.0),
                *rates("twin", "loss", BEST, 0.0375, 0.1, "m", 12),
            ],
            "ratios": [
                ratio | {"rate": "fmr", "value": 3.125, "ci95": [0.9, 11.25]},
                ratio | {"rate": "fnmr", "value": None},
            ],
        },
    )


def test_rows_come_in_the_order_of_the_leaderboard_with_their_ratio(grouped):
    best, strict = group_tables(grouped)
    assert best.title == "by sex, at the threshold of best accuracy"
    assert strict.title == "by sex, at the threshold for FAR 1 %"
    assert [(row.label, row.group, row.people, *row.cells) for row in best.rows] == [
        ("twin", "f", "8", "1.2 0.60–2.4", "0.0 0.0–0.0"),
        ("twin", "m", "12", "3.8 1.9–7.5", "10.0 5.0–20.0"),
        ("twin", "", "", "3.1x 0.90–11.2 m/f", "no error in f"),
        ("weak", "f", "8", "2.0 1.0–4.0", "20.0 10.0–40.0"),
        ("weak", "m", "8", "2.0 1.0–4.0", "10.0 5.0–20.0"),
        ("weak", "", "", "–", "–"),
    ]
    assert [(row.group, *row.cells) for row in strict.rows] == [("f", "–", "30.0 15.0–60.0"), ("", "–", "–")]
    assert strict.refused == ("no FMR of f for weak: 5 people have such pairs",)
    assert group_tables(grouped.model_copy(update={"groups": None})) == []


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.0"), (0.0312, "0.031"), (0.62, "0.62"), (0.6, "0.60"), (1, "1.0"), (31.26, "31.3")]
)
def test_small_numbers_keep_two_digits(value, text):
    assert brief(value) == text


def test_the_terminal_shows_the_tables_and_what_they_mean(grouped, drawn):
    text = drawn(in_terminal(grouped, 80), 80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("worst / best" in line and "3.1x 0.90–11.2 m/f" in line for line in lines)
    # A row is named once.
    assert sum(line.strip().startswith("twin") for line in lines) == 1
    assert "no FMR of f for weak: 5 people have such pairs" in text
    assert "if that holds 1" in " ".join(text.split())


def test_a_refusal_names_its_rows(grouped, changed):
    """The reason of all rows is told once; that of some, with their names."""
    why, other = "5 people have such pairs", "no pair of two people"
    record = grouped.groups.to_jsonable()
    record["rates"] = [
        *rates("weak", "loss", BEST, why, why),
        *rates("weak", "loss", BEST, why, 0.1, "m"),
        *rates("twin", "loss", BEST, why, 0.2),
        *rates("twin", "loss", BEST, other, 0.1, "m"),
    ]
    (table,) = group_tables(changed(grouped, groups=record))
    assert table.refused == (
        f"no FMR of f in any row: {why}",
        f"no FMR of m for twin: {other}",
        f"no FNMR of f for weak: {why}",
        f"no FMR of m for weak: {why}",
    )


LONG = "generalized_lifted_struct(negative_margin=1.0,positive_margin=0.5)"


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("group", ["f", "camera of the entrance hall on the left"])
def test_no_label_and_no_rate_is_broken(grouped, changed, drawn, width, group):
    record = grouped.groups.to_jsonable()
    record["columns"][0]["groups"] = [group, "m"]
    record["rates"] = [
        *rates(LONG, "loss", BEST, 0.0375, 0.4, group),
        *rates(LONG, "loss", BEST, 0.0375, 0.4, "m", 123),
    ]
    ratio = {"label": LONG, "kind": "loss", "column": "sex", "threshold": BEST, "worst": group, "best": "m"}
    record["ratios"] = [ratio | {"rate": rate, "value": 3.125, "ci95": [0.9, 11.25]} for rate in ("fmr", "fnmr")]
    lines = drawn(in_terminal(changed(grouped, groups=record), width), width).splitlines()
    assert max(map(len, lines)) <= width
    assert [line.strip() for line in lines].count(LONG) == (width > len(LONG))
    rows = [line for line in lines if "3.8 1.9–7.5" in line]
    assert len(rows) == 2
    assert all(line.rstrip().endswith("40.0 20.0–80.0") for line in rows)
    # Columns stand below their headings.
    (heading,) = (line for line in lines if line.split()[:2] == ["group", "people"])
    assert {line.index("3.8 1.9–7.5") for line in rows} == {heading.index("FMR %")}
    assert {line.index("40.0 20.0–80.0") for line in rows} == {heading.index("FNMR %")}


def test_the_page_draws_what_is_not_refused(grouped):
    of_words = {chart["words"]: chart["figure"] for chart in charts(grouped)}
    assert set(of_words) == {
        "FMR by sex, threshold for best accuracy",
        "FNMR by sex, threshold for best accuracy",
        "FNMR by sex, threshold for FAR 1 %",
    }
    women, men = of_words["FMR by sex, threshold for best accuracy"]["data"]
    assert (women["name"], women["x"]) == ("f", [2.0, 1.2])
    assert (men["x"], men["error_x"]["arrayminus"], men["error_x"]["array"]) == ([2, 3.75], [1, 1.875], [2, 3.75])
    # The best row is on top; of its dots, the first group's is above the second's.
    assert women["y"] == pytest.approx([0.8, -0.2])
    assert men["y"] == pytest.approx([1.2, 0.2])
    assert shown_groups(grouped)["charts"] == list(of_words)
    assert shown_groups(grouped.model_copy(update={"groups": None})) is None


def test_labels_and_groups_are_text(grouped, changed, bad_label):
    """What a table of the user says may hold anything."""
    record = grouped.groups.to_jsonable()
    record["columns"][0]["groups"] = ["<i>f", "m"]
    for rate in record["rates"]:
        rate["group"] = rate["group"].replace("f", "<i>f")
        rate["label"] = rate["label"].replace("twin", bad_label)
    run = changed(grouped, groups=record)
    (women, _) = charts(run)[0]["figure"]["data"]
    assert women["name"] == "&lt;i&gt;f"
    assert "<b>" not in "".join(women["text"])
