"""The table as text for other programs."""

from __future__ import annotations

import csv
import io
import re

import pytest

from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.report import formats
from faceexp.results.schema import RunRecord
from faceexp.store import digest

ODD = r"a_b|c <d> 50% & {e} \ ~^#$"


@pytest.fixture
def run():
    """Two losses and a baseline; the odd one is better in accuracy and worse in EER."""
    means = {ODD: (0.9, 0.2, "a"), "plain": (0.8, 0.1, "b"), "raw pixels": (0.5, None, "c")}
    summary, trials = [], []
    for label, (accuracy, eer, group) in means.items():
        kind = "baseline" if label == "raw pixels" else "loss"
        for metric, mean in (("accuracy", accuracy), ("eer", eer)):
            interval = None if mean is None else [mean - 0.01, mean + 0.03]
            summary.append(
                {"label": label, "kind": kind, "metric": metric, "mean": mean, "ci95": interval, "n": 2, "group": group}
            )
        trial = {"label": label, "kind": kind, "fold": 0, "status": "ok", "reason": None}
        trials += [trial | {"id": f"{digest(label)[:8]}-{seed}", "seed": seed} for seed in (0, 1)]
    return RunRecord.model_validate(
        {"schema": 1, "name": "study", "protocol": "open_set", "trials": trials, "summary": summary, "comparisons": []}
    )


def test_markdown_is_a_table_whose_cells_stay_apart(run):
    lines = formats.markdown(run).splitlines()
    assert lines[0] == "**study: open set, 6 trials (2 losses and 1 baseline x 2 seeds x 1 fold)**"
    table = [line for line in lines if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]
    assert {len(row) for row in cells} == {5}
    assert [cell.strip() for cell in cells[0]] == ["loss or baseline", "ok", "accuracy %", "EER %", "group"]
    assert [cell.strip() for cell in cells[2]] == [
        r"a_b\|c \<d\> 50% & {e} \\ ~^#$",
        "2/2",
        "**90.0 89.0–93.0**",
        "20.0 19.0–23.0",
        "a",
    ]
    assert [cell.strip() for cell in cells[3]][2:4] == ["80.0 79.0–83.0", "**10.0 9.0–13.0**"]
    assert [cell.strip() for cell in cells[4]][2:4] == ["50.0 49.0–53.0", "-"]


def test_latex_escapes_what_it_would_take_for_commands(run):
    text = formats.latex(run)
    lines = text.splitlines()
    rows = [line for line in lines if line.endswith(r"\\")]
    assert rows[0] == r"loss or baseline & ok & accuracy \% & EER \% & group \\"
    label = r"a\_b|c $<$d$>$ 50\% \& \{e\} \textbackslash{} \textasciitilde{}\textasciicircum{}\#\$"
    assert rows[1] == label + r" & 2/2 & \textbf{90.0 89.0--93.0} & 20.0 19.0--23.0 & a \\"
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [4] * 4
    assert r"\begin{tabular}{lrrrl}" in lines
    assert lines[0] == "% study: open set, 6 trials (2 losses and 1 baseline x 2 seeds x 1 fold)"


def test_csv_has_every_digit(run):
    rows = list(csv.DictReader(io.StringIO(formats.table_csv(run))))
    assert [row["label"] for row in rows] == [ODD, "plain", "raw pixels"]
    assert float(rows[0]["accuracy"]) == 0.9
    assert float(rows[0]["accuracy ci95 high"]) == 0.9 + 0.03
    assert (rows[2]["eer"], rows[2]["eer ci95 low"], rows[2]["kind"]) == ("", "", "baseline")


@pytest.mark.parametrize("write", [formats.markdown, formats.latex, formats.table_csv])
def test_the_best_of_the_sorted_metric_comes_first_and_what_has_none_last(run, write):
    text = write(run, METRIC_OF["eer"])
    assert text.index("plain") < text.index("a") or text.index("plain") < text.index("50")
    places = [text.index(sign) for sign in ("plain", "50", "raw pixels")]
    assert places == sorted(places)
