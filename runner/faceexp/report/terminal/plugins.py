"""The installed plugins, and everything about one of them, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from faceexp.registry.describe import ListedPlugin, PluginDescription
from faceexp.report.terminal.tables import facts_table, plain_table


def plugin_list(by_kind: Mapping[str, Sequence[ListedPlugin]]) -> RenderableType:
    """Return the installed plugins, grouped by kind; for each broken one, a line says why it is broken."""
    parts: list[RenderableType] = []
    for kind, plugins in by_kind.items():
        table = plain_table(f"{kind} plugins")
        for name in ("name", "distribution", "version", "module"):
            table.add_column(name, overflow="fold")
        for plugin in plugins:
            table.add_row(*(escape(text) for text in (plugin.name, plugin.distribution, plugin.version, plugin.module)))
        parts.append(table)
        if not plugins:
            parts.append(Text("none installed", style="dim"))
        parts += [
            Text(f"x {plugin.name} ({plugin.distribution} {plugin.version}) is broken: {plugin.error}", style="red")
            for plugin in plugins
            if plugin.error
        ]
    return Group(*parts)


def plugin_description(plugin: PluginDescription) -> RenderableType:
    """Return everything there is to know about one plugin."""
    facts = facts_table()
    for name, value in plugin.facts.items():
        facts.add_row(name, Text(value))
    parts: list[RenderableType] = [
        Text.assemble((f"{plugin.kind} ", "dim"), (plugin.name, "bold"), f"  {plugin.summary}"),
        Padding(facts, (1, 0)),
    ]
    if plugin.text:
        parts.append(Padding(Text(plugin.text), (0, 0, 1, 0)))
    if plugin.options:
        table = plain_table()
        for name in ("option", "type", "default", "bounds", "unit", "description"):
            table.add_column(name, overflow="fold")
        for option in plugin.options:
            cells = (option.name, option.type, option.default, option.bounds, option.unit, option.description)
            table.add_row(*(escape(str(cell)) for cell in cells))
        parts.append(table)
    else:
        parts.append(Text("no options", style="dim"))
    return Group(*parts)
