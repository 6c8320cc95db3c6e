"""One search of one loss: Optuna proposes values, and its journal on the disk keeps what came of them.

A process may be killed at any moment. What is in the journal then stays, a trial that was begun goes on with the values
it had, and every proposal depends on the trials before it and on a seed of its own alone. So a search that was
interrupted ends with the same trials as one that was not.
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
from faceexp.planning.candidates import Dimension, LossSpace
from faceexp.search.grid import grid
from faceexp.search.outcome import State, Tried

if TYPE_CHECKING:
    import optuna

JOURNAL, NAME = "journal.log", "search"
# What the journal keeps of a trial beside its values and its score.
STATE, SCORES, REASON = "state", "scores", "reason"
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

    if not (folder / JOURNAL).is_file():
        return 0
    try:
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        trials = optuna.load_study(study_name=NAME, storage=storage).get_trials(deepcopy=False)
    except KeyError:  # a process was killed before it had begun the study
        return 0
    return sum(trial.state.is_finished() for trial in trials)


@dataclass
class Study:
    """The search of one loss, as far as it has come.

    Args:
        space: What is searched.
        search: How.
        folder: Where the journal lies.
        cells: How many seeds and folds a trial is trained with.
    """

    space: LossSpace
    search: Search
    folder: Path
    cells: int
    _study: optuna.Study = field(init=False)
    _trial: optuna.Trial | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Open the journal, or begin one."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruners = {
            "none": optuna.pruners.NopPruner(),
            "median": optuna.pruners.MedianPruner(n_startup_trials=5),
            "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=self.cells),
        }
        for lock in self.folder.glob(f"{JOURNAL}.lock*"):
            # The store's lock lets nobody else in, so that this one was left by a process that was killed.
            lock.unlink()
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.folder / JOURNAL))),
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=pruners[self.search.pruner],
        )
        begun = len(self._trials)
        for values in self._first()[begun : self.search.trials]:
            self._study.enqueue_trial({each.name: _plain(each, values[each.name]) for each in self.space.dimensions})

    @property
    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _first(self) -> list[dict[str, object]]:
        """Return the settings that are tried before any are proposed: the defaults, and the points of a grid."""
        defaults = self.space.defaults
        points = grid(self.space, self.search.trials) if self.search.sampler == "grid" else []
        return [*([defaults] if defaults is not None else []), *(point for point in points if point != defaults)]

    def next(self) -> tuple[int, dict[str, Any]] | None:
        """Return number and values of the next trial, one that was begun and not ended at first; nothing at the end."""
        import optuna

        begun = [trial for trial in self._trials if trial.state == optuna.trial.TrialState.RUNNING]
        if begun:
            number = begun[0].number
            self._study.sampler = self._sampler(number)
            self._trial = optuna.trial.Trial(self._study, begun[0]._trial_id)  # noqa: SLF001 - how Optuna itself resumes
        else:
            ended = sum(trial.state.is_finished() for trial in self._trials)
            if ended >= self.search.trials:
                return None
            self._study.sampler = self._sampler(ended)
            self._trial = self._study.ask()
        return self._trial.number, {each.name: self._suggested(each) for each in self.space.dimensions}

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        import optuna

        seed = derive_seed("search", self.search.seeds[0], number)
        if self.search.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)

    def _suggested(self, dimension: Dimension) -> object:
        trial, name, space = self._trial, dimension.name, dimension.space
        assert trial is not None  # noqa: S101 - `next` has set it
        if not isinstance(space, Between):
            return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in space.choices]))
        if space.whole:
            step = int(space.step or 1)
            return trial.suggest_int(name, int(space.low), int(space.high), step=step, log=space.log)
        return trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log)

    def report(self, scores: list[float]) -> bool:
        """Tell the scores of the seeds and folds so far, and return whether the trial should end."""
        assert self._trial is not None  # noqa: S101 - `next` has set it
        if len(scores) not in self._study.trials[self._trial.number].intermediate_values:
            self._trial.report(sum(scores) / len(scores), len(scores))
        return self.search.pruner != "none" and len(scores) < self.cells and self._trial.should_prune()

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
        trial.set_user_attr(STATE, state)
        trial.set_user_attr(SCORES, scores)
        trial.set_user_attr(REASON, reason)
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
        return tuple(self._read(trial) for trial in self._trials if trial.state.is_finished())

    def _read(self, trial: optuna.trial.FrozenTrial) -> Tried:
        scores: list[float] = trial.user_attrs.get(SCORES, [])
        values = {}
        for each in self.space.dimensions:
            value = trial.params[each.name]
            values[each.name] = value if isinstance(each.space, Between) else json.loads(value)
        state: State = trial.user_attrs.get(STATE, "failed")
        score = sum(scores) / len(scores) if scores and state in ("ok", "pruned") else None
        return Tried(trial.number, values, score, state, len(scores), trial.user_attrs.get(REASON, ""))

    def importances(self) -> Mapping[str, float]:
        """Return how much each setting matters to the score, by Optuna; nothing where it cannot tell."""
        import optuna

        complete = [trial for trial in self._trials if trial.state == optuna.trial.TrialState.COMPLETE]
        if len(self.space.dimensions) < 2 or len({trial.value for trial in complete}) < 4:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is inaccurate with few trials, the page says
            try:
                return dict(optuna.importance.get_param_importances(self._study))
            except (ValueError, RuntimeError, ZeroDivisionError):
                return {}


def _plain(dimension: Dimension, value: object) -> object:
    return value if isinstance(dimension.space, Between) else json.dumps(value)
