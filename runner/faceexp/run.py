"""A finished run: it is opened from its folder, asked for its numbers, and compared with other runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.evaluation.catalogue import LEADING
from faceexp.evaluation.named import known
from faceexp.experiment import toml
from faceexp.experiment.lines import TomlTable
from faceexp.results.between_runs import RunComparison, compare_records
from faceexp.results.folder import RunFolder, read_results
from faceexp.results.record import JsonObject
from faceexp.results.schema import ComparisonRecord, RunRecord, SummaryRecord, TrialRecord
from faceexp.results.settings import every_setting, one_row_a_loss
from faceexp.serving.find import find
from faceexp.store import write_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A finished run: its folder and its results.

    Attributes:
        folder: The folder of the run.
        results: The record of ``results.json``. ``docs/results.md`` describes every key.
    """

    folder: Path
    results: RunRecord

    @property
    def document(self) -> JsonObject:
        """The results as JSON data, as they are in ``results.json``."""
        return self.results.to_jsonable()

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial."""
        return self.results.trials

    @property
    def shown(self) -> Run:
        """The run with one row for each loss: that of the setting by which it is judged."""
        return replace(self, results=one_row_a_loss(self.results))

    @property
    def with_settings(self) -> Run:
        """The run with a row for each setting of a loss; questions are answered for those by which they are judged."""
        return replace(self, results=every_setting(self.results))

    @property
    def summary(self) -> tuple[SummaryRecord, ...]:
        """The mean of every label and metric, with its interval."""
        return self.results.summary

    @property
    def comparisons(self) -> tuple[ComparisonRecord, ...]:
        """The comparison of every two labels, metric by metric, with corrected p-value and verdict."""
        return self.results.comparisons

    @property
    def failed(self) -> tuple[TrialRecord, ...]:
        """The trials that did not end well."""
        return self.results.failed

    @property
    def test_sets(self) -> tuple[str, ...]:
        """The names of the test sets that it was measured on as well."""
        return tuple(each.name for each in self.results.test_sets)

    def on(self, test_set: str) -> Run:
        """Return the same run as if a test set were its test part: metrics, intervals and verdicts are those on it.

        Raises:
            InputError: It was not measured on such a set.
        """
        from faceexp.results.on_set import on_set

        if test_set not in self.test_sets:
            names = did_you_mean(test_set, self.test_sets) or "it has none: test sets are named in the experiment file"
            raise InputError(Problem(f"the run was not measured on a test set {test_set!r}; {names}", str(self.folder)))
        return replace(self, results=on_set(self.results, test_set))

    def model_to_use(self) -> str | None:
        """Return the loss whose model `faceexp verify` takes of this run.

        It is ``None`` if none of its models opens, and empty if its file asks to keep none.
        """
        try:
            model = find(str(self.folder))
        except InputError:
            return "" if RunFolder(self.folder).keeps == "none" else None
        return next((trial.label for trial in self.trials if trial.id == model.root.name), None)

    def write_page(self, path: Path) -> tuple[Problem, ...]:
        """Write the report as one HTML file that needs no other file, from what the folder of the run holds.

        Returns:
            What is wrong with each file of the run that the report had to do without.
        """
        from faceexp.report.page.html import page
        from faceexp.results.on_set import OWN, file_on_set

        folder = RunFolder(self.folder)
        left_out: list[Problem] = []
        trials = folder.read_trials([trial.id for trial in self.trials], left_out)
        if self.results.measured_on:
            trials = {key: file_on_set(trial, self.results.measured_on) for key, trial in trials.items()}
        environment, pictures = folder.read_environment(left_out), folder.pictures(left_out)
        # Pages link to one another only where they lie together.
        is_inside = bool(self.test_sets) and path.resolve().parent == self.folder.resolve()
        names = {OWN: folder.page.name, **{name: folder.page_on(name).name for name in self.test_sets}}
        pages = names if is_inside else {}
        write_text(path, page(self.results, environment, trials, pictures, self.model_to_use(), pages))
        return tuple(left_out)

    def write_pages(self) -> None:
        """Write the page of the run, and one for each test set, into its folder."""
        folder = RunFolder(self.folder)
        self.shown.write_page(folder.page)
        for name in self.test_sets:
            self.shown.on(name).write_page(folder.page_on(name))

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each trial: label, seed, fold, status and every metric."""
        import pandas as pd

        keys = ("id", "loss", "label", "kind", "seed", "fold", "status", "reason", "threshold", "best_step")
        return pd.DataFrame([{**{key: getattr(trial, key) for key in keys}, **trial.metrics} for trial in self.trials])


def open_run(path: str | Path) -> Run:
    """Read a finished run from its folder.

    Raises:
        InputError: The folder holds no results, or they have another schema, or they are damaged.
    """
    folder = Path(path)
    return Run(folder.parent if folder.is_file() else folder, read_results(folder))


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read several finished runs.

    Raises:
        InputError: With what is wrong with each of the runs.
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
    """Return runs side by side: where experiments, code and packages differ, what each reached, and tests between them.

    Raises:
        InputError: The experiment file of a run is lost or damaged.
    """
    specs: list[TomlTable] = []
    problems: list[Problem] = []
    for run in runs:
        try:
            specs.append(toml.read(RunFolder(run.folder).spec).data)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    runs = [run.shown for run in runs]
    names = [run.results.name for run in runs]
    # Runs need different names. A folder's name ends in the digest of the experiment; only paths are always different.
    if len(set(names)) < len(names):
        names = [run.folder.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    packages = [RunFolder(run.folder).read_environment().packages for run in runs]
    results = [run.results for run in runs]
    return compare_records(names, specs, results, known(metric), packages if all(packages) else ())
