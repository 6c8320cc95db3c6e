"""One row for each loss: which of its settings it is judged by, and a run with all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from faceexp.results.schema import RunRecord, TrialRecord
from faceexp.results.search_record import SettingRecord

if TYPE_CHECKING:
    from faceexp.values import Resolved


def settings_of(resolved: Resolved, trials: Sequence[TrialRecord]) -> tuple[SettingRecord, ...]:
    """Return the settings of all losses that have several, the one of each that is judged among them.

    After a search, that is what the search has chosen. Otherwise it is the setting with the highest mean score on
    validation images, over the seeds and folds that all settings of the loss have ended well in; of equal ones, the
    first.
    """
    families: dict[str, list[str]] = {}
    for loss in resolved.losses:
        if loss.entry.setting_of:
            families.setdefault(loss.entry.setting_of, []).append(loss.entry.label)
    records = []
    for name, labels in families.items():
        scores = {label: _scores(trials, label) for label in labels}
        means = _means(scores)
        chosen = name if resolved.experiment.search else max(labels, key=lambda label: means.get(label, -math.inf))
        records += [
            SettingRecord(label=label, of=name, chosen=label == chosen, validation=means.get(label)) for label in labels
        ]
    return tuple(records)


def _scores(trials: Sequence[TrialRecord], label: str) -> dict[tuple[int, int], float]:
    """Return the validation score of the checkpoint that was kept, by seed and fold."""
    kept = {}
    for trial in trials:
        if trial.label == label and trial.status == "ok":
            known = [point.validation for point in trial.curve if point.validation is not None]
            if known:
                kept[trial.cell] = max(known)
    return kept


def _means(scores: Mapping[str, Mapping[tuple[int, int], float]]) -> dict[str, float]:
    """Return the mean of each setting, over the seeds and folds of all that have any."""
    scored = {label: cells for label, cells in scores.items() if cells}
    common = set.intersection(*(set(cells) for cells in scored.values())) if scored else set()
    return {
        label: math.fsum(values) / len(values)
        for label, cells in scored.items()
        if (values := [cells[cell] for cell in common or cells])
    }


def hidden(settings: Sequence[SettingRecord]) -> frozenset[str]:
    """Return the labels of settings by which no loss is judged."""
    return frozenset(setting.label for setting in settings if not setting.chosen)


def judged(trials: Sequence[TrialRecord], settings: Sequence[SettingRecord]) -> list[TrialRecord]:
    """Return the trials of the rows that are judged."""
    left_out = hidden(settings)
    return [trial for trial in trials if trial.label not in left_out]


def one_row_a_loss(run: RunRecord) -> RunRecord:
    """Return a run with the trials of those rows alone that are judged."""
    if not hidden(run.settings):
        return run
    return run.model_copy(update={"trials": tuple(judged(run.trials, run.settings))})


def every_setting(run: RunRecord) -> RunRecord:
    """Return a run with means and comparisons of all settings; its questions are answered for those that are judged."""
    from faceexp.results.on_set import compared

    if not hidden(run.settings):
        return run
    summary, comparisons = compared(run.trials, run.ratio or 0.0, average_seeds=run.average_seeds)
    return run.model_copy(update={"summary": summary, "comparisons": comparisons})
