"""The table as text for other programs."""

from __future__ import annotations

import csv
import io
import re

import pytest

from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.report import formats
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import VerdictRecord
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
    better = {"metric": "accuracy", "a": ODD, "b": "plain", "difference": 0.1, "p_corrected": 0.01, "verdict": "a>b"}
    return RunRecord.model_validate(
        {
            "schema": 1,
            "name": "study",
            "protocol": "open_set",
            "trials": trials,
            "summary": summary,
            "comparisons": [better],
        }
    )


def test_what_a_run_warns_of_stands_above_its_tables(run):
    warned = run.model_copy(update={"warnings": ("loss 'x' draws random numbers",)})
    assert "Warning: loss 'x' draws random numbers." in formats.markdown(warned)
    assert "% Warning: loss 'x' draws random numbers.\n" in formats.latex(warned)
    assert "Warning" not in formats.markdown(run)


def test_markdown_is_a_table_whose_cells_stay_apart(run):
    lines = formats.markdown(run).splitlines()
    assert lines[0] == "**study: open set, 6 trials (2 losses and 1 baseline x 2 seeds x 1 fold)**"
    table = [line for line in lines if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]
    assert {len(row) for row in cells} == {7}
    heading = ["loss or baseline", "ok", "accuracy %", "95 % interval", "EER %", "95 % interval", "group"]
    assert [cell.strip() for cell in cells[0]] == heading
    assert [cell.strip() for cell in cells[2]] == [
        r"a_b\|c \<d\> 50% & {e} \\ ~^#$",
        "2/2",
        "**90.0**",
        "89.0–93.0",
        "20.0",
        "19.0–23.0",
        "a",
    ]
    # Nothing was shown about errors, so that the fewest are not bold.
    assert [cell.strip() for cell in cells[3]][2:6] == ["80.0", "79.0–83.0", "10.0", "9.0–13.0"]
    assert [cell.strip() for cell in cells[4]][2:6] == ["50.0", "49.0–53.0", "-", ""]
    assert lines[2].startswith(r"a_b\|c \<d\> 50% & {e} \\ ~^#$ is better than plain, in accuracy at 5 %.")


def test_latex_escapes_what_it_would_take_for_commands(run):
    text = formats.latex(run, None, [METRIC_OF["accuracy"], METRIC_OF["eer"]])
    lines = text.splitlines()
    rows = [line for line in lines if line.endswith(r"\\")]
    assert rows[0] == (
        r"loss or baseline & ok & \multicolumn{2}{c}{accuracy \%} & \multicolumn{2}{c}{EER \%} & group \\"
    )
    label = r"a\_b|c $<$d$>$ 50\% \& \{e\} \textbackslash{} \textasciitilde{}\textasciicircum{}\#\$"
    assert rows[1] == label + r" & 2/2 & \textbf{90.0} & 89.0--93.0 & 20.0 & 19.0--23.0 & a \\"
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [4, 6, 6, 6]
    assert r"\begin{tabular}{lrrlrll}" in lines
    assert r"% It needs \usepackage{booktabs} in the preamble." in lines
    assert lines[0] == "% study: open set, 6 trials (2 losses and 1 baseline x 2 seeds x 1 fold)"


def test_csv_has_every_digit(run):
    rows = list(csv.DictReader(io.StringIO(formats.table_csv(run))))
    assert [row["label"] for row in rows] == [ODD, "plain", "raw pixels"]
    assert float(rows[0]["accuracy"]) == 0.9
    assert float(rows[0]["accuracy ci95 high"]) == 0.9 + 0.03
    assert (rows[2]["eer"], rows[2]["eer ci95 low"], rows[2]["kind"]) == ("", "", "baseline")


def test_in_csv_what_was_asked_is_numbers_and_words(run):
    claim = {"reference": "phase-1 embedding", "trials": 2, "interval": (0.0, 0.2), "p_corrected": 0.01}
    asked = {"metric": "accuracy", "questions": ["helps", "best"], "equivalence": 0.01}
    helps = [claim | {"label": "plain", "difference": 0.123456, "verdict": "better"}]
    best = [{"label": "plain", "difference": 0.0, "interval": (-0.1, 0.1), "may_be_best": True}]
    verdict = VerdictRecord.model_validate(asked | {"helps": helps, "best": best})
    table = formats.table_csv(run.model_copy(update={"verdict": verdict}))
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(table))}
    told = [rows["plain"][name] for name in ("helps by", "helps", "best")]
    assert told == ["0.123456", "better", "may be"]
    assert [rows["raw pixels"][name] for name in ("helps by", "helps", "best")] == ["", "", ""]


@pytest.mark.parametrize("write", [formats.markdown, formats.latex, formats.table_csv])
def test_the_best_of_the_sorted_metric_comes_first_and_what_has_none_last(run, write):
    text = write(run, METRIC_OF["eer"])
    lines = [line for line in text.splitlines() if " better " not in line]
    order = [line.lstrip("| ")[:3] for line in lines if re.match(r"(\| )?(a.?_b|plain|raw)", line)]
    assert order in (["pla", "a_b", "raw"], ["pla", "a\\_", "raw"])


@pytest.mark.parametrize("write", [formats.markdown, formats.latex, formats.table_csv])
def test_chosen_columns_come_in_the_order_in_which_they_are_named(run, write):
    assert "accuracy" not in "".join(re.findall(r"^[|l].*", write(run, None, [METRIC_OF["eer"]]), re.MULTILINE)[:1])
    both = write(run, None, [METRIC_OF["eer"], METRIC_OF["accuracy"]])
    heading = next(line for line in both.splitlines() if re.match(r"\|? ?l", line) and "accuracy" in line)
    assert heading.lower().index("eer") < heading.index("accuracy")


def test_latex_has_as_many_metrics_as_fit_a_line_and_goes_on_to_the_next_page(run):
    # The metrics of a run, and labels of a usual length.
    data = run.to_jsonable()
    (eer, *_) = [summary for summary in data["summary"] if summary["metric"] == "eer" and summary["label"] == "plain"]
    others = [eer | {"metric": metric} for metric in ("auc", "map_at_r", "precision_at_1", "tar@far=0.01")]
    wide = RunRecord.model_validate(data | {"summary": data["summary"] + others})
    assert formats.latex(wide).count(r"\multicolumn") == 1, "a label of 26 characters leaves no room for two"
    assert formats.latex(wide, None, [METRIC_OF[key] for key in ("auc", "eer", "map_at_r")]).count(r"\multicolumn") == 3
    trials = [trial | {"label": f"l{place}", "id": f"x{place}"} for place, trial in enumerate(data["trials"] * 8)]
    long = formats.latex(RunRecord.model_validate(data | {"trials": trials}))
    assert r"\begin{longtable}" in long
    assert r"\usepackage{booktabs} and \usepackage{longtable}" in long
