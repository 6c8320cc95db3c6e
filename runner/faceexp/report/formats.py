"""The table of a run as text for other programs: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator

from faceexp.evaluation.catalogue import Metric
from faceexp.report.answers import best_word, helps_word
from faceexp.report.columns import Row, best, columns_of, heading, legend, mean_and_interval, primary, rows_of
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
# What Markdown would take for a link, an emphasis, a tag, code or the end of a cell. It takes an underscore
# inside a word for itself, and so the names of plugins stay as they are.
MARKDOWN = re.compile(r"[\\|`<>\[\]*]|(?<!\w)_|_(?!\w)")


def _cells(run: RunRecord, sort: Metric | None, escaped: Callable[[str], str], bold: str) -> Iterator[list[str]]:
    """Yield the cells of each row, escaped; ``bold`` is what the best value of each metric becomes."""
    rows = rows_of(run, sort)
    for row in rows:
        cells = [escaped(row.label), f"{row.ok}/{row.total}"]
        for metric in columns_of(run):
            text = mean_and_interval(row.summaries.get(metric.key), metric)
            rank = row.rank(metric)
            is_best = rank is not None and rank == best(rows, metric)
            cells.append(bold.format(escaped(text)) if is_best else escaped(text))
        yield [*cells, *(escaped(text) for text in _judged(run, row, sort))]


def _judged(run: RunRecord, row: Row, sort: Metric | None) -> list[str]:
    """Return what is shown of a row: whether it helps and may be the best, or its letters in older runs."""
    if run.verdict is None:
        return [row.letters(sort or primary(run))]
    return [helps_word(run, row.label), best_word(run, row.label)]


def _headings(run: RunRecord) -> list[str]:
    judged = ["group"] if run.verdict is None else ["helps", "best"]
    return ["loss or baseline", "ok", *(metric.heading for metric in columns_of(run)), *judged]


def markdown(run: RunRecord, sort: Metric | None = None) -> str:
    """Return a table in GitHub's Markdown, with the legend below it."""
    run = shown(run)

    def escaped(text: str) -> str:
        return MARKDOWN.sub(r"\\\g<0>", text)

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    names = _headings(run)
    rule = "| --- | " + " | ".join("---:" for _ in names[1:]) + " |"
    body = [line(cells) for cells in _cells(run, sort, escaped, "**{}**")]
    title = f"**{escaped(heading(run))}**"
    return "\n".join([title, "", line(map(escaped, names)), rule, *body, "", escaped(legend(run, sort))])


def latex(run: RunRecord, sort: Metric | None = None) -> str:
    """Return a table in LaTeX with the rules of the package booktabs; the best values are bold."""
    run = shown(run)

    def escaped(text: str) -> str:
        return re.sub("[" + re.escape("".join(LATEX)) + "]", lambda match: LATEX[match[0]], text)

    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    names = _headings(run)
    body = [line(cells) for cells in _cells(run, sort, escaped, r"\textbf{{{}}}")]
    return "\n".join(
        [
            rf"% {heading(run)}",
            rf"% {legend(run, sort)}",
            rf"\begin{{tabular}}{{l{'r' * (len(columns_of(run)) + 1)}{'l' * (len(names) - len(columns_of(run)) - 2)}}}",
            r"\toprule",
            line([escaped(name) for name in names]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def table_csv(run: RunRecord, sort: Metric | None = None) -> str:
    """Return every mean with its interval in full precision, one row per label; a cell without a value is empty."""
    run = shown(run)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    metrics = columns_of(run)
    names = [f"{metric.key}{end}" for metric in metrics for end in ("", " ci95 low", " ci95 high")]
    writer.writerow(["label", "kind", "ok", "trials", *names, *_headings(run)[len(metrics) + 2 :]])
    for row in rows_of(run, sort):
        cells: list[object] = [row.label, row.kind, row.ok, row.total]
        for metric in metrics:
            summary = row.summaries.get(metric.key)
            cells += [row.mean(metric), *((summary.ci95 if summary else None) or (None, None))]
        writer.writerow(csv_cells([*cells, *_judged(run, row, sort)]))
    return file.getvalue().removesuffix("\n")
