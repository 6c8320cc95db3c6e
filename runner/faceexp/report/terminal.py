"""Tables for a terminal, as Rich renderables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from faceexp.report.numbers import COLUMNS, baseline_note, best, heading, legend, rows, written

# Rich's picture, but for the fonts that it would fetch from elsewhere: a monospaced one is on every machine.
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")

LABEL_WIDTH = 24
WIDE_LABEL_WIDTH = 32  # on screens that have room; longer labels are folded
COLUMN_WIDTH = 14


def results(document: Mapping[str, Any], width: int) -> RenderableType:
    """Return the table of a run: a row a loss and a baseline, mean and interval, best values marked, failures shown.

    Args:
        document: The content of ``results.json``.
        width: Columns of the screen; metrics that do not fit are left out, the least important first.
    """
    listed = rows(document)
    # Labels fold before a second number goes; below 60 columns it would be cut.
    longest = max((len(row.label) for row in listed), default=0)
    label_width = max(LABEL_WIDTH, min(longest, WIDE_LABEL_WIDTH)) if width >= 100 else LABEL_WIDTH
    fitting = max(2 if width >= 60 else 1, (width - label_width - 14) // COLUMN_WIDTH)
    columns = COLUMNS[:fitting]
    table = Table(
        title=heading(document), box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False
    )
    table.add_column("loss or baseline", overflow="fold", min_width=12)
    table.add_column("ok", justify="right", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    table.add_column("group", justify="left")
    for row in listed:
        cells: list[RenderableType] = []
        for column in columns:
            summary = row.summaries.get(column.metric)
            text = Text(written(summary, column))
            if summary and summary["mean"] is not None and summary["mean"] == best(listed, column):
                text = Text(f"*{text.plain}", style="bold green")
            cells.append(text)
        label = Text(row.label, style="dim italic" if row.kind == "baseline" else "bold")
        count = Text(f"{row.ok}/{row.total}", style="red" if row.ok < row.total else "")
        group = row.summaries.get("accuracy", {}).get("group") or ""
        table.add_row(label, count, *cells, Text(str(group)))
    parts: list[RenderableType] = [table, *_failures(document)]
    parts += [Text(f"! {note}", style="yellow") for note in baseline_note(document)]
    parts += [Text(note, style="dim") for note in document.get("notes", [])]
    parts.append(Text(legend(document), style="dim"))
    return Group(*parts)


def _failures(document: Mapping[str, Any]) -> list[Text]:
    return [
        Text(f"x {t['label']} (seed {t['seed']}, fold {t['fold']}) {t['status']}: {t['reason']}", style="red")
        for t in document["trials"]
        if t["status"] != "ok"
    ]


def plugins(kinds: Mapping[str, Sequence[Mapping[str, str]]]) -> RenderableType:
    """Return the installed plugins, grouped by kind; broken ones say why."""
    parts: list[RenderableType] = []
    for kind, found in kinds.items():
        table = Table(
            title=f"{kind} plugins", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False
        )
        for name in ("name", "distribution", "version", "module"):
            table.add_column(name, overflow="fold")
        for item in found:
            table.add_row(*(escape(item[key]) for key in ("name", "distribution", "version", "module")))
        parts.append(table)
        if not found:
            parts.append(Text("none installed", style="dim"))
        parts += [
            Text(f"x {item['name']} ({item['distribution']} {item['version']}) is broken: {item['error']}", style="red")
            for item in found
            if item.get("error")
        ]
    return Group(*parts)


def description(info: Mapping[str, Any]) -> RenderableType:
    """Return everything there is to know about one plugin."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in info["facts"].items():
        facts.add_row(name, Text(str(value)))
    parts: list[RenderableType] = [
        Text.assemble((f"{info['kind']} ", "dim"), (info["name"], "bold"), f"  {info['summary']}"),
        Padding(facts, (1, 0)),
    ]
    if info["text"]:
        parts.append(Padding(Text(info["text"]), (0, 0, 1, 0)))
    if info["options"]:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("option", "type", "default", "bounds", "unit", "description"):
            table.add_column(name, overflow="fold")
        for option in info["options"]:
            table.add_row(
                *(escape(str(option[key])) for key in ("name", "type", "default", "bounds", "unit", "description"))
            )
        parts.append(table)
    else:
        parts.append(Text("no options", style="dim"))
    return Group(*parts)


def problems(lines: Iterable[str]) -> RenderableType:
    """Return mistakes, one a line."""
    return Group(*(Text(f"error: {line}", style="red") for line in lines))
