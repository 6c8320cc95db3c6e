"""The installed plugins, and everything about one of them, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from faceexp.report.terminal.tables import facts_table, plain_table


def plugin_list(kinds: Mapping[str, Sequence[Mapping[str, str]]]) -> RenderableType:
    """Return the installed plugins, grouped by kind; for each broken one, a line says why it is broken."""
    parts: list[RenderableType] = []
    for kind, plugins in kinds.items():
        table = plain_table(f"{kind} plugins")
        for name in ("name", "distribution", "version", "module"):
            table.add_column(name, overflow="fold")
        for plugin in plugins:
            table.add_row(*(escape(plugin[key]) for key in ("name", "distribution", "version", "module")))
        parts.append(table)
        if not plugins:
            parts.append(Text("none installed", style="dim"))
        parts += [
            Text(
                f"x {plugin['name']} ({plugin['distribution']} {plugin['version']}) is broken: {plugin['error']}",
                style="red",
            )
            for plugin in plugins
            if plugin.get("error")
        ]
    return Group(*parts)


def plugin_description(info: Mapping[str, Any]) -> RenderableType:
    """Return everything there is to know about one plugin, from the JSON data that describe it."""
    facts = facts_table()
    for name, value in info["facts"].items():
        facts.add_row(name, Text(str(value)))
    parts: list[RenderableType] = [
        Text.assemble((f"{info['kind']} ", "dim"), (info["name"], "bold"), f"  {info['summary']}"),
        Padding(facts, (1, 0)),
    ]
    if info["text"]:
        parts.append(Padding(Text(info["text"]), (0, 0, 1, 0)))
    if info["options"]:
        table = plain_table()
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
