"""The tables of a run in a terminal: leaderboard, verdict matrix, budgets."""

from __future__ import annotations

import re

from rich import box
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from faceexp.evaluation.catalogue import LEADING, Metric
from faceexp.report.columns import (
    best,
    columns_of,
    heading,
    legend,
    losses_below_phase1,
    mean_and_interval,
    rows_of,
    told_apart,
    usual_budget,
    verdicts,
)
from faceexp.report.published import remarks
from faceexp.results.budgets import BUDGET_KINDS
from faceexp.results.schema import RunRecord

# Rich's picture, but for the fonts that it would fetch from elsewhere: a monospaced one is on every machine.
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")


LABEL_WIDTH = 24


WIDE_LABEL_WIDTH = 32  # on screens that have room; longer labels are folded


COLUMN_WIDTH = 14


def run_table(run: RunRecord, width: int, sort: Metric = LEADING) -> RenderableType:
    """Return the table of a run: a row a loss and a baseline, mean and interval, best values marked, failures shown.

    Args:
        run: What it found.
        width: Columns of the screen; metrics that do not fit are left out, the least important first.
        sort: The metric whose best row comes first; it is shown whatever the width.
    """
    listed = rows_of(run, sort)
    # Labels fold before a second number goes; below 60 columns it would be cut.
    longest = max((len(row.label) for row in listed), default=0)
    label_width = max(LABEL_WIDTH, min(longest, WIDE_LABEL_WIDTH)) if width >= 100 else LABEL_WIDTH
    fitting = max(2 if width >= 60 else 1, (width - label_width - 14) // COLUMN_WIDTH)
    shown = columns_of(run)
    fitted = [column for column in shown if column in (sort, *shown[: fitting - (sort not in shown[:fitting])])]
    table = Table(title=heading(run), box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False)
    table.add_column("loss or baseline", overflow="fold", min_width=12)
    table.add_column("ok", justify="right", no_wrap=True)
    for column in fitted:
        table.add_column(column.heading, justify="right", no_wrap=True)
    table.add_column("group", justify="left")
    for row in listed:
        cells: list[RenderableType] = []
        for column in fitted:
            summary = row.summaries.get(column.key)
            text = Text(mean_and_interval(summary, column))
            if summary and summary.mean is not None and summary.mean == best(listed, column):
                text = Text(f"*{text.plain}", style="bold green")
            cells.append(text)
        label = Text(row.label, style="dim italic" if row.kind == "baseline" else "bold")
        count = Text(f"{row.ok}/{row.total}", style="red" if row.ok < row.total else "")
        table.add_row(label, count, *cells, Text(row.letters(sort)))
    parts: list[RenderableType] = [table, *_failures(run)]
    parts += [Text(f"! {note}", style="yellow") for note in losses_below_phase1(run)]
    parts += [Text(f"! {warning}", style="yellow") for warning in run.warnings]
    parts += _published(run)
    parts += [Text(note, style="dim") for note in run.notes]
    parts += [Text(line, style="dim") for line in (usual_budget(run),) if line]
    parts.append(Text(legend(run, sort), style="dim"))
    parts.append(Text(told_apart(run, sort), style="bold"))
    return Group(*parts)


def _published(run: RunRecord) -> list[RenderableType]:
    """Return the results of others in the layout of their table, and what they can show."""
    published = run.published
    if not published:
        return []
    table = Table(
        title=f"published: {published.source}",
        box=box.SIMPLE_HEAD,
        title_style="bold",
        title_justify="left",
        pad_edge=False,
    )
    table.add_column("loss", overflow="fold", min_width=12)
    table.add_column(f"right of {published.pairs:,}", justify="right")
    table.add_column("accuracy %", justify="right")
    table.add_column("sim/diff", justify="right")
    for item in published.results:
        ratio = item.sim_diff_ratio
        accuracy = f"{item.right / published.pairs * 100:.1f}"
        table.add_row(Text(item.label), f"{item.right:,}", accuracy, "-" if ratio is None else f"{ratio:.2f}")
    return [table, *(Text(f"! {remark}", style="yellow") for remark in remarks(published))]


def budgets(run: RunRecord) -> RenderableType:
    """Return what each loss was given."""
    table = Table(title="budgets", box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False)
    table.add_column("loss", overflow="fold", min_width=12)
    for kind in BUDGET_KINDS:
        table.add_column(kind.heading, justify="right")
    for budget in run.budgets:
        table.add_row(Text(budget.label), *(f"{kind.of(budget):,}" for kind in BUDGET_KINDS))
    return table


def matrix(run: RunRecord, column: Metric) -> RenderableType:
    """Return who is better than whom in a metric: a row and a numbered column for each label, the best first."""
    listed = [row.label for row in rows_of(run, column) if row.ok]
    found = verdicts(run, column)
    digits = len(str(len(listed)))
    styles = {">": "bold green", "<": "red", "=": "dim"}
    label_width = min(WIDE_LABEL_WIDTH, max(map(len, listed), default=0))
    head = Text(" " * (label_width + digits + 2), style="bold")
    head.append(" ".join(f"{number:>{digits}}" for number in range(1, len(listed) + 1)))
    lines = [Text(f"verdicts in {column.name}", style="bold"), head]
    for number, label in enumerate(listed, 1):
        short = label if len(label) <= label_width else label[: label_width - 1] + "…"
        line = Text(f"{number:>{digits}} {short:<{label_width}} ")
        for other in listed:
            sign = "·" if other == label else found.get((label, other), "?")
            line.append(f"{sign:>{digits}} ", style=styles.get(sign, "dim"))
        line.rstrip()
        lines.append(line)
    lines.append(
        Text("> better than the column's row, < worse, = cannot be told apart (5 %, Holm-corrected)", style="dim")
    )
    lines.append(Text(told_apart(run, column), style="bold"))
    return Group(*(line for line in lines))


def _failures(run: RunRecord) -> list[Text]:
    return [
        Text(f"x {trial.label} (seed {trial.seed}, fold {trial.fold}) {trial.status}: {trial.reason}", style="red")
        for trial in run.failed
    ]
