"""One search, of a loss or of phase 1: Optuna proposes values, and its journal on the disk keeps what came of them.

A process may be killed at any moment. The trials that have ended stay in the journal, and the one that was begun begins
anew; what it has trained is in the store. Every value that is proposed depends on the trials before it and on a seed of
its own alone. So a search that was interrupted ends with the same trials as one that was not.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceexp.engine.backend import derive_seed
from faceexp.errors import InputError, Problem
from faceexp.experiment.search import Between, Search
from faceexp.planning.dimensions import Dimension, Varied
from faceexp.search.grid import grid
from faceexp.search.journal import opened
from faceexp.search.outcome import State, Tried

if TYPE_CHECKING:
    import optuna

JOURNAL, NAME = "journal.log", "search"
# What the journal keeps of a trial beside its values and its score: state, scores and reason, in one line of it.
OUTCOME = "outcome"
# A loss that diverges is worth less than any that guesses.
DIVERGED = 0.0


def need_optuna() -> None:
    """Refuse a search where Optuna is not installed.

    Raises:
        InputError: It is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise InputError(Problem("needs Optuna; run: pip install 'faceexp[search]'", "[search]")) from None


def ended_trials(folder: Path) -> int:
    """Return how many trials of a search have ended, as its journal says; nothing is changed and nobody waited for."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = folder / JOURNAL
    if not journal.is_file():
        return 0
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        trials = optuna.load_study(study_name=NAME, storage=storage).get_trials(deepcopy=False)
    except (KeyError, ValueError):  # a process was killed before it had begun the study, or in the midst of a line
        return 0
    return sum(trial.state.is_finished() for trial in trials)


@dataclass
class Study:
    """One search, as far as it has come.

    Args:
        space: What is searched.
        search: How.
        folder: Where the journal lies.
        cells: How many seeds and folds a trial is trained with.
    """

    space: Varied
    search: Search
    folder: Path
    cells: int
    _study: optuna.Study = field(init=False)
    _trial: optuna.Trial | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Open the journal, or begin one."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal = self.folder / JOURNAL
        self._study = self._opened(journal)
        if any(trial.state == optuna.trial.TrialState.RUNNING for trial in self._trials):
            # How far it came cannot be known, so that the others are written into a new journal.
            ended, new = self._ended, journal.with_suffix(".new")
            new.unlink(missing_ok=True)
            self._opened(new).add_trials(ended)
            new.replace(journal)
            self._study = self._opened(journal)
        begun = len(self._trials)
        for values in self._first()[begun : self.search.trials]:
            self._study.enqueue_trial({each.name: _plain(each, values[each.name]) for each in self.space.dimensions})

    def _opened(self, journal: Path) -> optuna.Study:
        import optuna

        pruners = {
            "none": optuna.pruners.NopPruner(),
            "median": optuna.pruners.MedianPruner(n_startup_trials=5),
            "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=self.cells),
        }
        return optuna.create_study(
            storage=opened(journal),
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=pruners[self.search.pruner],
        )

    @property
    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    @property
    def _ended(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self._trials if trial.state.is_finished()]

    def _first(self) -> list[dict[str, object]]:
        """Return the settings that are tried before any are proposed: the defaults, and the points of a grid."""
        defaults = self.space.defaults
        if self.search.sampler != "grid":
            return [] if defaults is None else [defaults]
        points = grid(self.space, self.search.trials)
        if defaults is None or defaults in points:
            return sorted(points, key=lambda point: point != defaults)
        return [defaults, *grid(self.space, self.search.trials - 1)]

    def next(self) -> tuple[int, dict[str, Any]] | None:
        """Return number and values of the next trial; nothing at the end."""
        if len(self._ended) >= self.search.trials:
            return None
        self._trial = self._study.ask()
        return self._trial.number, {each.name: self._suggested(each) for each in self.space.dimensions}

    def _sampler(self, number: int, name: str) -> optuna.samplers.BaseSampler:
        """Return what proposes one value of one trial, whichever of its values a process has proposed before."""
        import optuna

        seed = derive_seed("search", self.search.seeds[0], number, name)
        if self.search.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=False)
        return optuna.samplers.RandomSampler(seed=seed)

    def _suggested(self, dimension: Dimension) -> object:
        trial, name, space = self._trial, dimension.name, dimension.space
        assert trial is not None  # noqa: S101 - `next` has set it
        self._study.sampler = self._sampler(trial.number, name)
        if not isinstance(space, Between):
            choices = {_plain(dimension, choice): choice for choice in space.choices}
            return choices[trial.suggest_categorical(name, list(choices))]
        if space.whole:
            whole = int(space.step or 1)
            return trial.suggest_int(name, int(space.low), int(space.last), step=whole, log=space.log)
        step = None if space.step is None else float(space.step)
        return trial.suggest_float(name, float(space.low), float(space.last), step=step, log=space.log)

    def report(self, scores: list[float]) -> bool:
        """Tell the scores of the seeds and folds so far, and return whether the trial should end."""
        assert self._trial is not None  # noqa: S101 - `next` has set it
        if self.search.pruner == "none":
            return False
        self._trial.report(sum(scores) / len(scores), len(scores))
        return len(scores) < self.cells and self._trial.should_prune()

    def tell(self, state: State, scores: list[float], reason: str = "") -> None:
        """End the trial.

        Args:
            state: How it has ended.
            scores: The validation score of each seed and fold that it was trained with.
            reason: Why it failed or diverged.
        """
        import optuna

        trial = self._trial
        assert trial is not None  # noqa: S101 - `next` has set it
        trial.set_user_attr(OUTCOME, [state, scores, reason])
        if state == "ok":
            self._study.tell(trial.number, sum(scores) / len(scores))
        elif state == "pruned":
            self._study.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
        elif state == "diverged":
            self._study.tell(trial.number, DIVERGED)
        else:
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        self._trial = None

    def tried(self) -> tuple[Tried, ...]:
        """Return every trial that has ended."""
        return tuple(map(self._read, self._ended))

    def _read(self, trial: optuna.trial.FrozenTrial) -> Tried:
        state: State
        scores: list[float]
        state, scores, reason = trial.user_attrs[OUTCOME]
        values = {}
        for each in self.space.dimensions:
            value = trial.params[each.name]
            if not isinstance(each.space, Between):
                value = next(choice for choice in each.space.choices if _plain(each, choice) == value)
            values[each.name] = value
        score = sum(scores) / len(scores) if scores and state in ("ok", "pruned") else None
        return Tried(trial.number, values, score, state, len(scores), reason)

    def importances(self) -> Mapping[str, float]:
        """Return how much each setting matters to the score, by Optuna; nothing where it cannot tell."""
        import optuna

        complete = [trial for trial in self._trials if trial.state == optuna.trial.TrialState.COMPLETE]
        if len(self.space.dimensions) < 2 or len({trial.value for trial in complete}) < 4:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is inaccurate with few trials, the page says
            try:
                evaluator = optuna.importance.PedAnovaImportanceEvaluator()
                return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))
            except (ValueError, RuntimeError, ZeroDivisionError):
                return {}


def _plain(dimension: Dimension, value: Any) -> Any:  # noqa: ANN401 - whatever stands in a file
    """Return a value as Optuna takes it: a choice may be a list or a table."""
    return value if isinstance(dimension.space, Between) else json.dumps(value, sort_keys=True, default=str)
