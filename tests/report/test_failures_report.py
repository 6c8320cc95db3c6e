"""What reports show of images that could not be used, from a record that is written by hand."""

from __future__ import annotations

import pytest

from faceexp.report.failures import error_rows, lost_sentence, shown_failures
from faceexp.report.terminal.run import run_table


def rates(label, fmr, fnmr):
    means = {"fmr": fmr, "fnmr": fnmr, "far": 0.9 * fmr, "frr": 0.1 + 0.9 * fnmr}
    return {"label": label, "kind": "loss"} | {
        rate: {"mean": mean, "ci95": [mean / 2, 1.5 * mean]} for rate, mean in means.items()
    }


@pytest.fixture
def lossy(study, changed):
    """The study of the report tests, where a tenth of the images was lost."""
    rows = [rates("weak", 0.02, 0.3), rates("twin", 0.01, 0.1)]
    return changed(study, failures={"images": 12, "people": 1, "fta": 0.1, "fte": 0.02, "rates": rows})


def test_the_line_says_what_was_lost_and_what_that_does_to_the_best_row(lossy, changed):
    said = "12 images of the data set could not be used, and 1 person could not take part: FTA 10.0 %, FTE 2.0 % of the test"
    assert lost_sentence(lossy) == f"{said}; so twin rejects 19.0 %, not 10.0 %"
    one = lossy.failures.to_jsonable() | {"images": 1, "people": 0, "fte": 0, "rates": []}
    assert lost_sentence(changed(lossy, failures=one)) == (
        "1 image of the data set could not be used: FTA 10.0 %, FTE 0.0 % of the test"
    )


def test_rows_come_in_the_order_of_the_leaderboard(lossy):
    assert [(row.label, *row.cells) for row in error_rows(lossy)] == [
        ("twin", "1.0 0.50–1.5", "10.0 5.0–15.0", "0.90 0.45–1.4", "19.0 9.5–28.5"),
        ("weak", "2.0 1.0–3.0", "30.0 15.0–45.0", "1.8 0.90–2.7", "37.0 18.5–55.5"),
    ]


def test_the_terminal_has_a_line_and_with_the_notes_a_table(lossy, study, drawn):
    text = " ".join(drawn(run_table(lossy, 120)).split())
    assert "! 12 images of the data set could not be used" in text
    assert "FRR %" not in text
    assert "FRR %" in drawn(run_table(lossy, 120, notes=True))
    assert "could not be used" not in drawn(run_table(study, 120, notes=True))


def test_the_page_has_a_section_only_where_something_was_lost(lossy, study):
    content = shown_failures(lossy)
    assert content is not None
    assert content["rows"] == error_rows(lossy)
    assert shown_failures(study) is None


def test_nothing_is_said_of_a_row_that_rejects_no_more(lossy, changed):
    same = rates("twin", 0.01, 0.1) | {"frr": {"mean": 0.1, "ci95": None}}
    said = lost_sentence(changed(lossy, failures=lossy.failures.to_jsonable() | {"rates": [same]}))
    assert said.endswith("FTE 2.0 % of the test")


def test_on_a_test_set_the_line_names_it_and_the_table_stands_beside(lossy, changed, drawn):
    on_set = changed(lossy, measured_on="lfw")
    assert lost_sentence(on_set).startswith("12 images of test set lfw could not be used, and 1 person could not take ")
    text = drawn(run_table(on_set, 120))
    assert "test set lfw: error rates, without and with what was lost (FTA 10.0 %, FTE 2.0 %)" in text
    assert [heading in text for heading in ("FMR %", "FNMR %", "FAR %", "FRR %")] == [True] * 4
