"""Which folder a MODEL argument means: a run, ``RUN:label``, one of the models of a run, or an exported folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.errors import InputError, Problem, did_you_mean, near
from faceexp.results.folder import ModelFolder, RunFolder
from faceexp.results.kept import has_model, kept

if TYPE_CHECKING:
    from faceexp.results.schema import TrialRecord

# Seed and fold of a trial.
Cell = tuple[int, int]
# The models of a loss by their seed and fold, each with its score on validation; without a folder if it was not kept.
Scored = dict[Cell, tuple[float, ModelFolder | None]]
# Scores that differ by less than the last of so many digits differ by rounding.
EXACT = 12

MODELS = "name a run (`faceexp runs` lists them), RUN:label, or a folder that `faceexp export` wrote"


def find(path: str) -> ModelFolder:
    """Return the folder of the model that a path means; see :func:`choose`."""
    return choose(path)[0]


def choose(path: str) -> tuple[ModelFolder, str]:
    """Return the folder of the model that a path means, and why it is this one; see :func:`faceexp.load_model`.

    The reason is empty where the model itself was named.

    Raises:
        InputError: There is no such model, or the path may mean several.
    """
    labelled = list(_with_label(path))
    meant = [(run, label, every) for run, label in labelled if label in (every := _models(run))]
    is_folder = _is_folder(Path(path))
    if len(meant) + is_folder > 1:
        means = [f"the folder {path!r}"] * is_folder + [f"the loss {label!r} of {run.root}" for run, label, _ in meant]
        hint = "name the folder of the model inside the run's models/"
        raise InputError(Problem(f"may mean {' or '.join(means)}; {hint}", path))
    if meant:
        ((_, label, every),) = meant
        return _best(every[label], every)
    if not is_folder:
        raise _missing(path, labelled)
    folder = Path(path)
    if ModelFolder(folder).record.is_file():
        return ModelFolder(folder), ""
    run = RunFolder(folder)
    if not run.models():
        _refuse_dropped(run, path, lambda _: True)
        _refuse_dropped_trial(path)
    if not run.has_models:
        raise InputError(Problem(f"holds no model; {MODELS}", path))
    every = _models(run)
    if not every:
        raise InputError(Problem("no trial of this run ended with a model", path))
    (label, *equals), score = _best_losses(every)
    model, of_its_trials = _best(every[label], every)
    if len(every) == 1:
        return model, of_its_trials
    # A run of an older version kept no score.
    mean = f" (mean AUC {score:.3f})" if score >= 0 else ""
    rows = (
        "embeddings"
        if any(folder and folder.is_only_measured for row in every.values() for _, folder in row.values())
        else "losses"
    )
    of_losses = f"{label} was the best of {len(every)} {rows} on validation{mean}, which may be luck"
    if equals:
        number = f"{1 + len(equals)} of {len(every)} {rows}"
        taken = f"of these {label} is the first by name, and any other may be as good"
        of_losses = f"{number} were equally good on validation{mean}; {taken}"
    return model, f"{of_losses}; {of_its_trials}" if of_its_trials else of_losses


def _best_losses(every: Mapping[str, Scored]) -> tuple[list[str], float]:
    """Return the losses with the highest mean on validation, in the order of their names, and that mean.

    It is the mean over the seeds and folds that the losses have in common.
    A loss of which trials failed would otherwise be judged by other people than the rest: perhaps by the easy ones.
    Where no seed and fold has a model of every loss, the losses with the most models are compared.
    """
    most = max(len(models) for models in every.values())
    common = set.intersection(*(set(models) for models in every.values()))
    compared = every if common else {label: models for label, models in every.items() if len(models) == most}
    common = common or set.intersection(*(set(models) for models in compared.values()))

    def mean(label: str) -> float:
        cells = common or set(compared[label])
        return round(sum(compared[label][cell][0] for cell in cells) / len(cells), EXACT)

    means = {label: mean(label) for label in sorted(compared)}
    highest = max(means.values())
    return [label for label, value in means.items() if value == highest], highest


def _with_label(path: str) -> Iterator[tuple[RunFolder, str]]:
    """Yield every way in which a path can be read as RUN:label. A run and a label may hold colons themselves."""
    for place, letter in enumerate(path):
        before, after = path[:place], path[place + 1 :]
        # ``C:\\runs`` is a path on the drive C of Windows.
        is_drive = place == 1 and before.isalpha() and after[:1] in ("\\", "/")
        if (
            letter == ":"
            and before
            and not is_drive
            and _is_folder(Path(before))
            and (RunFolder(Path(before)).has_models or RunFolder(Path(before)).keeps != "all")
        ):
            yield RunFolder(Path(before)), after


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder; a name that cannot be one, such as one with a null character, is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _models(run: RunFolder) -> dict[str, Scored]:
    """Return the models of a run by the label of their loss, each with its score on validation.

    Where the run is finished, its results say which trials ended well and which loss they are of: a folder that they do
    not name may be left from another run. An interrupted run has no results, so that every model counts.
    """
    labels = None
    trials: dict[str, TrialRecord] = {}
    if run.results.exists():
        trials = {trial.id: trial for trial in run.read_results().trials if trial.status == "ok"}
        labels = {name: trial.label for name, trial in trials.items()}
        for name in trials:
            model = run.model(name)
            # Otherwise, another model would answer without a word. One that was removed as a whole is no mistake, nor
            # is one that was not kept, beside which somebody has put a file.
            lost = model.root.is_dir() and not model.record.is_file()
            if lost and name in kept(run.keeps, trials.values()):
                message = "is lost; run the experiment again, which trains nothing anew, or name another model"
                raise InputError(Problem(message, str(model.record)))
    models: dict[str, Scored] = {}
    for model in run.models():
        if labels is None or model.root.name in labels:
            record = model.read()
            # A model of an older version has no score. It comes last, as no area is below 0.
            score = -1.0 if record.validation_auc is None else record.validation_auc
            label = record.label if labels is None else labels[model.root.name]
            models.setdefault(label, {})[record.seed or 0, record.fold or 0] = (score, model)
    # What was not kept counts in comparisons: the one model of a loss may be that with the easiest validation people.
    for trial in trials.values():
        if trial.label in models and trial.validation_auc is not None:
            models[trial.label].setdefault(trial.cell, (trial.validation_auc, None))
    return models


def _missing(path: str, labelled: Sequence[tuple[RunFolder, str]]) -> InputError:
    """Return what is wrong with a path where nothing is, and that is no label of a run with a model either."""
    if labelled:
        run, label = labelled[0]
        _refuse_dropped(run, path, lambda trial: trial.label == label)
        return InputError(Problem(f"the run has no loss {label!r}; {did_you_mean(label, _models(run))}", path))
    _refuse_dropped_trial(path)
    return InputError(Problem(f"no such folder; {near(Path(path)) or MODELS}", path))


def _refuse_dropped_trial(path: str) -> None:
    """Refuse a folder in the models of a run that the file of the run does not keep.

    Raises:
        InputError: See :func:`_refuse_dropped`.
    """
    folder = Path(path).absolute()
    if folder.parent.name == "models":
        _refuse_dropped(RunFolder(folder.parent.parent), path, lambda trial: trial.id == folder.name)


def _refuse_dropped(run: RunFolder, path: str, is_meant: Callable[[TrialRecord], bool]) -> None:
    """Refuse a model that the experiment file of a run does not keep.

    Raises:
        InputError: Trials that are meant ended well, and the run was to keep the model of none of them.
    """
    keeps = run.keeps
    if keeps == "all" or not run.results.exists():
        return
    trials = run.read_results().trials
    wanted = kept(keeps, trials)
    meant = [trial.id for trial in trials if has_model(trial) and is_meant(trial)]
    if meant and not wanted.intersection(meant):
        those = "no models" if keeps == "none" else "only the model of each row that is best on validation"
        other = '"best" or "all"' if keeps == "none" else '"all"'
        again = f"set it to {other} and run it again, which trains those anew that were not kept"
        raise InputError(Problem(f'the run kept {those}, as keep.models = "{keeps}" asks; {again}', path))


def _best(models: Scored, every: Mapping[str, Scored]) -> tuple[ModelFolder, str]:
    """Return the model of a loss that did best on validation, compared with the other losses of its seed and fold.

    Compared with nothing, the seed would win whose validation people are the easiest.
    """

    def above_others(cell: Cell) -> float:
        scores = [others[cell][0] for others in every.values() if cell in others]
        return round(models[cell][0] - sum(scores) / len(scores), EXACT)

    folders = {cell: folder for cell, (_, folder) in models.items() if folder}
    seed, fold = min(folders)
    first = folders[seed, fold]
    if len(models) > 1 and first.is_only_measured:
        one = f"its {len(models)} models are one network, of which nothing was trained"
        return first, f"{one}; the thresholds of seed {seed} and fold {fold} are taken, other trials have others"
    if len(folders) == 1 < len(models):
        one = f"that of seed {seed} and fold {fold}, the best on validation"
        return first, f"of its {len(models)} models, the run kept {one}"
    # Of equals, as where there is a single loss, the first seed and fold.
    seed, fold = max(sorted(folders), key=above_others)
    equals = sum(above_others(cell) == above_others((seed, fold)) for cell in folders)
    which = f"of its {len(models)} models, that of seed {seed} and fold {fold}"
    why = f"{which} was the furthest above the other losses" if len(every) > 1 else f"{which} is the first"
    if len(every) > 1 and equals > 1:
        why = f"{which} is the first of {equals} that were equally far above the other losses"
    return folders[seed, fold], why if len(models) > 1 else ""
