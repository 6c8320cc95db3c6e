"""The table of a run as text for other programs: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

from faceexp.evaluation.catalogue import LEADING, Metric
from faceexp.report.columns import best, columns_of, heading, legend, mean_and_interval, rows_of
from faceexp.results.schema import RunRecord

# What LaTeX would take for a command, and what stands for it. All are replaced in one pass, so that the backslashes
# that come with a replacement are not replaced again.
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
    """Return the cells of each row; the best value of each metric is marked."""
    rows = rows_of(run, sort)
    table = []
    for row in rows:
        cells = [row.label, f"{row.ok}/{row.total}"]
        for metric in columns_of(run):
            text = mean_and_interval(row.summaries.get(metric.key), metric)
            mean = row.mean(metric)
            cells.append(mark(text) if mean is not None and mean == best(rows, metric) else text)
        table.append([*cells, row.letters(sort)])
    return table


def _headings(run: RunRecord) -> list[str]:
    return ["loss or baseline", "ok", *(metric.heading for metric in columns_of(run)), "group"]


def markdown(run: RunRecord, sort: Metric = LEADING) -> str:
    """Return a table in GitHub's Markdown, with the legend below it."""

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
    # The best values become bold after their text is escaped; until then, a character that no label holds marks them.
    body = []
    for cells in _cells(run, sort, lambda text: f"\0{text}"):
        texts = [escaped(cell.removeprefix("\0")) for cell in cells]
        body.append(
            line([rf"\textbf{{{text}}}" if cell[:1] == "\0" else text for cell, text in zip(cells, texts, strict=True)])
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
    """Return every mean with its interval in full precision, one row per label; a cell without a value is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    metrics = columns_of(run)
    names = [f"{metric.key}{end}" for metric in metrics for end in ("", " ci95 low", " ci95 high")]
    writer.writerow(["label", "kind", "ok", "trials", *names, "group"])
    for row in rows_of(run, sort):
        cells: list[object] = [row.label, row.kind, row.ok, row.total]
        for metric in metrics:
            summary = row.summaries.get(metric.key)
            cells += [row.mean(metric), *((summary.ci95 if summary else None) or (None, None))]
        writer.writerow([*cells, row.letters(sort)])
    return file.getvalue().removesuffix("\n")
