"""The tables of a run in a terminal: its rows, the matrix of verdicts, the budgets."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from faceexp.evaluation.catalogue import Metric
from faceexp.report.answers import answers, best_word, helps_word, labels_in_words
from faceexp.report.columns import (
    ONE_CELL,
    STAR,
    Row,
    columns_of,
    compared,
    heading,
    legend,
    losses_below_phase1,
    mean_and_interval,
    primary,
    reference,
    rows_of,
    starred,
    told_apart,
    trains,
    usual_budget,
    verdicts,
)
from faceexp.report.groups import asked_columns
from faceexp.report.headline import headline, to_use
from faceexp.report.published import remarks
from faceexp.report.searched import several_settings
from faceexp.report.shown import shown
from faceexp.report.terminal.failures import error_rates, error_rates_on_set, lost
from faceexp.report.terminal.rates import rates
from faceexp.report.terminal.tables import plain_table
from faceexp.report.words import together
from faceexp.results.budgets import BUDGET_KINDS
from faceexp.results.schema import RunRecord

# Rich's picture without the fonts that it would load from elsewhere: every machine has a monospaced one of its own.
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
# Characters that labels get. Longer labels are folded, since each metric more on the screen says more than the end of a
# long label on the same line. Screens with room for four metrics give labels the larger width, and a screen that has
# room for nothing else the least.
LEAST_LABEL_WIDTH = 12
LABEL_WIDTH, WIDE_LABEL_WIDTH = 24, 32
WIDE_SCREEN = 120
# Characters between two columns, and at both ends of a line together.
BETWEEN, EDGES = 3, 2
# Characters in a line of a picture: with more, it could not be read in a page of text.
PICTURE_WIDTH = 120
# Characters that a question takes beside its answer.
QUESTION_WIDTH = 22
# On a narrower screen an answer stands below its question.
BESIDE = 60


def run_table(
    run: RunRecord,
    width: int,
    sort: Metric | None = None,
    columns: Sequence[Metric] | None = None,
    *,
    notes: bool = False,
    told: Collection[str] = (),
    chosen: str | None = None,
) -> RenderableType:
    """Return the finding of a run in words, its table, and at most three lines that a reader has to know.

    The table has one row per loss or baseline with means and intervals; the best value of a metric is marked if it is
    told from others.

    Args:
        run: What the run found.
        width: Characters in a line of the screen; metrics that do not fit are left out, the least important first.
        sort: The metric whose best row comes first; it is shown whatever the width. Without one, it is the primary
            metric.
        columns: The metrics to show, before anything else; without any, as many as fit.
        notes: Whether the answers to all questions, the notes on the data and the method follow.
        told: Labels of losses of which the reader was just told why they were not trained.
        chosen: The loss whose model `faceexp verify` takes of this run, if that is known.
    """
    run, told, chosen = shown(run), shown(tuple(told)), shown(chosen)
    asked_sort, sort = sort, sort or primary(run)
    rows = rows_of(run, sort)
    judged = {name: [_judged(run, row, sort)[name] for row in rows] for name in _judged_names(run)}
    stars = {metric: starred(run, metric) for metric in columns or columns_of(run)}
    cells = {metric: _aligned(rows, metric, stars[metric]) for metric in stars}
    always = asked_sort if asked_sort in cells else next(iter(cells))
    metrics, names = _fitting(rows, cells, always, judged, width)
    if columns and len(metrics) < len(columns):
        metrics, names = _fitting(rows, cells, always, {}, width)
    table = plain_table()
    table.add_column(f"{compared(run)[0]} or baseline", overflow="fold", min_width=LEAST_LABEL_WIDTH)
    table.add_column("ok", justify="right", no_wrap=True)
    for metric in metrics:
        table.add_column(f" {metric.heading}", no_wrap=True)
    for name in names:
        table.add_column(name, justify="left", no_wrap=True)
    for place, row in enumerate(rows):
        label = Text(row.label, style="dim italic" if row.kind == "baseline" else "bold")
        count = Text(f"{row.ok}/{row.total}", style="red" if row.ok < row.total else "")
        table.add_row(label, count, *(cells[key][place] for key in metrics), *(judged[name][place] for name in names))
    parts: list[RenderableType] = [Text(heading(run), style="dim")]
    said = [sentence for sentence in (*headline(run), to_use(run, chosen)) if sentence and sentence.text]
    parts += [Text(sentence.text, style="bold yellow" if sentence.warns else "bold") for sentence in said]
    is_starred = any(stars[metric] for metric in metrics)
    parts += [table, *_below(run, metrics, names, told, is_starred=is_starred, notes=notes)]
    if columns and (missing := [metric.name for metric in columns if metric not in metrics]):
        parts.append(Text(f"no room in {width} characters for {together(missing)}", style="yellow"))
    return Group(*parts, *(_notes(run, width, sort, STAR if is_starred else "") if notes else error_rates_on_set(run)))


def _aligned(rows: Sequence[Row], metric: Metric, stars: Collection[str]) -> list[Text]:
    """Return the cells of a metric, in which means stand below means and the ends of intervals below such ends."""
    split = [mean_and_interval(row.summaries.get(metric.key), metric).partition(" ") for row in rows]
    ends = [interval.partition("\N{EN DASH}") for _, _, interval in split]
    means = [f"{'*' if row.label in stars else ''}{mean}" for row, (mean, _, _) in zip(rows, split, strict=True)]
    widest, lowest, highest = (
        max(map(len, texts), default=0) for texts in (means, *list(zip(*ends, strict=True))[::2])
    )
    return [
        Text(f"{mean:>{widest}}", style="bold green" if row.label in stars else "").append(
            f" {low:>{lowest}}{dash}{high:<{highest}}" if dash or low else "", style="not bold dim"
        )
        for row, mean, (low, dash, high) in zip(rows, means, ends, strict=True)
    ]


def _below(
    run: RunRecord,
    metrics: Sequence[Metric],
    names: Sequence[str],
    told: Collection[str],
    *,
    is_starred: bool,
    notes: bool,
) -> list[RenderableType]:
    """Return the lines below a table: what went wrong, what is unequal, and what the marks mean."""
    failures, warnings = _failures(run, told), [Text(f"! {warning}", style="yellow") for warning in run.warnings]
    if not notes:
        failures, warnings = _first(failures), _first(warnings)
    several, first = len(run.cells) > 1, primary(run)
    marks = ["mean and 95 % interval"] if several else []
    marks += [f"{first.name}: {first.meaning}"] if first in metrics else []
    marks += [f"{each.name}: the protocol of the list, ± standard error" for each in metrics if each.by_folds]
    if "helps" in names:
        elsewhere = "" if first in metrics else ", which has no column here,"
        marks.append(f"helps: {first.name}{elsewhere} minus the {reference(run)}'s; ?: undecided")
    marks += ["same letter: not told apart"] if several and "group" in names else []
    marks += ["* best, and better than another loss"] if is_starred else []
    marks += [f"by {columns}: --groups"] if (columns := asked_columns(run)) else []
    marks += several_settings(run)
    marks += ["templates are judged, not images: --notes"] if "templates" in run.note_kinds and not notes else []
    text = "; ".join(marks) if several else " ".join([ONE_CELL, "; ".join(marks)]).rstrip()
    return [*failures, *warnings, *lost(run), Text(text, style="dim")]


def _first(lines: list[Text]) -> list[Text]:
    """Return the first of some lines, and how many more there are."""
    if len(lines) < 2:
        return lines
    return [lines[0].append(f"; {len(lines) - 1} more such with --notes")]


def _notes(run: RunRecord, width: int, sort: Metric, star: str) -> Iterator[RenderableType]:
    """Yield what else there is to know: the answers to all questions, the data, and the method."""
    if run.verdict:
        yield _answers(run, width)
    else:
        yield Text(told_apart(run, sort), style="bold")
        yield from (Text(f"! {note}", style="yellow") for note in losses_below_phase1(run))
    yield from error_rates(run)
    yield from rates(run)
    yield from _published(run)
    texts = (*run.notes, usual_budget(run), legend(run, sort, star), run.method)
    yield from (Text(text) for text in texts if text)


def _judged_names(run: RunRecord) -> tuple[str, ...]:
    judged = ("helps", "best") if trains(run) else ("best",)
    return judged if run.verdict else ("group",)


def _judged(run: RunRecord, row: Row, sort: Metric) -> dict[str, Text]:
    """Return what is shown of a row: whether it helps and may be the best, or its letters in runs of older versions."""
    if run.verdict is None:
        return {"group": Text(row.letters(sort))}
    helps = helps_word(run, row.label)
    style = "bold green" if helps.endswith("helps") else "red" if helps.endswith("hurts") else ""
    best_of = best_word(run, row.label)
    return {
        "helps": Text(helps, style=style),
        "best": Text(best_of, style="bold" if best_of == "may be" else "dim"),
    }


def _answers(run: RunRecord, width: int) -> RenderableType:
    """Return the answers of a run, each behind its question."""
    table = Table.grid(padding=(0, 2))
    if width < BESIDE:
        table.add_column(overflow="fold")
    else:
        table.add_column(style="bold", max_width=QUESTION_WIDTH)
        table.add_column(overflow="fold")
    for answer in answers(run):
        question, text = Text(answer.question, style="bold"), Text(answer.text, style="yellow" if answer.warns else "")
        if width < BESIDE:
            table.add_row(question)
            table.add_row(text)
        else:
            table.add_row(question, text)
    return table


def picture(
    run: RunRecord,
    sort: Metric | None = None,
    columns: Sequence[Metric] | None = None,
    *,
    chosen: str | None = None,
) -> str:
    """Return the same table as a picture, as the text of an SVG file."""
    console = Console(record=True, width=PICTURE_WIDTH, file=io.StringIO())
    console.print(run_table(run, console.width, sort, columns, chosen=chosen))
    return console.export_svg(title="faceexp report", code_format=SVG_FORMAT)


def _fitting(
    rows: Sequence[Row],
    cells: Mapping[Metric, Sequence[Text]],
    sort: Metric,
    judged: Mapping[str, Sequence[Text]],
    width: int,
) -> tuple[list[Metric], list[str]]:
    """Return the metrics and the names of the columns behind them that fit beside the labels.

    The metric by which rows are sorted is always there. Then come the columns of what is judged, and then the other
    metrics, the most important ones first: the first that does not fit ends them.

    Args:
        rows: The rows.
        cells: The cells of each metric, the most important metric first.
        sort: The metric by which rows are sorted.
        judged: The columns of what is judged, by name.
        width: Characters in a line of the screen.
    """
    longest_label = max((len(row.label) for row in rows), default=0)
    usual = max(LABEL_WIDTH, min(longest_label, WIDE_LABEL_WIDTH)) if width >= WIDE_SCREEN else LABEL_WIDTH
    of_metric = {
        metric: max(len(metric.heading) + 1, *(len(text) for text in texts), 0) for metric, texts in cells.items()
    }
    count = max((len(f"{row.ok}/{row.total}") for row in rows), default=0)
    left = width - EDGES - LEAST_LABEL_WIDTH - BETWEEN - count - BETWEEN - of_metric.get(sort, 0)
    names = []
    for name, texts in judged.items():
        left -= BETWEEN + max(len(name), *(len(text) for text in texts), 0)
        if left < 0:
            break
        names.append(name)
    # What is judged may fold labels more than usual; further metrics may not.
    left -= usual - LEAST_LABEL_WIDTH
    chosen = {sort}
    for metric in cells:
        if metric in chosen:
            continue
        left -= BETWEEN + of_metric[metric]
        if left < 0:
            break
        chosen.add(metric)
    return [metric for metric in cells if metric in chosen], names


def _published(run: RunRecord) -> list[RenderableType]:
    """Return the published results in the layout of their own table, and what they can show."""
    published = run.published
    if not published:
        return []
    table = plain_table(f"published: {published.source}")
    table.add_column("loss", overflow="fold", min_width=12)
    table.add_column(f"right of {published.pairs:,}", justify="right")
    table.add_column("accuracy %", justify="right")
    table.add_column("sim/diff", justify="right")
    for result in published.results:
        ratio = result.sim_diff_ratio
        accuracy = f"{result.right / published.pairs * 100:.1f}"
        table.add_row(Text(result.label), f"{result.right:,}", accuracy, "-" if ratio is None else f"{ratio:.2f}")
    return [table, *(Text(f"! {remark}", style="yellow") for remark in remarks(published))]


def budgets(run: RunRecord) -> RenderableType:
    """Return what each loss was given, one row per loss."""
    run = shown(run)
    table = plain_table("budgets")
    table.add_column("loss", overflow="fold", min_width=12)
    for kind in BUDGET_KINDS:
        table.add_column(kind.heading, justify="right")
    for budget in run.budgets:
        table.add_row(Text(budget.label), *(f"{kind.of(budget):,}" for kind in BUDGET_KINDS))
    return table


def matrix(run: RunRecord, metric: Metric) -> RenderableType:
    """Return which row is better than which in a metric: one row and one numbered column per label, the best first."""
    run = shown(run)
    labels = [row.label for row in rows_of(run, metric) if row.ok]
    signs = verdicts(run, metric)
    digits = len(str(len(labels)))
    styles = {">": "bold green", "<": "red", "=": "dim"}
    label_width = min(WIDE_LABEL_WIDTH, max(map(len, labels), default=0))
    head = Text(" " * (label_width + digits + 2), style="bold")
    head.append(" ".join(f"{number:>{digits}}" for number in range(1, len(labels) + 1)))
    lines = [Text(f"verdicts in {metric.name}", style="bold"), head]
    for number, label in enumerate(labels, 1):
        short = label if len(label) <= label_width else label[: label_width - 1] + "…"
        line = Text(f"{number:>{digits}} {short:<{label_width}} ")
        for other in labels:
            sign = "" if other == label else signs.get((label, other), "·")
            line.append(f"{sign:>{digits}} ", style=styles.get(sign, "dim"))
        line.rstrip()
        lines.append(line)
    lines.append(
        Text(
            "> better than the column's row, < worse, = cannot be told apart (5 %, Holm-corrected), · no test",
            style="dim",
        )
    )
    lines.append(Text(told_apart(run, metric), style="bold"))
    return Group(*lines)


def _failures(run: RunRecord, told: Collection[str]) -> list[Text]:
    lines = [
        Text(f"x {trial.label} (seed {trial.seed}, fold {trial.fold}) {trial.status}: {trial.reason}", style="red")
        for trial in run.failed
        if trial.label not in told
    ]
    untrained = [label for label in dict.fromkeys(trial.label for trial in run.failed) if label in told]
    if untrained:
        did = "was not trained: its" if len(untrained) == 1 else "were not trained: their"
        text = f"x {labels_in_words(untrained)} {did} first call failed, as was said when the run began"
        lines.append(Text(text, style="red"))
    return lines
