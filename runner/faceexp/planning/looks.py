"""Further seeds of a run that goes on until its questions are decided, only for the losses that are in question."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection

from faceexp.data.splits import splits
from faceexp.planning.trials import trials_of
from faceexp.values import Plan, Trial

# A look at fewer new trials than this would hardly tell more than the look before, and costs its share of certainty.
TRIALS_A_LOOK = 5


def trials_a_look(folds: int) -> int:
    """Return how many trials of a loss a further look adds: whole seeds."""
    return math.ceil(TRIALS_A_LOOK / folds) * folds


def next_seeds(seeds: Collection[int], folds: int) -> tuple[int, ...]:
    """Return the seeds that a further look adds to those which a run has."""
    return free_seeds(seeds, trials_a_look(folds) // folds)


def free_seeds(seeds: Collection[int], number: int) -> tuple[int, ...]:
    """Return so many seeds beside those which a run has."""
    # Seeds may be any numbers, up to the largest one that NumPy takes; the smallest that are free come next.
    return tuple(itertools.islice((seed for seed in itertools.count() if seed not in seeds), number))


@dataclasses.dataclass(frozen=True)
class Further:
    """The next trials of a run.

    Attributes:
        plan: The plan with everything so far and these trials.
        trials: The new trials.
        seeds: Their seeds.
    """

    plan: Plan
    trials: tuple[Trial, ...]
    seeds: tuple[int, ...]


def further(plan: Plan, labels: Collection[str]) -> Further:
    """Return a plan with more seeds, in which only some losses are trained; the baselines always are.

    Args:
        plan: What was planned so far. Its protocol deals other people to each seed.
        labels: The losses that are still in question.
    """
    experiment = plan.resolved.experiment
    # Those of a search have chosen the settings that are compared.
    taken = {*experiment.seeds, *(experiment.search.seeds if experiment.search else ())}
    seeds = next_seeds(taken, plan.folds)
    later = dataclasses.replace(plan.resolved, experiment=experiment.model_copy(update={"seeds": seeds}))
    trials = tuple(trial for trial in trials_of(later, plan.folds) if trial.kind == "baseline" or trial.label in labels)
    parts = itertools.chain.from_iterable(splits(plan.labels, experiment.protocol, seed) for seed in seeds)
    everything = experiment.model_copy(update={"seeds": (*experiment.seeds, *seeds)})
    extended = dataclasses.replace(
        plan,
        resolved=dataclasses.replace(plan.resolved, experiment=everything),
        splits=(*plan.splits, *parts),
        trials=(*plan.trials, *trials),
    )
    return Further(extended, trials, seeds)
