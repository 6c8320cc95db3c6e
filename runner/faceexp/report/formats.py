"""The table of a run as text for other programs: Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

from faceexp.report.columns import COLUMNS, Column, best, columns, group, heading, legend, rows, written

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


def _cells(document: Mapping[str, Any], sort: Column, mark: Callable[[str], str]) -> list[list[str]]:
    """Return the table's rows; the best value of each metric is marked."""
    listed = rows(document, sort)
    found = []
    for row in listed:
        cells = [row.label, f"{row.ok}/{row.total}"]
        for column in columns(document):
            summary = row.summaries.get(column.metric)
            text = written(summary, column)
            top = summary is not None and summary["mean"] is not None and summary["mean"] == best(listed, column)
            cells.append(mark(text) if top else text)
        found.append([*cells, group(row, sort)])
    return found


def _headings(document: Mapping[str, Any]) -> list[str]:
    return ["loss or baseline", "ok", *(column.heading for column in columns(document)), "group"]


def markdown(document: Mapping[str, Any], sort: Column = COLUMNS[0]) -> str:
    """Return a table in GitHub's Markdown, and the legend below it."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(re.sub(r"([\\|`<>])", r"\\\1", cell) for cell in cells) + " |"

    names = _headings(document)
    rule = "| --- | " + " | ".join("---:" for _ in names[1:]) + " |"
    body = [line(cells) for cells in _cells(document, sort, lambda text: f"**{text}**")]
    return "\n".join(
        [f"**{heading(document)}**", "", line(names), rule, *body, "", legend(document, sort).replace("*", "\\*")]
    )


def latex(document: Mapping[str, Any], sort: Column = COLUMNS[0]) -> str:
    """Return a table in LaTeX with the rules of the package booktabs; the best values are bold."""

    def escaped(text: str) -> str:
        return re.sub("[" + re.escape("".join(LATEX)) + "]", lambda match: LATEX[match[0]], text)

    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    names = _headings(document)
    # Marks are set around the escaped text: a sign that no label holds stands for them until then.
    body = []
    for cells in _cells(document, sort, lambda text: f"\0{text}"):
        shown = [escaped(cell.removeprefix("\0")) for cell in cells]
        body.append(
            line([rf"\textbf{{{text}}}" if cell[:1] == "\0" else text for cell, text in zip(cells, shown, strict=True)])
        )
    return "\n".join(
        [
            rf"% {heading(document)}",
            rf"% {legend(document, sort)}",
            rf"\begin{{tabular}}{{l{'r' * (len(names) - 2)}l}}",
            r"\toprule",
            line([escaped(name) for name in names]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def table_csv(document: Mapping[str, Any], sort: Column = COLUMNS[0]) -> str:
    """Return every mean with its interval in full precision, a row a label; nothing where there is no value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    shown = columns(document)
    values = [f"{column.metric}{end}" for column in shown for end in ("", " ci95 low", " ci95 high")]
    writer.writerow(["label", "kind", "ok", "trials", *values, "group"])
    for row in rows(document, sort):
        cells: list[object] = [row.label, row.kind, row.ok, row.total]
        for column in shown:
            summary = row.summaries.get(column.metric, {})
            cells += [summary.get("mean"), *(summary.get("ci95") or (None, None))]
        writer.writerow([*cells, group(row, sort)])
    return file.getvalue().removesuffix("\n")
