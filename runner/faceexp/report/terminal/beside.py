"""What `faceexp report` prints below the table of a run, as far as the run has it and a reader asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from faceexp.evaluation.catalogue import Metric
from faceexp.report.columns import trains
from faceexp.report.terminal.groups import groups as groups_tables
from faceexp.report.terminal.run import budgets
from faceexp.report.terminal.run import matrix as verdict_matrix
from faceexp.report.terminal.searched import searched
from faceexp.report.terminal.sets import sets_table
from faceexp.results.schema import RunRecord

# What is printed, and whether its lines may be longer than the screen is wide.
Printed = tuple[RenderableType, bool]


def beside(
    run: RunRecord,
    metric: Metric,
    width: int,
    folder: str,
    *,
    matrix: bool,
    groups: bool,
    search: bool,
    notes: bool,
) -> Iterator[Printed]:
    """Yield what stands below the table.

    Args:
        run: What the run found.
        metric: The metric by which the table is sorted.
        width: Characters in a line of the screen.
        folder: The folder of the run, as the reader named it.
        matrix: Whether to show who beats whom, and what each loss was given.
        groups: Whether to show error rates by group.
        search: Whether to show what was searched.
        notes: Whether the notes of the run stand above.
    """
    if over_sets := sets_table(run, width, folder):
        yield over_sets, False
    if matrix:
        yield verdict_matrix(run, metric), True
        if trains(run):
            yield budgets(run), False
    if groups:
        yield groups_tables(run, width), False
    if search and run.search:
        yield searched(run, run.search, told=notes), False
