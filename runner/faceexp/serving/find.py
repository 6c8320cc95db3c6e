"""Which folder a MODEL argument means: a run, ``RUN:label``, one of the models of a run, or an exported folder."""

from __future__ import annotations

from pathlib import Path

from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.results.folder import ModelFolder, RunFolder


def find(path: str) -> ModelFolder:
    """Return the folder of the model that a path means; see :func:`faceexp.load_model`.

    Raises:
        InputError: There is no such model.
    """
    folder, label = Path(path), None
    if not folder.exists():
        before, colon, after = path.rpartition(":")
        if colon and Path(before).is_dir():
            folder, label = Path(before), after
    if not folder.is_dir():
        raise InputError(
            Problem("no such folder; name a run, RUN:label, or a folder that `faceexp export` wrote", path)
        )
    if label is None and ModelFolder(folder).record.is_file():
        return ModelFolder(folder)
    run = RunFolder(folder)
    if not run.has_models:
        raise InputError(
            Problem("holds no model; name a run, RUN:label, or a folder that `faceexp export` wrote", path)
        )
    return _best(run, label, path)


def _best(run: RunFolder, label: str | None, path: str) -> ModelFolder:
    """Return the model of a loss that did best on validation; without a label, that of the best loss."""
    models: dict[str, list[tuple[float, ModelFolder]]] = {}
    for model in run.models():
        record = model.read()
        # A model of an older version has no score. It comes last, as no area is below 0.
        score = -1.0 if record.validation_auc is None else record.validation_auc
        models.setdefault(record.label, []).append((score, model))
    if not models:
        raise InputError(Problem("no trial of this run ended with a model", path))
    if label is not None and label not in models:
        raise InputError(Problem(f"the run has no loss {label!r}; {did_you_mean(label, models)}", path))
    if label is None:
        # The best loss has the highest mean over seeds and folds. The best single trial may only have been lucky.
        label = max(models, key=lambda name: sum(score for score, _ in models[name]) / len(models[name]))
    return max(models[label], key=lambda scored: scored[0])[1]
