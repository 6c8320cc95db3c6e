"""How much training losses are given: the kinds of budget, what most losses have, and which losses have something else.

A comparison is fair where all losses were given the same, so every table of results names the losses that were not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from faceexp.experiment.combined import spell_options
from faceexp.experiment.optimization import Optimizer
from faceexp.experiment.schema import LossEntry
from faceexp.experiment.table import Table
from faceexp.results.record import LossBudgetRecord
from faceexp.results.schema import TrialRecord


@dataclass(frozen=True)
class BudgetKind:
    """One kind of budget, for example the steps of phase 2.

    Attributes:
        key: Its key in ``results.json``.
        words: What is counted, as a sentence says it: ``600 steps of phase 2``.
        one: The same for a single one: ``1 step of phase 2``.
        heading: The same in few words, for the heading of a table.
        slack: A loss whose number differs by no more than this share of the usual number counts as having the same.
        warns: Whether another number than usual is warned of. A grid that somebody asks for is no fault.
    """

    key: str
    words: str
    one: str
    heading: str
    slack: float = 0.0
    warns: bool = True

    def counted(self, number: int) -> str:
        """Return ``600 steps of phase 2``, or ``1 step of phase 2``."""
        return f"{number:,} {self.one if number == 1 else self.words}"

    def of(self, budget: LossBudgetRecord) -> int:
        """Return how much of this budget a loss was given."""
        return int(getattr(budget, self.key))

    def usual(self, budgets: Sequence[LossBudgetRecord]) -> int:
        """Return the number that most losses were given, or 0 if there is no loss."""
        most_common = Counter(self.of(budget) for budget in budgets).most_common(1)
        return most_common[0][0] if most_common else 0

    def is_unusual(self, budget: LossBudgetRecord, budgets: Sequence[LossBudgetRecord]) -> bool:
        """Return whether a loss was given another number than most losses."""
        usual = self.usual(budgets)
        return abs(self.of(budget) - usual) > self.slack * usual


BUDGET_KINDS = (
    BudgetKind("pretrain_images", "images seen in phase 1", "image seen in phase 1", "phase-1 images"),
    BudgetKind("steps", "steps of phase 2", "step of phase 2", "steps"),
    BudgetKind("images", "images seen in phase 2", "image seen in phase 2", "images"),
    # Some losses train proxies or class centres of their own. They are part of the loss, so up to a tenth more weights
    # than usual are no other budget.
    BudgetKind("trainable_parameters", "trainable parameters", "trainable parameter", "trainable", slack=0.1),
    BudgetKind("settings_tried", "settings tried", "setting tried", "settings", warns=False),
)


def budgets_of(
    trials: Sequence[TrialRecord], searched: int | None = None, left_out: Collection[str] = ()
) -> Iterator[LossBudgetRecord]:
    """Yield how much each loss was given, as the mean over its trials that ended well.

    Args:
        trials: Every trial.
        searched: How many settings of each loss a search has tried, if there was one.
        left_out: Labels of rows that are not shown; they count among the settings that were tried.
    """
    tried = Counter(loss for loss, _ in {(trial.loss, trial.label) for trial in trials if trial.kind == "loss"})
    by_label: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.kind == "loss" and trial.status == "ok" and trial.budget and trial.label not in left_out:
            by_label.setdefault(trial.label, []).append(trial)
    for label, trained in by_label.items():
        spent = [trial.budget.model_dump() for trial in trained if trial.budget]
        means = {key: round(sum(each[key] for each in spent) / len(spent)) for key in spent[0]}
        settings = searched or tried[trained[0].loss]
        yield LossBudgetRecord(label=label, loss=trained[0].loss, **means, settings_tried=settings)


def unequal_budgets(budgets: Sequence[LossBudgetRecord]) -> Iterator[str]:
    """Yield a sentence for each kind of budget that should be equal and is not; it names losses that have another."""
    for kind in BUDGET_KINDS:
        others = [budget for budget in budgets if kind.is_unusual(budget, budgets)]
        if others and kind.warns:
            named = ", ".join(f"{budget.label} {kind.of(budget):,}" for budget in others)
            yield f"unequal budgets, {kind.words}: {named}; the others {kind.usual(budgets):,}"


# What phase 2 is made of beside its budgets, its learning rate and its batches. A rate that differs is no news: it has
# to suit the size of a loss's gradients.
WAYS = ("optimizer", "schedule", "clip_norm", "clip_value", "proxies", "trainable")


def unequal_training(losses: Sequence[LossEntry]) -> Iterator[str]:
    """Yield a sentence for each way of training that should be that of all losses and is not."""
    for key in WAYS:
        ways = {loss.label: _way(getattr(loss.finetune, key)) for loss in losses}
        if len(set(ways.values())) > 1:
            usual = Counter(ways.values()).most_common(1)[0][0]
            others = ", ".join(f"{label} {way}" for label, way in ways.items() if way != usual)
            yield f"unequal training, {key} of phase 2: {others}; the others {usual}"


def _way(value: Table | float | str | None) -> str:
    """Return a setting of phase 2 in short: ``sgd(momentum=0.9)``."""
    if isinstance(value, Optimizer):
        return value.name + spell_options(value.options)
    if isinstance(value, Table):
        return spell_options(value.model_dump(exclude_defaults=True)) or "as usual"
    return "as usual" if value is None else str(value)
