"""A finished run: opened from its folder, asked, compared with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceexp.errors import InputError, Problem
from faceexp.evaluation.catalogue import LEADING, METRIC_OF
from faceexp.experiment import toml
from faceexp.results.between_runs import RunComparison, compare_records
from faceexp.results.folder import RunFolder, read_results
from faceexp.results.schema import ComparisonRecord, RunRecord, SummaryRecord, TrialRecord
from faceexp.store import write_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, and what it found.

    Attributes:
        folder: Where it lies.
        results: The record of ``results.json``; ``docs/results.md`` describes every key.
    """

    folder: Path
    results: RunRecord

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON data."""
        return self.results.to_jsonable()

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial."""
        return self.results.trials

    @property
    def summary(self) -> tuple[SummaryRecord, ...]:
        """Mean and interval of every label and metric."""
        return self.results.summary

    @property
    def comparisons(self) -> tuple[ComparisonRecord, ...]:
        """Every pair of labels, metric by metric, with corrected p-value and verdict."""
        return self.results.comparisons

    @property
    def failed(self) -> tuple[TrialRecord, ...]:
        """The trials that did not end well."""
        return self.results.failed

    def write_page(self, path: Path) -> None:
        """Write the report as one self-contained HTML file, from what the run's folder holds."""
        from faceexp.report.page.html import page

        inside = RunFolder(self.folder)
        trials = inside.read_trials([trial.id for trial in self.trials])
        write_text(path, page(self.results, inside.read_environment(), trials, inside.pictures()))

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each trial: label, seed, fold, status and every metric."""
        import pandas as pd

        keys = ("id", "loss", "label", "kind", "seed", "fold", "status", "reason", "threshold", "best_step")
        return pd.DataFrame([{**{key: getattr(trial, key) for key in keys}, **trial.metrics} for trial in self.trials])


def open_run(path: str | Path) -> Run:
    """Read a finished run from its folder.

    Raises:
        InputError: The folder holds no results, or results of another schema.
    """
    folder = Path(path)
    return Run(folder.parent if folder.is_file() else folder, read_results(folder))


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read several finished runs.

    Raises:
        InputError: With what is wrong with each of them.
    """
    runs: list[Run] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            runs.append(open_run(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return runs


def compare_runs(runs: Sequence[Run], metric: str = LEADING.key) -> RunComparison:
    """Return runs side by side: differences of their experiment files, values, tests.

    Raises:
        InputError: The experiment file of a run is lost or damaged.
    """
    specs: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for run in runs:
        try:
            specs.append(toml.read(RunFolder(run.folder).spec).data)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    names = [run.results.name for run in runs]
    if len(set(names)) < len(names):  # the folder's name ends in the experiment's digest
        names = [run.folder.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    return compare_records(names, specs, [run.results for run in runs], METRIC_OF[metric])
