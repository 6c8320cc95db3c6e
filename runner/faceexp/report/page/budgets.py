"""The table of the page that says what each loss was given."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.results.budgets import BUDGET_KINDS
from faceexp.results.schema import RunRecord


@dataclass(frozen=True)
class BudgetCell:
    """What a loss was given of one kind of budget, and whether most losses were given something else."""

    text: str
    unusual: bool


@dataclass(frozen=True)
class BudgetRow:
    """What a loss was given: one cell per kind of budget."""

    label: str
    cells: tuple[BudgetCell, ...]


def budget_rows(run: RunRecord) -> list[BudgetRow]:
    """Return what each loss was given; values unlike those of most losses are marked."""
    return [
        BudgetRow(
            budget.label,
            tuple(
                BudgetCell(f"{kind.of(budget):,}", kind.warns and kind.is_unusual(budget, run.budgets))
                for kind in BUDGET_KINDS
            ),
        )
        for budget in run.budgets
    ]
