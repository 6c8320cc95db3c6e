"""The report as one self-contained page: it asks nobody for anything, and may not.

Tables are there without JavaScript; charts, sorting and choosing need it. What the scripts read is one block of JSON.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

from faceexp.report import findings
from faceexp.report.columns import (
    COLUMNS,
    Column,
    Row,
    baseline_note,
    best,
    columns,
    group,
    heading,
    legend,
    rows,
    written,
)
from faceexp.report.glossary import glossary
from faceexp.report.page import figures_of_rows, figures_of_trials
from faceexp.report.published import beside
from faceexp.values import BUDGET_SLACK, BUDGETS

Trials = Mapping[str, Mapping[str, Any]]

# Longer tables of comparisons are folded away until somebody asks.
UNFOLDED = 60
# Lines of losses drawn in ROC and DET before anybody asks for more; baselines are always drawn.
DRAWN_LOSSES = 4
# The pairs that a reader sees: what they are, whether they are similar, and whether they were accepted.
PAIR_GROUPS = (
    ("False rejects: one person, judged as two", True, False),
    ("False accepts: two people, judged as one", False, True),
    ("Right, but closest to the threshold: one person", True, True),
    ("Right, but closest to the threshold: two people", False, False),
)


def page(
    document: Mapping[str, Any],
    environment: Mapping[str, Any],
    trials: Trials,
    pictures: Mapping[int, bytes],
) -> str:
    """Return ``report.html``.

    Args:
        document: The content of ``results.json``.
        environment: The content of ``environment.json``; may be empty.
        trials: The content of each ``trials/<id>.json``, with its evidence, by id; what is missing is not shown.
        pictures: PNG files of the images that the evidence names.
    """
    from plotly.offline import get_plotlyjs

    listed = rows(document)
    shown = columns(document)
    compared = {column.metric: _compared(document, listed, column) for column in shown}
    places = {row.label: place for place, row in enumerate(listed)}
    orders = {column.metric: [places[row.label] for row in rows(document, column)] for column in shown}
    styles = figures_of_rows.styles(listed)
    curves = _curves(document, listed, styles, trials)
    first = COLUMNS[0]
    data = {
        "labels": [row.label for row in listed],
        "kinds": [row.kind for row in listed],
        "metrics": {column.metric: _unit(column) for column in shown},
        "orders": orders,
        "groups": {column.metric: [group(row, column) for row in listed] for column in shown},
        "compared": compared,
        "forest": {
            column.metric: figures_of_rows.forest([listed[place] for place in orders[column.metric]], column)
            for column in shown
        },
        "roc": figures_of_rows.roc([curve for _, curve in curves]),
        "det": figures_of_rows.det([curve for _, curve in curves]),
        "chosen": [_chosen(document, row, trials, pictures) for row in listed],
        "pictures": {
            str(image): f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
            for image, png in pictures.items()
        },
    }
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            title=heading(document),
            description=document.get("description") or "",
            verdict=findings.verdict(document),
            remarks=[
                text
                for text in (
                    findings.leading(document),
                    findings.among_losses(document),
                    findings.sensitivity(document),
                    findings.sample(document),
                )
                if text
            ],
            warnings=findings.warnings(document),
            budget_warnings=findings.budget_warnings(document),
            unbeaten=baseline_note(document),
            notes=findings.notes(document),
            columns=shown,
            table=_leaderboard(listed, shown),
            legend=legend(document),
            labels=[row.label for row in listed],
            kinds=[row.kind for row in listed],
            order=orders.get(first.metric, []),
            matrix=_matrix(orders.get(first.metric, []), compared.get(first.metric, [])),
            compared=compared.get(first.metric, []),
            unfolded=len(compared.get(first.metric, [])) <= UNFOLDED,
            curves=[{"place": place, "style": curve.style, "shown": curve.shown} for place, curve in curves],
            grid=len(figures_of_rows.FAR),
            start=next((place for place, row in enumerate(listed) if row.kind == "loss" and row.ok), 0),
            budgets=_budgets(document),
            budget_columns=list(BUDGETS.values()),
            published=beside(document, listed),
            failures=[trial for trial in document["trials"] if trial["status"] != "ok"],
            environment=environment,
            method=document.get("method") or "",
            ratio=document.get("test_train_ratio"),
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


def _unit(column: Column) -> dict[str, Any]:
    return {
        "heading": column.heading,
        "unit": "points" if column.scale == 100 else "",
        "higher": column.higher,
    }


def _leaderboard(listed: Sequence[Row], shown: Sequence[Column]) -> list[dict[str, Any]]:
    champions = {column.metric: best(listed, column) for column in shown}
    return [
        {
            "label": row.label,
            "kind": row.kind,
            "count": f"{row.ok}/{row.total}",
            "complete": row.ok == row.total,
            "group": group(row, COLUMNS[0]),
            "cells": [_cell(row, column, champions[column.metric]) for column in shown],
        }
        for row in listed
    ]


def _cell(row: Row, column: Column, champion: float | None) -> dict[str, Any]:
    summary = row.summaries.get(column.metric)
    mean, _, interval = written(summary, column).partition(" ")
    return {
        "mean": mean,
        "interval": interval,
        "best": champion is not None and summary is not None and summary["mean"] == champion,
    }


def _compared(document: Mapping[str, Any], listed: Sequence[Row], column: Column) -> list[list[Any]]:
    """Return the comparisons of a metric, ready to show.

    Each is ``[a, b, difference, interval, p, effect size, detectable difference, verdict]``: places of two rows, texts,
    and 1 where a is better, -1 where b is, 0 where no difference is shown, ``None`` where there was no test.
    """
    places = {row.label: place for place, row in enumerate(listed)}
    found = []
    for item in document["comparisons"]:
        if item["metric"] != column.metric:
            continue
        low, high = item["ci95"] or (None, None)
        smallest = item.get("minimum_detectable_difference")
        found.append(
            [
                places[item["a"]],
                places[item["b"]],
                findings.signed(item["difference"], column.scale, column.digits),
                f"{_signed(low, column)} to {_signed(high, column)}" if item["ci95"] else findings.NOTHING,
                findings.probability(item["p_corrected"]),
                findings.signed(item.get("effect_size"), 1, 2),
                findings.NOTHING if smallest is None else f"{smallest * column.scale:.{column.digits}f}",
                None if item["p_corrected"] is None else {"a>b": 1, "b>a": -1}.get(item["verdict"], 0),
            ]
        )
    return found


def _signed(value: float | None, column: Column) -> str:
    return findings.signed(value, column.scale, column.digits)


def _matrix(order: Sequence[int], compared: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Return a mark for each row (down) and row (across), in order: better, worse, not told apart, no test."""
    marks: dict[tuple[int, int], str] = {}
    for a, b, *_, decided in compared:
        marks[a, b] = "·" if decided is None else "<=>"[decided + 1]
        marks[b, a] = "·" if decided is None else "<=>"[1 - decided]
    return [["" if a == b else marks.get((a, b), "·") for b in order] for a in order]


def _curves(
    document: Mapping[str, Any], listed: Sequence[Row], styles: Sequence[figures_of_rows.Style], trials: Trials
) -> list[tuple[int, figures_of_rows.Curve]]:
    """Return place and mean ROC of every row that has evidence."""
    losses = [row.label for row in listed if row.kind == "loss" and row.ok]
    drawn = set(losses[:DRAWN_LOSSES])
    found = []
    for place, row in enumerate(listed):
        evidence = [e for _, e in _with_evidence(document, row, trials) if e.get("far") and e.get("tar")]
        if evidence:
            shown = row.kind != "loss" or row.label in drawn
            found.append(
                (place, figures_of_rows.Curve(row.label, styles[place], figures_of_rows.average(evidence), shown))
            )
    return found


def _with_evidence(
    document: Mapping[str, Any], row: Row, trials: Trials
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return a row's trials that ended well and whose evidence is there, with it."""
    own = [trial for trial in document["trials"] if trial["label"] == row.label and trial["status"] == "ok"]
    found = [(trial, trials.get(trial["id"], {}).get("evidence")) for trial in own]
    return [(trial, evidence) for trial, evidence in found if evidence]


def _chosen(document: Mapping[str, Any], row: Row, trials: Trials, pictures: Mapping[int, bytes]) -> dict[str, Any]:
    """Return what is shown of a row that a reader chooses: the evidence of its first trial, the training of all."""
    own = _with_evidence(document, row, trials)
    trained = [t for t in document["trials"] if t["label"] == row.label and t.get("curve")]
    found: dict[str, Any] = {"training": figures_of_trials.training(trained) if trained else None, "where": None}
    if not own:
        return found
    trial, evidence = own[0]
    found["where"] = f"seed {trial['seed']}, fold {trial['fold']}"
    if evidence.get("edges") and trial.get("threshold") is not None:
        found["histogram"] = figures_of_trials.histogram(evidence, trial["threshold"], trial.get("distance") or "")
    calibrated = [
        (evidence, calibration) for evidence, calibration in _calibrated(own, trials) if evidence.get("edges")
    ]
    if calibrated:
        figure, error = figures_of_trials.reliability(calibrated)
        found["reliability"] = figure
        found["calibration"] = {"error": f"{error * 100:.1f} points", "met": _met(calibrated)}
    if evidence.get("map"):
        found["map"] = figures_of_trials.projection(evidence["map"])
        found["explained"] = f"{evidence['map']['explained'] * 100:.0f} %"
    found["hardest"] = [
        {"title": title, "shown": _pairs(evidence, trial, pictures, similar=similar, accepted=accepted)}
        for title, similar, accepted in PAIR_GROUPS
    ]
    return found


def _calibrated(
    own: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], trials: Trials
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return evidence and calibration of the trials that have a probability."""
    found = [(evidence, trials[trial["id"]].get("calibration") or {}) for trial, evidence in own]
    return [(evidence, calibration) for evidence, calibration in found if calibration.get("slope") is not None]


def _met(calibrated: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[dict[str, str]]:
    """Return, for each false accept rate that validation aimed at, what came of it on test, as the mean over trials."""
    rows = []
    for aim in dict.fromkeys(far for _, calibration in calibrated for far in calibration.get("thresholds") or {}):
        met = [evidence["met"][aim] for evidence, _ in calibrated if aim in (evidence.get("met") or {})]
        present = [rates for rates in met if rates["far"] is not None]
        rows.append(
            {
                "aim": f"{float(aim) * 100:g} %",
                "far": f"{sum(r['far'] for r in present) / len(present) * 100:.2g} %" if present else "too few pairs",
                "tar": f"{sum(r['tar'] for r in present) / len(present) * 100:.1f} %" if present else "",
            }
        )
    return rows


def _pairs(
    evidence: Mapping[str, Any],
    trial: Mapping[str, Any],
    pictures: Mapping[int, bytes],
    *,
    similar: bool,
    accepted: bool,
) -> list[dict[str, Any]]:
    threshold = trial.get("threshold")
    found = []
    for pair in evidence.get("hardest") or []:
        if (pair["similar"], pair["accepted"]) == (similar, accepted):
            text = f"{pair['distance']:.3g}"
            if threshold:
                text += f", {pair['distance'] / threshold:.2f} \N{MULTIPLICATION SIGN} threshold"
            images = [image if image in pictures else None for image in pair["images"]]
            found.append({"images": images, "names": [str(name) for name in pair["identities"]], "text": text})
    return found


def _budgets(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each loss was given; values unlike those of most losses are marked."""
    budgets = document.get("budgets") or []
    cells: dict[str, list[dict[str, Any]]] = {budget["label"]: [] for budget in budgets}
    for key in BUDGETS:
        values = [budget[key] for budget in budgets]
        usual = Counter(values).most_common(1)[0][0] if values else 0
        slack = BUDGET_SLACK.get(key, 0.0) * usual
        for own, value in zip(cells.values(), values, strict=True):
            own.append({"text": f"{value:,}", "unusual": abs(value - usual) > slack})
    return [{"label": label, "cells": own} for label, own in cells.items()]
