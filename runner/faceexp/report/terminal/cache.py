"""What a store holds, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.report.shown import shown
from faceexp.report.terminal.tables import cells, plain_table


def store_contents(root: str, contents: Mapping[str, tuple[int, int]], *, cleared: bool) -> RenderableType:
    """Return what a store holds, or held before it was cleared, with one row per kind.

    Args:
        root: Where the store is.
        contents: By kind, how many artefacts there are and how many bytes they take.
        cleared: Whether they have been removed.
    """
    root, contents = shown((root, contents))
    table = plain_table()
    table.add_column("kind")
    table.add_column("artefacts", justify="right")
    table.add_column("MB", justify="right")
    for kind, (artefacts, size) in contents.items():
        table.add_row(*cells(kind, f"{artefacts:,}", f"{size / 1e6:,.1f}"))
    artefacts, size = (sum(numbers[place] for numbers in contents.values()) for place in (0, 1))
    words = "removed" if cleared else "kept"
    # As the title of the table, a path would be folded to the width of its columns.
    return Group(
        Text(root, style="bold"), table, Text(f"{artefacts:,} artefacts, {size / 1e6:,.1f} MB {words}", style="bold")
    )
