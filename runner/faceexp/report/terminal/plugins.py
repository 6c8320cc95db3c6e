"""The installed plugins, and everything about one of them, in a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from faceexp.errors import printable
from faceexp.evaluation.catalogue import Metric
from faceexp.registry.describe import ListedPlugin, PluginDescription
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import cells, facts_table, plain_table


def plugin_list(by_kind: Mapping[str, Sequence[ListedPlugin]]) -> RenderableType:
    """Return the installed plugins, grouped by kind; for each that is broken or slow, a line says why."""
    parts: list[RenderableType] = []
    for kind, plugins in shown(by_kind).items():
        table = plain_table(f"{kind} plugins")
        table.add_column("name", overflow="fold")
        table.add_column("what it is", ratio=1)
        table.add_column("version", no_wrap=True)
        for plugin in plugins:
            name, summary, version = cells(plugin.name, plugin.summary, plugin.version)
            table.add_row(name, Text("broken, see below", style="red") if plugin.error else summary, version)
        parts.append(table)
        if not plugins:
            parts.append(Text("none installed", style="dim"))
        for plugin in plugins:
            who = f"{plugin.name} ({plugin.distribution} {plugin.version})"
            if plugin.error:
                parts.append(Text(f"x {who} is broken: {plugin.error}", style="red"))
            if plugin.slow:
                parts.append(Text(f"! {who} {plugin.slow}", style="yellow"))
    return Group(*parts)


def metric_description(metric: Metric) -> RenderableType:
    """Return what there is to know about a metric."""
    facts = facts_table()
    facts.add_row("in tables", metric.heading)
    facts.add_row("unit", "per cent" if metric.is_percentage else "none")
    facts.add_row("better", metric.better)
    facts.add_row("in a file", Text(f'[verdict] metric = "{metric.key}"'))
    title = Text.assemble(("metric ", "dim"), (metric.key, "bold"), f"  {metric.meaning}")
    return Group(title, Padding(facts, (1, 0)), Text(metric.explained))


def plugin_description(plugin: PluginDescription) -> RenderableType:
    """Return everything there is to know about one plugin."""
    paragraphs = "\n".join(printable(line) for line in _joined(plugin.text))
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
            searched = f" [search] tries {option.search}." if option.search else ""
            about = f"{option.description}{searched}"
            table.add_row(*cells(option.name, _in_words(option.type), default, option.bounds, option.unit, about))
        parts.append(table)
    else:
        parts.append(Text("no options", style="dim"))
    parts += [Text(f"! {plugin.name} {remark}", style="yellow") for remark in plugin.remarks]
    return Group(*parts)


def _joined(text: str) -> Iterator[str]:
    """Yield the lines of a docstring so that a terminal of any width can wrap them: sentences are put together again.

    Lines that are set in, or begin a list, stay lines of their own.
    """
    joined = ""
    for line in text.splitlines():
        if not line.strip() or line[0] in " \t-*`>":
            if joined:
                yield joined
            joined = ""
            yield line
        else:
            joined = f"{joined} {line}".strip()
    if joined:
        yield joined


def _in_words(kind: str) -> str:
    """Return the type of an option for people who do not write Python."""
    words = {"float": "number", "int": "whole number", "bool": "true or false"}
    return re.sub(r"\b(float|int|bool)\b", lambda match: words[match[0]], kind)
