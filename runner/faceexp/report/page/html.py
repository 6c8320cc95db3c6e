"""The report as one self-contained page: it asks nobody for anything, and may not.

Tables are there without JavaScript; charts, sorting and choosing need it. What the scripts read is one block of JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

from faceexp.evaluation.catalogue import LEADING, Metric
from faceexp.report import findings
from faceexp.report.columns import (
    Row,
    best,
    columns_of,
    heading,
    legend,
    losses_below_phase1,
    mean_and_interval,
    rows_of,
)
from faceexp.report.glossary import glossary
from faceexp.report.page import figures_of_rows
from faceexp.report.page.chosen import chosen_row, with_diagnostics
from faceexp.report.published import beside
from faceexp.results.budgets import BUDGET_KINDS
from faceexp.results.schema import EnvironmentRecord, RunRecord, TrialFile

# Longer tables of comparisons are folded away until somebody asks.
UNFOLDED = 60
# Lines of losses drawn in ROC and DET before anybody asks for more; baselines are always drawn.
DRAWN_LOSSES = 4


def page(
    run: RunRecord, environment: EnvironmentRecord, trials: Mapping[str, TrialFile], pictures: Mapping[int, bytes]
) -> str:
    """Return ``report.html``.

    Args:
        run: What it found.
        environment: What it was made with; may be empty.
        trials: The trials with their diagnostics, by id; what is missing is not shown.
        pictures: PNG files of the images that the diagnostics name, by number.
    """
    from plotly.offline import get_plotlyjs

    listed = rows_of(run)
    shown = columns_of(run)
    compared = {column.key: _compared(run, listed, column) for column in shown}
    places = {row.label: place for place, row in enumerate(listed)}
    orders = {column.key: [places[row.label] for row in rows_of(run, column)] for column in shown}
    styles = figures_of_rows.styles(listed)
    curves = _curves(run, listed, styles, trials)
    first = LEADING
    data = {
        "labels": [row.label for row in listed],
        "kinds": [row.kind for row in listed],
        "metrics": {column.key: _unit(column) for column in shown},
        "orders": orders,
        "groups": {column.key: [row.letters(column) for row in listed] for column in shown},
        "compared": compared,
        "forest": {
            column.key: figures_of_rows.forest([listed[place] for place in orders[column.key]], column)
            for column in shown
        },
        "roc": figures_of_rows.roc([curve for _, curve in curves]),
        "det": figures_of_rows.det([curve for _, curve in curves]),
        "chosen": [chosen_row(run, row, trials, pictures) for row in listed],
        "pictures": {
            str(image): f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
            for image, png in pictures.items()
        },
    }
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            title=heading(run),
            description=run.description,
            verdict=findings.verdict(run),
            remarks=[
                text
                for text in (
                    findings.leading(run),
                    findings.among_losses(run),
                    findings.sensitivity(run),
                    findings.sample(run),
                )
                if text
            ],
            warnings=findings.warnings(run),
            budget_warnings=findings.budget_warnings(run),
            unbeaten=losses_below_phase1(run),
            notes=findings.notes(run),
            columns=shown,
            table=_leaderboard(listed, shown),
            legend=legend(run),
            labels=[row.label for row in listed],
            kinds=[row.kind for row in listed],
            order=orders.get(first.key, []),
            matrix=_matrix(orders.get(first.key, []), compared.get(first.key, [])),
            compared=compared.get(first.key, []),
            unfolded=len(compared.get(first.key, [])) <= UNFOLDED,
            curves=[{"place": place, "style": curve.style, "shown": curve.shown} for place, curve in curves],
            grid=len(figures_of_rows.FAR),
            start=next((place for place, row in enumerate(listed) if row.kind == "loss" and row.ok), 0),
            budgets=_budgets(run),
            budget_columns=[kind.words for kind in BUDGET_KINDS],
            published=beside(run, listed),
            failures=run.failed,
            environment=environment if environment.python else None,
            method=run.method,
            ratio=run.test_train_ratio,
            glossary=glossary(),
            data=data,
            plotly=markupsafe.Markup(get_plotlyjs()),  # noqa: S704 - a library's own code
        )
    )


def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("faceexp.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Not the filter's own habit of sorting keys: metrics and labels have an order.
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return templates


def _unit(column: Metric) -> dict[str, Any]:
    return {
        "heading": column.heading,
        "unit": "points" if column.is_percentage else "",
        "higher": column.higher_is_better,
    }


def _leaderboard(listed: Sequence[Row], shown: Sequence[Metric]) -> list[dict[str, Any]]:
    champions = {column.key: best(listed, column) for column in shown}
    return [
        {
            "label": row.label,
            "kind": row.kind,
            "count": f"{row.ok}/{row.total}",
            "complete": row.ok == row.total,
            "group": row.letters(LEADING),
            "cells": [_cell(row, column, champions[column.key]) for column in shown],
        }
        for row in listed
    ]


def _cell(row: Row, column: Metric, champion: float | None) -> dict[str, Any]:
    summary = row.summaries.get(column.key)
    mean, _, interval = mean_and_interval(summary, column).partition(" ")
    return {
        "mean": mean,
        "interval": interval,
        "best": champion is not None and summary is not None and summary.mean == champion,
    }


def _compared(run: RunRecord, listed: Sequence[Row], column: Metric) -> list[list[Any]]:
    """Return the comparisons of a metric, ready to show.

    Each is ``[a, b, difference, interval, p, effect size, detectable difference, verdict]``: places of two rows, texts,
    and 1 where a is better, -1 where b is, 0 where no difference is shown, ``None`` where there was no test.
    """
    places = {row.label: place for place, row in enumerate(listed)}
    found = []
    for pair in run.comparisons:
        if pair.metric != column.key:
            continue
        low, high = pair.ci95 or (None, None)
        smallest = pair.minimum_detectable_difference
        found.append(
            [
                places[pair.a],
                places[pair.b],
                findings.signed(pair.difference, column.scale, column.digits),
                f"{_signed(low, column)} to {_signed(high, column)}" if pair.ci95 else findings.NOTHING,
                findings.probability(pair.p_corrected),
                findings.signed(pair.effect_size, 1, 2),
                findings.NOTHING if smallest is None else f"{smallest * column.scale:.{column.digits}f}",
                None if pair.p_corrected is None else {"a>b": 1, "b>a": -1}.get(pair.verdict, 0),
            ]
        )
    return found


def _signed(value: float | None, column: Metric) -> str:
    return findings.signed(value, column.scale, column.digits)


def _matrix(order: Sequence[int], compared: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Return a mark for each row (down) and row (across), in order: better, worse, not told apart, no test."""
    marks: dict[tuple[int, int], str] = {}
    for a, b, *_, decided in compared:
        marks[a, b] = "·" if decided is None else "<=>"[decided + 1]
        marks[b, a] = "·" if decided is None else "<=>"[1 - decided]
    return [["" if a == b else marks.get((a, b), "·") for b in order] for a in order]


def _curves(
    run: RunRecord, listed: Sequence[Row], styles: Sequence[figures_of_rows.Style], trials: Mapping[str, TrialFile]
) -> list[tuple[int, figures_of_rows.Curve]]:
    """Return place and mean ROC of every row that has diagnostics."""
    losses = [row.label for row in listed if row.kind == "loss" and row.ok]
    drawn = set(losses[:DRAWN_LOSSES])
    curves = []
    for place, row in enumerate(listed):
        trials_of_row = [
            (each.far, each.tar) for _, each in with_diagnostics(run, row, trials) if each.far and each.tar
        ]
        if trials_of_row:
            shown = row.kind != "loss" or row.label in drawn
            mean = figures_of_rows.average(trials_of_row)
            curves.append((place, figures_of_rows.Curve(row.label, styles[place], mean, shown)))
    return curves


def _budgets(run: RunRecord) -> list[dict[str, Any]]:
    """Return what each loss was given; values unlike those of most losses are marked."""
    return [
        {
            "label": budget.label,
            "cells": [
                {"text": f"{kind.of(budget):,}", "unusual": kind.is_unusual(budget, run.budgets)}
                for kind in BUDGET_KINDS
            ],
        }
        for budget in run.budgets
    ]
