"""What losses are given: the kinds of budget, what most losses have, and who has something else.

A comparison is fair where losses were given the same, so every table of results says where they were not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from faceexp.results.schema import LossBudgetRecord, TrialRecord


@dataclass(frozen=True)
class BudgetKind:
    """One thing that a loss is given.

    Attributes:
        key: Its key in ``results.json``.
        words: What is counted, as it is said in a sentence: ``600 steps of phase 2``.
        heading: The same, short enough for a table.
        slack: Share of the usual number by which a loss may differ and still counts as having the same.
    """

    key: str
    words: str
    heading: str
    slack: float = 0.0

    def of(self, budget: LossBudgetRecord) -> int:
        """Return what a loss was given of this kind."""
        return int(getattr(budget, self.key))

    def usual(self, budgets: Sequence[LossBudgetRecord]) -> int:
        """Return the number that most losses were given; 0 where there is no loss."""
        counted = Counter(self.of(budget) for budget in budgets).most_common(1)
        return counted[0][0] if counted else 0

    def is_unusual(self, budget: LossBudgetRecord, budgets: Sequence[LossBudgetRecord]) -> bool:
        """Return whether a loss was given another number than most."""
        usual = self.usual(budgets)
        return abs(self.of(budget) - usual) > self.slack * usual


BUDGET_KINDS = (
    BudgetKind("pretrain_images", "images seen in phase 1", "phase-1 images"),
    BudgetKind("steps", "steps of phase 2", "steps"),
    BudgetKind("images", "images seen in phase 2", "images"),
    # The weights of proxies and class centres belong to their losses; below a tenth more they are no other budget.
    BudgetKind("trainable_parameters", "trainable parameters", "trainable", slack=0.1),
    BudgetKind("settings_tried", "settings tried", "settings"),
)


def budgets_of(trials: Sequence[TrialRecord]) -> Iterator[LossBudgetRecord]:
    """Yield what each loss was given, as the mean over its trials that ended well."""
    tried = Counter(loss for loss, _ in {(trial.loss, trial.label) for trial in trials if trial.kind == "loss"})
    by_label: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.kind == "loss" and trial.status == "ok" and trial.budget:
            by_label.setdefault(trial.label, []).append(trial)
    for label, trained in by_label.items():
        spent = [trial.budget.model_dump() for trial in trained if trial.budget]
        means = {key: round(sum(each[key] for each in spent) / len(spent)) for key in spent[0]}
        yield LossBudgetRecord(label=label, loss=trained[0].loss, **means, settings_tried=tried[trained[0].loss])


def unequal_budgets(budgets: Sequence[LossBudgetRecord]) -> Iterator[str]:
    """Yield a sentence for each kind of budget that differs between losses: who has another than most, and which."""
    for kind in BUDGET_KINDS:
        others = [budget for budget in budgets if kind.is_unusual(budget, budgets)]
        if others:
            named = ", ".join(f"{budget.label} {kind.of(budget):,}" for budget in others)
            yield f"unequal budgets, {kind.words}: {named}; the others {kind.usual(budgets):,}"
