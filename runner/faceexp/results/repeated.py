"""A trial that was computed again: whether its metrics are those that a run claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from faceexp.results.schema import EnvironmentRecord, TrialRecord

# How the metrics compare: the same bits, up to the tolerance the same, or others.
Outcome = Literal["identical", "within", "different"]


@dataclass(frozen=True)
class RepeatedMetric:
    """A metric of a trial, as the run gives it and as it came out here.

    Attributes:
        metric: Its name; on a test set also the name of that, as in ``auc on lfw``.
        claimed: What the run gives; ``None`` where it is not defined.
        here: What came out here.
        difference: How far they are apart; infinite where only one of them is defined.
    """

    metric: str
    claimed: float | None
    here: float | None
    difference: float

    @classmethod
    def of(cls, metric: str, claimed: float | None, here: float | None) -> RepeatedMetric:
        """Return a metric with its difference."""
        if claimed is None or here is None:
            return cls(metric, claimed, here, 0.0 if claimed is here else math.inf)
        return cls(metric, claimed, here, abs(claimed - here))


@dataclass(frozen=True)
class OtherEnvironment:
    """Something in which the machine or the software is not that of the run.

    Attributes:
        what: What it is, in words.
        claimed: How it was there.
        here: How it is here.
    """

    what: str
    claimed: str
    here: str


@dataclass(frozen=True)
class Repeated:
    """A trial that was computed again.

    Attributes:
        trial: Its id in the run.
        label: Its row.
        seed: Its seed.
        fold: Its fold.
        outcome: How its metrics compare.
        tolerance: Up to this difference they count as the same.
        metrics: How many were compared.
        largest: The one with the largest difference; nothing where all have the same bits.
        different: Those that differ by more.
        environment: In what the machine or the software differs.
        reason: Why the trial did not end well here; empty where it did.
        checked: How many files had the right checksum; ``None`` where there are no checksums.
        seconds: How long its training took.
    """

    trial: str
    label: str
    seed: int
    fold: int
    outcome: Outcome
    tolerance: float
    metrics: int
    largest: RepeatedMetric | None
    different: tuple[RepeatedMetric, ...]
    environment: tuple[OtherEnvironment, ...]
    reason: str
    checked: int | None
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the run is right about this trial."""
        return self.outcome != "different"


def compared(claimed: TrialRecord, here: TrialRecord) -> list[RepeatedMetric]:
    """Return every metric that a run gives for a trial, also those on test sets, beside what came out here."""
    values = _values(here)
    return [RepeatedMetric.of(name, value, values.get(name)) for name, value in _values(claimed).items()]


def outcome_of(metrics: Iterable[RepeatedMetric], tolerance: float) -> Outcome:
    """Return how the metrics of a trial compare."""
    largest = max((each.difference for each in metrics), default=0.0)
    return "identical" if largest == 0 else "within" if largest <= tolerance else "different"


def _values(trial: TrialRecord) -> Mapping[str, float | None]:
    on_sets = {f"{name} on {each}": value for each, values in trial.sets.items() for name, value in values.items()}
    return {**trial.metrics, **on_sets}


def other_environment(
    claimed: EnvironmentRecord, here: EnvironmentRecord, packages: Iterable[str]
) -> tuple[OtherEnvironment, ...]:
    """Return in what machine and software differ.

    Args:
        claimed: What a run was made with.
        here: What is here.
        packages: The packages that decide numbers.
    """
    codes = {(plugin.kind, plugin.name): plugin for plugin in here.plugins}
    pairs = [
        ("Python", claimed.python, here.python),
        *((name, claimed.packages.get(name, ""), here.packages.get(name, "")) for name in packages),
        ("operating system", claimed.platform, here.platform),
        ("processor", claimed.processor, here.processor),
        ("processor cores", str(claimed.cores), str(here.cores)),
        ("GPU", claimed.gpu or "none", here.gpu or "none"),
    ]
    for plugin in claimed.plugins:
        other = codes.get((plugin.kind, plugin.name))
        name = f"{plugin.kind} {plugin.name}"
        if other and plugin.digest and plugin.digest != other.digest:
            pairs.append((f"code of {name}", plugin.digest[:8], other.digest[:8]))
    return tuple(OtherEnvironment(*pair) for pair in pairs if pair[1] != pair[2])
