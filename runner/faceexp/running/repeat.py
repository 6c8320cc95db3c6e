"""A trial of a run is trained anew, from nothing that was computed before, and compared with what the run says."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from faceexp.engine import training
from faceexp.engine.backend import cores
from faceexp.engine.worker import limited_threads
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.evaluation.checkpoints import validation_score
from faceexp.experiment import toml
from faceexp.results.collect import split_records
from faceexp.results.environment import environment
from faceexp.results.folder import RunFolder
from faceexp.results.measure import measure
from faceexp.results.repeated import Repeated, compared, other_environment, outcome_of
from faceexp.results.schema import EnvironmentRecord, RunRecord, TrialRecord
from faceexp.running.checksums import check_files
from faceexp.running.merge import DECIDING, other_data
from faceexp.running.placeholders import unfilled
from faceexp.store import Store
from faceexp.values import EventCallback, Plan, Trial


@dataclass(frozen=True)
class Claim:
    """What a run says of one of its trials.

    Attributes:
        folder: The folder of the run, or a published one.
        results: Its results.
        environment: What it was made with.
        trial: The trial.
        tolerance: Up to this difference, metrics count as the same.
        overrides: What takes the place of values in its experiment file, above all where the data are here.
        checked: How many files had the right checksum; ``None`` where there are no checksums.
    """

    folder: RunFolder
    results: RunRecord
    environment: EnvironmentRecord
    trial: TrialRecord
    tolerance: float
    overrides: tuple[str, ...]
    checked: int | None

    @classmethod
    def read(cls, root: Path, tolerance: float, trial: str | None = None, overrides: tuple[str, ...] = ()) -> Claim:
        """Read a run, after its checksums were checked, and pick a trial.

        Args:
            root: The folder of a finished run, or a published one.
            tolerance: See the attributes.
            trial: The id of the trial; by default the first loss of the first seed and fold that ended well.
            overrides: See the attributes.

        Raises:
            InputError: There is no such run or trial, files were changed, or where the data are here is not said.
        """
        if not tolerance >= 0:  # nor may it be no number
            raise InputError(Problem("must be 0 or more", f"--tolerance {tolerance}"))
        folder, checked = RunFolder(root), None
        if os.path.lexists(folder.checksums):  # what is no file is refused
            needed = (folder.results, folder.spec, folder.tuned, folder.environment)
            checked = check_files(folder.checksums, needed)
        results = folder.read_results()
        if results.search and not folder.tuned.is_file():
            raise InputError(Problem("is lost, and has the settings that were trained", str(folder.tuned)))
        picked = _picked(results, trial, folder)
        document = toml.read(folder.trained_with, overrides)
        if problems := list(unfilled(document)):
            raise InputError(problems)
        # A run that went on until its questions were decided has seeds that its file does not give.
        seeds = document.data.get("seeds", ())
        more = () if picked.seed in seeds else (f"seeds={[*seeds, picked.seed]}",)
        return cls(folder, results, folder.read_environment(), picked, tolerance, (*overrides, *more), checked)

    @property
    def spec(self) -> Path:
        """The experiment file that has the settings of the trial."""
        return self.folder.trained_with

    def repeated(self, plan: Plan, on_event: EventCallback) -> Repeated:
        """Train the trial anew, in an empty store of its own, and compare every metric.

        Args:
            plan: The plan of the experiment, with the data that are here.
            on_event: Is called with every step of progress.

        Raises:
            InputError: The data or their splits are others, or the experiment has no such trial.
        """
        if reason := other_data(split_records(plan, plan.splits), self.results):
            raise InputError(Problem(reason, str(self.folder.root)))
        trial, began = self._planned(plan), time.monotonic()
        alone = dataclasses.replace(plan, trials=(trial,))
        score = validation_score(plan.resolved.experiment.evaluation.choose_by)
        with tempfile.TemporaryDirectory(prefix="faceexp-", ignore_cleanup_errors=True) as empty:
            store, threads = Store(Path(empty)), self._other_threads(len(plan.splits))
            # Libraries read once how many threads they may use; so where these are others, another process trains.
            repeating = training.train(alone, store, score, on_event, jobs=1 if threads else None)
            with limited_threads(threads), contextlib.closing(repeating) as trained:
                here = measure(next(trained), alone, store).trial
        metrics = compared(self.trial, here)
        others = [each for each in metrics if each.difference > 0]
        return Repeated(
            trial=self.trial.id,
            label=self.trial.label,
            seed=self.trial.seed,
            fold=self.trial.fold,
            outcome=outcome_of(metrics, self.tolerance) if here.status == "ok" else "different",
            tolerance=self.tolerance,
            metrics=len(metrics),
            largest=max(others, key=lambda each: each.difference, default=None),
            different=tuple(each for each in others if each.difference > self.tolerance),
            environment=other_environment(self.environment, environment(plan.resolved), DECIDING),
            reason=here.reason or "",
            checked=self.checked,
            seconds=time.monotonic() - began,
        )

    def _other_threads(self, cells: int) -> int | None:
        """Return how many threads trained the trial, since they decide the last bits; nothing where it is as here.

        Args:
            cells: How many seeds and folds the run has, among which no more processes shared the cores.
        """
        claimed = self.environment
        if claimed.threads is not None:
            return None if claimed.threads == cores() else claimed.threads
        # Of the cores that a machine has, a process may be allowed fewer: on the same machine, most likely the same.
        there = cores() if claimed.cores in (None, os.cpu_count()) else claimed.cores
        threads = max(1, there // max(1, min(claimed.jobs, cells)))
        return None if threads == cores() else threads

    def _planned(self, plan: Plan) -> Trial:
        place = (self.trial.label, *self.trial.cell)
        for trial in plan.trials:
            if (trial.label, trial.seed, trial.fold) == place:
                return trial
        message = f"has no trial {self.trial.id}, so that it cannot be trained anew; name another with --trial"
        raise InputError(Problem(message, str(self.spec)))


def _picked(results: RunRecord, trial: str | None, folder: RunFolder) -> TrialRecord:
    """Return the trial with an id, or the first loss that ended well; without losses, the first trial that did.

    Raises:
        InputError: There is none, or it did not end well.
    """
    well = [each for each in results.trials if each.status == "ok"]
    if trial is None:
        if not well:
            raise InputError(Problem("no trial of this run ended well", str(folder.root)))
        # Beside the settings that a search has chosen, the default ones were trained, which its file does not have.
        left_out = {each.label for each in results.settings if results.search and not each.chosen}
        losses = (each for each in well if each.kind == "loss" and each.label not in left_out)
        return next(losses, well[0])
    for each in results.trials:
        if each.id == trial:
            if each.status != "ok":
                raise InputError(Problem(f"this trial did not end well: {each.reason}", f"--trial {trial}"))
            return each
    hint = did_you_mean(trial, [each.id for each in well])
    raise InputError(Problem(f"the run has no such trial; {hint}", f"--trial {trial}"))
