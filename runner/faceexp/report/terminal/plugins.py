"""The installed plugins, and everything about one of them, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from faceexp.errors import printable
from faceexp.registry.describe import ListedPlugin, PluginDescription
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import cells, facts_table, plain_table


def plugin_list(by_kind: Mapping[str, Sequence[ListedPlugin]]) -> RenderableType:
    """Return the installed plugins, grouped by kind; for each broken one, a line says why it is broken."""
    parts: list[RenderableType] = []
    for kind, plugins in shown(by_kind).items():
        table = plain_table(f"{kind} plugins")
        for name in ("name", "distribution", "version", "module"):
            table.add_column(name, overflow="fold")
        for plugin in plugins:
            table.add_row(*cells(plugin.name, plugin.distribution, plugin.version, plugin.module))
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
    paragraphs = "\n".join(printable(line) for line in plugin.text.splitlines())
    plugin = shown(plugin)
    facts = facts_table()
    for name, value in plugin.facts.items():
        facts.add_row(name, Text(value))
    parts: list[RenderableType] = [
        Text.assemble((f"{plugin.kind} ", "dim"), (plugin.name, "bold"), f"  {plugin.summary}"),
        Padding(facts, (1, 0)),
    ]
    if paragraphs:
        parts.append(Padding(Text(paragraphs), (0, 0, 1, 0)))
    if plugin.options:
        table = plain_table()
        for name in ("option", "type", "default", "bounds", "unit", "description"):
            table.add_column(name, overflow="fold")
        for option in plugin.options:
            default = printable(str(option.default))
            table.add_row(*cells(option.name, option.type, default, option.bounds, option.unit, option.description))
        parts.append(table)
    else:
        parts.append(Text("no options", style="dim"))
    return Group(*parts)
