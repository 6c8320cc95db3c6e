"""Cells of CSV files: a spreadsheet takes none of their texts for a formula."""

from __future__ import annotations

import pytest

from faceexp.results.spreadsheets import csv_cells


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\uff1d1+1", "=cmd|' /C calc'!A0"])
def test_text_that_looks_like_a_formula_begins_with_an_apostrophe(text):
    assert csv_cells([text]) == [f"'{text}"]


def test_a_tab_and_a_return_before_a_formula_are_no_more_than_letters():
    assert csv_cells(["\t=1", "\r=1", "\n=1"]) == [r"\t=1", r"\r=1", r"\n=1"]


def test_numbers_stay_numbers_and_other_text_stays_as_it_is():
    cells = [-1, -0.5, None, True, "a=b", "損失", "contrastive margin=1.0", "", "p01/-1.png"]
    assert csv_cells(cells) == cells
