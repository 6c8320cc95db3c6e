"""What the page shows of one row that a reader chooses: distances, calibration, training, embeddings, hardest pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from faceexp.report.columns import Row
from faceexp.report.page import figures_of_trials
from faceexp.results.schema import CalibrationRecord, DiagnosticsRecord, RunRecord, TrialFile, TrialRecord

# The pairs that a reader sees: what they are, whether they are similar, and whether they were accepted.
PAIR_GROUPS = (
    ("False rejects: one person, judged as two", True, False),
    ("False accepts: two people, judged as one", False, True),
    ("Right, but closest to the threshold: one person", True, True),
    ("Right, but closest to the threshold: two people", False, False),
)


def with_diagnostics(
    run: RunRecord, row: Row, trials: Mapping[str, TrialFile]
) -> list[tuple[TrialRecord, DiagnosticsRecord]]:
    """Return a row's trials that ended well and whose diagnostics are there, with them."""
    ended_well = [trial for trial in run.trials if trial.label == row.label and trial.status == "ok"]
    files = [(trial, trials.get(trial.id)) for trial in ended_well]
    return [(trial, file.evidence) for trial, file in files if file and file.evidence]


def chosen_row(
    run: RunRecord, row: Row, trials: Mapping[str, TrialFile], pictures: Mapping[int, bytes]
) -> dict[str, Any]:
    """Return the figures and pairs of a row: the diagnostics of its first trial, the training of all, as JSON data."""
    trained = [trial for trial in run.trials if trial.label == row.label and trial.curve]
    shown: dict[str, Any] = {"training": figures_of_trials.training(trained) if trained else None, "where": None}
    diagnosed = with_diagnostics(run, row, trials)
    if not diagnosed:
        return shown
    trial, diagnostics = diagnosed[0]
    shown["where"] = f"seed {trial.seed}, fold {trial.fold}"
    if diagnostics.edges and trial.threshold is not None:
        shown["histogram"] = figures_of_trials.histogram(diagnostics, trial.threshold, trial.distance or "")
    calibrated = [pair for pair in _calibrated(diagnosed, trials) if pair[0].edges]
    if calibrated:
        figure, error = figures_of_trials.reliability(calibrated)
        shown["reliability"] = figure
        shown["calibration"] = {"error": f"{error * 100:.1f} points", "met": _met(calibrated)}
    if diagnostics.map:
        shown["map"] = figures_of_trials.projection(diagnostics.map)
        shown["explained"] = f"{diagnostics.map.explained * 100:.0f} %"
    shown["hardest"] = [
        {"title": title, "shown": _pairs(diagnostics, trial, pictures, similar=similar, accepted=accepted)}
        for title, similar, accepted in PAIR_GROUPS
    ]
    return shown


def _calibrated(
    diagnosed: Sequence[tuple[TrialRecord, DiagnosticsRecord]], trials: Mapping[str, TrialFile]
) -> list[tuple[DiagnosticsRecord, CalibrationRecord]]:
    """Return diagnostics and calibration of the trials that have a probability."""
    both = [(diagnostics, trials[trial.id].calibration) for trial, diagnostics in diagnosed]
    return [
        (diagnostics, calibration) for diagnostics, calibration in both if calibration and calibration.slope is not None
    ]


def _met(calibrated: Sequence[tuple[DiagnosticsRecord, CalibrationRecord]]) -> list[dict[str, str]]:
    """Return, for each false accept rate that validation aimed at, what came of it on test, as the mean over trials."""
    lines = []
    for aim in dict.fromkeys(far for _, calibration in calibrated for far in calibration.thresholds):
        met = [diagnostics.met[aim] for diagnostics, _ in calibrated if aim in diagnostics.met]
        rates = [(rate.far, rate.tar) for rate in met if rate.far is not None and rate.tar is not None]
        far, tar = (sum(values) / len(rates) for values in zip(*rates, strict=True)) if rates else (None, None)
        lines.append(
            {
                "aim": f"{float(aim) * 100:g} %",
                "far": "too few pairs" if far is None else f"{far * 100:.2g} %",
                "tar": "" if tar is None else f"{tar * 100:.1f} %",
            }
        )
    return lines


def _pairs(
    diagnostics: DiagnosticsRecord,
    trial: TrialRecord,
    pictures: Mapping[int, bytes],
    *,
    similar: bool,
    accepted: bool,
) -> list[dict[str, Any]]:
    pairs = []
    for pair in diagnostics.hardest:
        if (pair.similar, pair.accepted) == (similar, accepted):
            text = f"{pair.distance:.3g}"
            if trial.threshold:
                text += f", {pair.distance / trial.threshold:.2f} \N{MULTIPLICATION SIGN} threshold"
            images = [image if image in pictures else None for image in pair.images]
            pairs.append({"images": images, "names": list(pair.identities), "text": text})
    return pairs
