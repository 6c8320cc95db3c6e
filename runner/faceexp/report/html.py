"""The report as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

from faceexp.report.numbers import COLUMNS, baseline_note, best, heading, legend, rows, written


def page(document: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    """Return ``report.html``: the leaderboard, failures, every comparison in accuracy, the environment.

    Args:
        document: The content of ``results.json``.
        environment: The content of ``environment.json``.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("faceexp.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    listed = rows(document)
    table = [
        {
            "label": row.label,
            "kind": row.kind,
            "count": f"{row.ok}/{row.total}",
            "complete": row.ok == row.total,
            "group": row.summaries.get("accuracy", {}).get("group") or "",
            "cells": [
                {
                    "text": written(row.summaries.get(column.metric), column),
                    "best": column.metric in row.summaries
                    and row.summaries[column.metric]["mean"] is not None
                    and row.summaries[column.metric]["mean"] == best(listed, column),
                }
                for column in COLUMNS
            ],
        }
        for row in listed
    ]
    return templates.get_template("report.html.j2").render(
        title=heading(document),
        columns=COLUMNS,
        rows=table,
        legend=legend(document),
        notes=[*document.get("notes", []), *baseline_note(document)],
        failures=[trial for trial in document["trials"] if trial["status"] != "ok"],
        comparisons=[c for c in document["comparisons"] if c["metric"] == "accuracy"],
        environment=environment,
    )
