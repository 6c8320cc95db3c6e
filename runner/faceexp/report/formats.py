"""The table of a run as text for other programs: Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

from faceexp.evaluation.catalogue import LEADING, Metric
from faceexp.report.columns import best, columns_of, heading, legend, mean_and_interval, rows_of
from faceexp.results.schema import RunRecord

# What LaTeX takes for a command; the backslash goes first, since the others bring new ones.
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"$<$",
    ">": r"$>$",
}


def _cells(run: RunRecord, sort: Metric, mark: Callable[[str], str]) -> list[list[str]]:
    """Return the table's rows; the best value of each metric is marked."""
    listed = rows_of(run, sort)
    found = []
    for row in listed:
        cells = [row.label, f"{row.ok}/{row.total}"]
        for column in columns_of(run):
            summary = row.summaries.get(column.key)
            text = mean_and_interval(summary, column)
            top = summary is not None and summary.mean is not None and summary.mean == best(listed, column)
            cells.append(mark(text) if top else text)
        found.append([*cells, row.letters(sort)])
    return found


def _headings(run: RunRecord) -> list[str]:
    return ["loss or baseline", "ok", *(column.heading for column in columns_of(run)), "group"]


def markdown(run: RunRecord, sort: Metric = LEADING) -> str:
    """Return a table in GitHub's Markdown, and the legend below it."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(re.sub(r"([\\|`<>])", r"\\\1", cell) for cell in cells) + " |"

    names = _headings(run)
    rule = "| --- | " + " | ".join("---:" for _ in names[1:]) + " |"
    body = [line(cells) for cells in _cells(run, sort, lambda text: f"**{text}**")]
    return "\n".join([f"**{heading(run)}**", "", line(names), rule, *body, "", legend(run, sort).replace("*", "\\*")])


def latex(run: RunRecord, sort: Metric = LEADING) -> str:
    """Return a table in LaTeX with the rules of the package booktabs; the best values are bold."""

    def escaped(text: str) -> str:
        return re.sub("[" + re.escape("".join(LATEX)) + "]", lambda match: LATEX[match[0]], text)

    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    names = _headings(run)
    # Marks are set around the escaped text: a sign that no label holds stands for them until then.
    body = []
    for cells in _cells(run, sort, lambda text: f"\0{text}"):
        shown = [escaped(cell.removeprefix("\0")) for cell in cells]
        body.append(
            line([rf"\textbf{{{text}}}" if cell[:1] == "\0" else text for cell, text in zip(cells, shown, strict=True)])
        )
    return "\n".join(
        [
            rf"% {heading(run)}",
            rf"% {legend(run, sort)}",
            rf"\begin{{tabular}}{{l{'r' * (len(names) - 2)}l}}",
            r"\toprule",
            line([escaped(name) for name in names]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def table_csv(run: RunRecord, sort: Metric = LEADING) -> str:
    """Return every mean with its interval in full precision, a row a label; nothing where there is no value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    shown = columns_of(run)
    values = [f"{column.key}{end}" for column in shown for end in ("", " ci95 low", " ci95 high")]
    writer.writerow(["label", "kind", "ok", "trials", *values, "group"])
    for row in rows_of(run, sort):
        cells: list[object] = [row.label, row.kind, row.ok, row.total]
        for column in shown:
            summary = row.summaries.get(column.key)
            cells += [row.mean(column), *((summary.ci95 if summary else None) or (None, None))]
        writer.writerow([*cells, row.letters(sort)])
    return file.getvalue().removesuffix("\n")
