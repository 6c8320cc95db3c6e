"""What a store holds, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.report.shown import shown
from faceexp.report.terminal.tables import cells, plain_table
from faceexp.store import UNFINISHED


def store_contents(
    root: str,
    contents: Mapping[str, tuple[int, int]],
    experiments: Mapping[str, tuple[int, int]],
    limit: int | None,
    *,
    cleared: bool,
) -> RenderableType:
    """Return what a store holds, or held before it was cleared, with one row per kind and one per experiment.

    Args:
        root: Where the store is.
        contents: By kind, how many artefacts there are and how many bytes they take.
        experiments: The same by the experiment that used them; "" is for those that none is known to have used.
        limit: How many bytes a run leaves at most, if there is a limit.
        cleared: Whether they have been removed.
    """
    root, contents, experiments = shown((root, contents, experiments))
    names = {UNFINISHED: "unfinished work of processes that were killed"}
    tables: list[RenderableType] = [_table("kind", contents, names)]
    if experiments.keys() - {""}:
        largest_first = dict(sorted(experiments.items(), key=lambda item: -item[1][1]))
        tables += [_table("used by", largest_first, {"": "no experiment that is known"})]
    artefacts, size = total(contents)
    words = "removed" if cleared else "kept"
    most = "" if limit is None else f"; a run leaves {limit / 1e6:,.1f} MB at most"
    shared = "What several experiments use counts for each of them."
    # As the title of the table, a path would be folded to the width of its columns.
    return Group(
        Text(root, style="bold"),
        *tables,
        *([Text(shared, style="dim")] if len(experiments.keys() - {""}) > 1 else []),
        Text(f"{artefacts:,} artefacts, {size / 1e6:,.1f} MB {words}{most}", style="bold"),
    )


def _table(of: str, held: Mapping[str, tuple[int, int]], names: Mapping[str, str]) -> RenderableType:
    table = plain_table()
    table.add_column(of, overflow="fold")
    table.add_column("artefacts", justify="right")
    table.add_column("MB", justify="right")
    for name, (number, size) in held.items():
        table.add_row(*cells(names.get(name, name), f"{number:,}", f"{size / 1e6:,.1f}"))
    return table


def total(contents: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Return how many artefacts a store holds, and how many bytes they take with all that is unfinished."""
    artefacts = sum(number for kind, (number, _) in contents.items() if kind != UNFINISHED)
    return artefacts, sum(size for _, size in contents.values())
