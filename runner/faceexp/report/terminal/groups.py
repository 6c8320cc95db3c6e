"""How often each row is wrong within groups of people, as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from faceexp.report.groups import HEADINGS, LEGEND, GroupRow, GroupTable, group_tables
from faceexp.report.shown import shown
from faceexp.results.schema import RunRecord

GROUP, PEOPLE = "group", "people"
RATIO = "worst / best"
# Spaces before the name of a group, which stands below that of its row.
INDENT = 2
# Characters between two columns, and before the first.
BETWEEN, BEFORE = 3, 1


def groups(run: RunRecord, width: int) -> RenderableType:
    """Return a table for each column and threshold, and what they mean.

    Args:
        run: What the run found.
        width: Characters in a line of the screen.
    """
    parts: list[RenderableType] = []
    for table in group_tables(shown(run)):
        parts += [*_drawn(table, width), *(Text(text, style="yellow") for text in table.refused)]
    return Group(*parts, Text(LEGEND, style="dim"))


def _drawn(table: GroupTable, width: int) -> Iterator[RenderableType]:
    """Yield the headings, and for each row its name, which has a line of its own, and the rates of its groups."""
    widths = _widths(table.rows, width)
    headings = _columns(widths)
    headings.add_row(*(Text(text, style="bold") for text in (GROUP, PEOPLE, *HEADINGS.values())))
    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * min(width - BEFORE, sum(widths) + BETWEEN * (len(widths) - 1))
    yield from (Text(table.title, style="bold"), Text(), _indented(headings), _indented(Text(rule, no_wrap=True)))
    for label in dict.fromkeys(row.label for row in table.rows):
        of_label = [row for row in table.rows if row.label == label]
        style = "dim italic" if of_label[0].kind == "baseline" else "bold"
        yield _indented(Text(label, style=style, overflow="fold"))
        drawn = _columns(widths)
        for row in of_label:
            texts = (" " * INDENT + (row.group or RATIO), row.people, *row.cells)
            drawn.add_row(*(Text(text, style="" if row.group else "dim") for text in texts))
        yield _indented(drawn)
    yield Text()


def _indented(drawn: RenderableType) -> RenderableType:
    return Padding(drawn, (0, 0, 0, BEFORE), expand=False)


def _columns(widths: Sequence[int]) -> Table:
    """Return an empty table with columns of these widths: name of the group, number of people, and rates."""
    drawn = Table.grid(padding=(0, BETWEEN, 0, 0))
    for place, width in enumerate(widths):
        is_number = place == 1
        drawn.add_column(width=width, overflow="fold", no_wrap=is_number, justify="right" if is_number else "left")
    return drawn


def _widths(rows: Sequence[GroupRow], width: int) -> list[int]:
    """Return the widths of the columns, the same for the tables of all rows.

    Rates stay on one line. Names of groups are folded if there is no room, in their own column and beside the ratios.
    """
    people = max(len(PEOPLE), *(len(row.people) for row in rows))
    names = max(len(GROUP), INDENT + len(RATIO), *(INDENT + len(row.group) for row in rows))
    room = width - BEFORE - people - BETWEEN * (1 + len(HEADINGS))
    kept, wanted = [], []
    for place, heading in enumerate(HEADINGS.values()):
        texts = [row.cells[place] for row in rows]
        # Of a ratio and the groups that it is about, the ratio and its interval.
        kept.append(max(len(heading), *(len(" ".join(text.split(" ")[:2])) for text in texts)))
        wanted.append(max(len(heading), *map(len, texts)))
    names = min(names, max(INDENT + len(RATIO), room - sum(kept)))
    more = max(0, (room - names - sum(kept)) // len(HEADINGS))
    return [names, people, *(min(want, least + more) for want, least in zip(wanted, kept, strict=True))]
