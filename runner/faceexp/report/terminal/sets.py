"""The table of all test sets side by side."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.report.over_sets import cliques, metric_over_sets, names_of_sets, ranks_in_words, rows_over_sets
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import plain_table
from faceexp.report.used import used_of_sets
from faceexp.report.words import together
from faceexp.results.schema import RunRecord

LEAST_LABEL_WIDTH = 12
WIDEST_LABEL = 32
# Characters between two columns.
BETWEEN = 3
RANK = "mean rank"
# Of lines that join rows: the heading, and what a line is made of.
JOINED, LINE = "alike", "\N{BOX DRAWINGS HEAVY VERTICAL}"


def sets_table(run: RunRecord, width: int, folder: str = "RUN") -> RenderableType | None:
    """Return the mean of each row on each set in the metric that is judged; nothing if there are no test sets.

    Args:
        run: What the run found.
        width: Characters in a line; sets that do not fit are named below.
        folder: The folder of the run, for the command that shows more.
    """
    run = shown(run)
    if run.over_sets is None:
        return None
    names, rows = names_of_sets(run), rows_over_sets(run)
    longest = min(WIDEST_LABEL, max((len(row.label) for row in rows), default=0))
    joined = cliques(run.over_sets)
    lines_width = BETWEEN + max(len(JOINED), 2 * len(joined) - 1) if joined else 0
    left = width - max(LEAST_LABEL_WIDTH, min(longest, width // 3)) - BETWEEN - len(RANK) - lines_width
    shown_sets = 0
    for place, name in enumerate(names):
        left -= BETWEEN + max(len(name), *(len(row.means[place]) + 1 for row in rows))
        if left < 0 and place:
            break
        shown_sets += 1
    metric = metric_over_sets(run.over_sets)
    table = plain_table(f"{metric.heading} on each set")
    table.add_column("loss or baseline", overflow="fold", min_width=LEAST_LABEL_WIDTH)
    for name in names[:shown_sets]:
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column(RANK, justify="right", no_wrap=True)
    if joined:
        table.add_column(JOINED, no_wrap=True)
    for row in rows:
        means = [
            Text(f"{'*' if is_best else ''}{mean}", style="bold" if is_best else "")
            for mean, is_best in list(zip(row.means, row.best, strict=True))[:shown_sets]
        ]
        label = Text(row.label, style="dim italic" if row.kind == "baseline" else "bold")
        joins = [Text(" ".join(LINE if row.label in clique.labels else " " for clique in joined))] if joined else []
        table.add_row(label, *means, Text(row.rank), *joins)
    missing = list(names[shown_sets:])
    words = ranks_in_words(run)
    told = f"* best mean of its set, which is no verdict; `faceexp report {folder} --set NAME` judges one of them"
    lines = [Text(words.text)] if words else []
    if joined:
        lines.append(Text(f"{JOINED}: a line joins rows no two of which are told apart by their ranks", style="dim"))
    if lacking := list(used_of_sets(run)):
        lines.append(Text(f"! not used whole: {'; '.join(lacking)}", style="yellow"))
    if missing:
        lines.append(Text(f"no room in {width} characters for {together(missing)}", style="yellow"))
    return Group(table, *lines, Text(told, style="dim"))
