"""The report as one self-contained page: it loads nothing from elsewhere, and its own policy forbids it to.

The tables are there without JavaScript; charts, sorting and choosing need it. What the page's script reads is one block
of JSON.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import jinja2
import markupsafe

from faceexp.errors import printable
from faceexp.evaluation.catalogue import METRIC_OF, Metric
from faceexp.report import findings
from faceexp.report.answers import answers, best_word, helps_word
from faceexp.report.columns import (
    Row,
    columns_of,
    compared,
    heading,
    legend,
    losses_below_phase1,
    mean_and_interval,
    primary,
    rows_of,
    starred,
    trains,
)
from faceexp.report.failures import shown_failures
from faceexp.report.glossary import glossary
from faceexp.report.headline import headline, to_use
from faceexp.report.page import figures_of_rows, over_sets
from faceexp.report.page.budgets import budget_rows
from faceexp.report.page.chosen import chosen_row, with_diagnostics
from faceexp.report.page.figures import PageJson
from faceexp.report.page.figures_of_search import charts as charts_of_search
from faceexp.report.page.groups import charts, shown_groups
from faceexp.report.page.pairs import PairCells, matrix_of, pairs_of
from faceexp.report.page.questions import chart, judged_rows
from faceexp.report.page.search import section as search_section
from faceexp.report.published import beside
from faceexp.report.rates import rates_tables
from faceexp.report.searched import several_settings
from faceexp.report.shown import shown
from faceexp.results.budgets import BUDGET_KINDS
from faceexp.results.schema import EnvironmentRecord, RunRecord, TrialFile

# A table of comparisons with more lines than this is folded until the reader opens it: it would be longer than
# everything below it, which nobody would then find.
UNFOLDED = 60
# So many metrics of the leaderboard are seen without scrolling sideways; the others are shown when a reader asks.
USUAL_COLUMNS = 3
# So many losses, the best ones, are drawn in ROC and DET before the reader chooses any: more lines than these and the
# baselines, which are always drawn, cannot be told from each other.
DRAWN_LOSSES = 4


@dataclass(frozen=True)
class MeanCell:
    """A mean in the leaderboard, with half the width of its interval, and whether it is the best of its column."""

    mean: str
    interval: str
    best: bool


@dataclass(frozen=True)
class LeaderboardRow:
    """A row of the leaderboard.

    Attributes:
        label: The loss with its options, or the baseline.
        kind: Whether it is a loss or a baseline.
        count: How many of its trials ended well, of how many.
        complete: Whether all did.
        group: Its letters in the leading metric.
        helps: By how much it differs from the phase-1 embedding, and what is shown of that.
        may_be_best: Whether it may be the best.
        cells: One cell per metric.
    """

    label: str
    kind: str
    count: str
    complete: bool
    group: str
    helps: str
    may_be_best: str
    cells: tuple[MeanCell, ...]


@dataclass(frozen=True)
class Line:
    """A line in ROC and DET: the place of its row, and how it is drawn."""

    place: int
    curve: figures_of_rows.Curve


def page(
    run: RunRecord,
    environment: EnvironmentRecord,
    trials: Mapping[str, TrialFile],
    pictures: Mapping[int, bytes],
    chosen: str | None = None,
    pages: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return ``report.html``.

    Args:
        run: What the run found.
        environment: What it was made with; may be empty.
        trials: The trials with their diagnostics, by id; what is missing is not shown.
        pictures: The images that the diagnostics name, by number, as PNG files.
        chosen: The loss whose model `faceexp verify` takes of this run, if that is known.
        pages: The file of the page on each test set, by its name, where these pages lie beside this one.
    """
    from plotly.offline import get_plotlyjs

    description = printable(" ".join(run.description.split()))  # a browser does not show where its lines end
    run, environment, trials, chosen = shown((run, environment, trials, chosen))
    rows = rows_of(run)
    metrics = columns_of(run)
    places = {row.label: place for place, row in enumerate(rows)}
    orders = {metric.key: [places[row.label] for row in rows_of(run, metric)] for metric in metrics}
    pairs = {metric.key: pairs_of(run, places, metric) for metric in metrics}
    lines = _lines(run, rows, trials)
    first = primary(run)
    order, leading_pairs = orders.get(first.key, []), pairs.get(first.key, [])
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            title=heading(run),
            description=description,
            finding=[sentence for sentence in (*headline(run), to_use(run, chosen)) if sentence],
            answers=answers(run),
            remarks=findings.remarks(run),
            judged=judged_rows(run),
            asked=run.verdict,
            trains=trains(run),
            warnings=findings.warnings(run),
            budget_warnings=findings.budget_warnings(run),
            unbeaten=[] if run.verdict else losses_below_phase1(run),
            primary=first,
            chosen_by=METRIC_OF[run.chosen_by].name,
            notes=findings.notes(run),
            metrics=metrics,
            leaderboard=_leaderboard(run, rows, metrics),
            legend=" ".join([legend(run), *(f"{text}." for text in several_settings(run))]),
            labels=[row.label for row in rows],
            kinds=[row.kind for row in rows],
            order=order,
            matrix=matrix_of(order, leading_pairs),
            any_differ=any(pair.decided for pair in leading_pairs),
            field_rates=rates_tables(run),
            usual=USUAL_COLUMNS,
            pairs=leading_pairs,
            unfolded=len(leading_pairs) <= UNFOLDED,
            lines=lines,
            grid=len(figures_of_rows.FAR),
            start=next((place for place, row in enumerate(rows) if row.kind != "baseline" and row.ok), 0),
            budgets=budget_rows(run),
            search=search_section(run),
            groups=shown_groups(run),
            lost=shown_failures(run),
            budget_kinds=BUDGET_KINDS,
            compared=compared(run)[0],
            published=beside(run, rows),
            **over_sets.section(run, pages),
            failures=run.failed,
            environment=environment if environment.python else None,
            method=run.method,
            ratio=run.ratio,
            glossary=glossary(),
            data=_script_data(run, rows, orders, pairs, lines)
            | {
                "chosen": [chosen_row(run, row, trials, pictures) for row in rows],
                "pictures": {str(image): _address(png) for image, png in pictures.items()},
            },
            plotly=markupsafe.Markup(get_plotlyjs()),  # noqa: S704 - a library's own code
        )
    )


def _script_data(
    run: RunRecord,
    rows: Sequence[Row],
    orders: Mapping[str, Sequence[int]],
    pairs: Mapping[str, Sequence[PairCells]],
    lines: Sequence[Line],
) -> PageJson:
    """Return what the page's script reads about all rows: names, orders, comparisons and charts, by metric."""
    metrics = columns_of(run)
    curves = [line.curve for line in lines]
    return {
        "labels": [row.label for row in rows],
        "kinds": [row.kind for row in rows],
        "metrics": {
            metric.key: {
                "heading": metric.heading,
                "unit": "points" if metric.is_percentage else "",
                "higher": metric.higher_is_better,
            }
            for metric in metrics
        },
        "orders": orders,
        "groups": {metric.key: [row.letters(metric) for row in rows] for metric in metrics},
        "compared": pairs,
        "forest": {
            metric.key: figures_of_rows.forest([rows[place] for place in orders[metric.key]], metric)
            for metric in metrics
        },
        "helps": chart(run),
        "ranks": over_sets.critical_differences(run),
        "search": charts_of_search(run.search),
        "byGroup": [each["figure"] for each in charts(run)],
        "roc": figures_of_rows.roc(curves),
        "det": figures_of_rows.det(curves),
    }


def _address(png: bytes) -> str:
    """Return a picture as an address that holds the picture itself, so that nothing is loaded."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("faceexp.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["code"] = _code
    # By default the filter sorts keys; here the order of metrics and labels has a meaning.
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return templates


def _code(text: str) -> markupsafe.Markup:
    """Return a text in which what stands between backticks, as commands do, is set as code."""
    return markupsafe.Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(text))))  # noqa: S704


def _leaderboard(run: RunRecord, rows: Sequence[Row], metrics: Sequence[Metric]) -> list[LeaderboardRow]:
    stars = {metric: starred(run, metric) for metric in metrics}
    return [
        LeaderboardRow(
            row.label,
            row.kind,
            f"{row.ok}/{row.total}",
            row.ok == row.total,
            row.letters(metrics[0]),
            helps_word(run, row.label),
            best_word(run, row.label),
            tuple(_mean_cell(row, metric, is_starred=row.label in stars[metric]) for metric in metrics),
        )
        for row in rows
    ]


def _mean_cell(row: Row, metric: Metric, *, is_starred: bool) -> MeanCell:
    mean, _, interval = mean_and_interval(row.summaries.get(metric.key), metric).partition(" ")
    return MeanCell(mean, interval, is_starred)


def _lines(run: RunRecord, rows: Sequence[Row], trials: Mapping[str, TrialFile]) -> list[Line]:
    """Return the mean ROC of every row that has diagnostics."""
    best_losses = {row.label for row in [row for row in rows if row.kind != "baseline" and row.ok][:DRAWN_LOSSES]}
    lines = []
    for place, (row, style) in enumerate(zip(rows, figures_of_rows.styles(rows), strict=True)):
        of_trials = [(each.far, each.tar) for _, each in with_diagnostics(run, row, trials) if each.far and each.tar]
        if of_trials:
            drawn_at_first = row.kind == "baseline" or row.label in best_losses
            mean = figures_of_rows.average(of_trials)
            lines.append(Line(place, figures_of_rows.Curve(row.label, style, mean, drawn_at_first)))
    return lines
