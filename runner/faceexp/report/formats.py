"""The table of a run as text for other programs: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from faceexp.evaluation.catalogue import Metric
from faceexp.report.answers import best_word, helps_word
from faceexp.report.columns import (
    Row,
    columns_of,
    heading,
    legend,
    mean_and_interval,
    primary,
    rows_of,
    starred,
    trains,
)
from faceexp.report.headline import headline
from faceexp.report.shown import shown
from faceexp.report.words import MINUS
from faceexp.results.schema import RunRecord
from faceexp.results.spreadsheets import csv_cells

# What LaTeX would take for a command, and what stands for it. All are replaced in one pass, so that the backslashes
# that come with a replacement are not replaced again.
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # These two are no letters of LaTeX: the dash between the ends of an interval, and the sign of a difference.
    "\N{EN DASH}": "--",
    MINUS: "$-$",
    "<": r"$<$",
    ">": r"$>$",
    # At the start of a row, LaTeX would take these for options of the end of the row before.
    "[": "{[}",
    "*": "{*}",
}
BOLD = "Bold: best mean of its column, and shown to be better than another loss."
# Characters that fit into a line of LaTeX's article in its size small, and into the label; a digit is 4.6 pt wide there
# and the line 345 pt. A mean and its interval take 16, with the gaps before them.
LINE_WIDTH = 74
LABEL_WIDTH = 28
METRIC_WIDTH = 18
GAP = 2
# A table with more rows than this does not fit on one page.
LONG = 40
# What Markdown would take for a link, an emphasis, a tag, code or the end of a cell. It takes an underscore
# inside a word for itself, and so the names of plugins stay as they are.
MARKDOWN = re.compile(r"[\\|`<>\[\]*]|(?<!\w)_|_(?!\w)")


@dataclass(frozen=True)
class _Cells:
    """The cells of a row, escaped: its name and count, of each metric the mean and the interval, and what is judged."""

    first: list[str]
    metrics: list[tuple[str, str]]
    judged: list[str]


def _rows(
    run: RunRecord, sort: Metric | None, metrics: Sequence[Metric], escaped: Callable[[str], str], bold: str
) -> list[_Cells]:
    """Return the cells of each row; ``bold`` is what the best value of a metric becomes if it is told from others."""
    stars = {metric: starred(run, metric) for metric in metrics}
    rows = []
    for row in rows_of(run, sort):
        pairs = []
        for metric in metrics:
            mean, _, interval = map(escaped, mean_and_interval(row.summaries.get(metric.key), metric).partition(" "))
            pairs.append((bold.format(mean) if row.label in stars[metric] else mean, interval))
        judged = [escaped(text) for text in _judged(run, row, sort)]
        rows.append(_Cells([escaped(row.label), f"{row.ok}/{row.total}"], pairs, judged))
    return rows


def _judged(run: RunRecord, row: Row, sort: Metric | None) -> list[str]:
    """Return what is shown of a row: whether it helps and may be the best, or its letters in older runs."""
    if run.verdict is None:
        return [row.letters(sort or primary(run))]
    return [*([helps_word(run, row.label)] if trains(run) else []), best_word(run, row.label)]


def _judged_headings(run: RunRecord) -> list[str]:
    if run.verdict is None:
        return ["group"]
    return ["helps", "best"] if trains(run) else ["best"]


def _star(run: RunRecord, metrics: Sequence[Metric]) -> str:
    """Return what bold means, if a value of the table is bold."""
    return BOLD if any(starred(run, metric) for metric in metrics) else ""


def _finding(run: RunRecord) -> list[str]:
    warnings = [f"Warning: {text}." for text in run.warnings]
    return [*(said.text for said in headline(run) if said.text), *warnings]


def markdown(run: RunRecord, sort: Metric | None = None, columns: Sequence[Metric] | None = None) -> str:
    """Return the finding and a table in GitHub's Markdown, with the legend below it."""
    run = shown(run)
    metrics = columns or columns_of(run)

    def escaped(text: str) -> str:
        return MARKDOWN.sub(r"\\\g<0>", text)

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    names = ["loss or baseline", "ok"]
    names += [name for metric in metrics for name in (metric.heading, metric.interval)]
    names += _judged_headings(run)
    rule = "| --- | " + " | ".join("---:" for _ in names[1:]) + " |"
    body = [
        line([*row.first, *(cell for pair in row.metrics for cell in pair), *row.judged])
        for row in _rows(run, sort, metrics, escaped, "**{}**")
    ]
    above = [f"**{escaped(heading(run))}**", "", escaped(" ".join(_finding(run))), ""]
    below = escaped(legend(run, sort, _star(run, metrics)))
    return "\n".join([*above, line(map(escaped, names)), rule, *body, "", below])


def latex(run: RunRecord, sort: Metric | None = None, columns: Sequence[Metric] | None = None) -> str:
    """Return a table in LaTeX that fits a page, and comments that name the packages which it needs.

    Without chosen columns it has as many metrics as fit beside the labels, the most important first. A long table
    goes on from page to page. The best value of a metric is bold if it is told from others.
    """
    run = shown(run)

    def escaped(text: str) -> str:
        return re.sub("[" + re.escape("".join(LATEX)) + "]", lambda match: LATEX[match[0]], text)

    def line(cells: Iterable[str]) -> str:
        return " & ".join(cells) + r" \\"

    metrics = columns or columns_of(run)
    rows = _rows(run, sort, metrics, escaped, r"\textbf{{{}}}")
    judged = _judged_headings(run)
    longest = max((len(row.label) for row in rows_of(run)), default=0)
    label = f"p{{{LABEL_WIDTH / LINE_WIDTH:.2f}\\linewidth}}" if longest > LABEL_WIDTH else "l"
    if columns is None:
        used = min(longest, LABEL_WIDTH) + sum(GAP + width for width in (5, *([11, 6] if run.verdict else [6])))
        metrics = metrics[: max(1, (LINE_WIDTH - used) // METRIC_WIDTH)]
    number = len(metrics)
    environment = "longtable" if len(rows) > LONG else "tabular"
    headings = ["loss or baseline", "ok"]
    headings += [rf"\multicolumn{{2}}{{c}}{{{escaped(metric.heading)}}}" for metric in metrics] + judged
    head = [r"\toprule", line(headings), r"\midrule", *([r"\endhead"] if environment == "longtable" else [])]
    body = [line([*row.first, *(cell for pair in row.metrics[:number] for cell in pair), *row.judged]) for row in rows]
    packages = [r"\usepackage{booktabs}", *([r"\usepackage{longtable}"] if environment == "longtable" else [])]
    return "\n".join(
        [
            f"% {heading(run)}",
            *(f"% {text}" for text in _finding(run)),
            f"% {legend(run, sort, _star(run, metrics))}",
            f"% It needs {' and '.join(packages)} in the preamble.",
            r"{\small\setlength{\tabcolsep}{4pt}",
            rf"\begin{{{environment}}}{{{label}r{'rl' * number}{'l' * len(judged)}}}",
            *head,
            *body,
            r"\bottomrule",
            rf"\end{{{environment}}}}}",
        ]
    )


def table_csv(run: RunRecord, sort: Metric | None = None, columns: Sequence[Metric] | None = None) -> str:
    """Return every mean with its interval in full precision, one row per label; a cell without a value is empty.

    What the run was asked is the difference from the phase-1 embedding, what is shown of it, and whether the loss may
    be the best: a cell holds a number or a word, so that other programs read it.
    """
    run = shown(run)
    claims = {claim.label: claim for claim in run.verdict.helps} if run.verdict else {}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    metrics = columns or columns_of(run)
    names = [f"{metric.key}{end}" for metric in metrics for end in ("", " ci95 low", " ci95 high")]
    # A program finds the same columns whatever a run asks.
    asked_columns = ["helps by", "helps", "best"] if run.verdict else _judged_headings(run)
    writer.writerow(["label", "kind", "ok", "trials", *names, *asked_columns])
    for row in rows_of(run, sort):
        cells: list[object] = [row.label, row.kind, row.ok, row.total]
        for metric in metrics:
            summary = row.summaries.get(metric.key)
            cells += [row.mean(metric), *((summary.ci95 if summary else None) or (None, None))]
        claim = claims.get(row.label)
        asked = [claim.difference if claim else None, claim.verdict if claim else "", best_word(run, row.label)]
        judged = asked if run.verdict else _judged(run, row, sort)
        writer.writerow(csv_cells([*cells, *judged]))
    return file.getvalue().removesuffix("\n")
