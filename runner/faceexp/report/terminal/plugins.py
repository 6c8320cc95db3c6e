"""The installed plugins, and everything about one of them, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def plugin_list(kinds: Mapping[str, Sequence[Mapping[str, str]]]) -> RenderableType:
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


def plugin_description(info: Mapping[str, Any]) -> RenderableType:
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
