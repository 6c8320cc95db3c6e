"""What the page shows of the row that a reader chooses: distances, calibration, training, embeddings, hardest pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.report.columns import Row
from faceexp.report.page import figures_of_trials
from faceexp.report.page.figures import PageJson
from faceexp.results.evidence import DiagnosticsRecord
from faceexp.results.record import CalibrationRecord
from faceexp.results.schema import RunRecord, TrialFile, TrialRecord
from faceexp.serving.worth import why_no_probability

# The groups of pairs that a reader sees, errors first: title, whether the pairs are similar, whether they are accepted.
PAIR_GROUPS = (
    ("False rejects: one person, judged as two", True, False),
    ("False accepts: two people, judged as one", False, True),
    ("Right, but closest to the threshold: one person", True, True),
    ("Right, but closest to the threshold: two people", False, False),
)


def with_diagnostics(
    run: RunRecord, row: Row, trials: Mapping[str, TrialFile]
) -> list[tuple[TrialRecord, DiagnosticsRecord]]:
    """Return the trials of a row that ended well, with their diagnostics; a trial that has lost them is left out."""
    ended_well = [trial for trial in run.trials if trial.label == row.label and trial.status == "ok"]
    files = [(trial, trials.get(trial.id)) for trial in ended_well]
    return [(trial, file.evidence) for trial, file in files if file and file.evidence]


def chosen_row(run: RunRecord, row: Row, trials: Mapping[str, TrialFile], pictures: Mapping[int, bytes]) -> PageJson:
    """Return the figures and pairs of a row: the diagnostics of its first trial, and the training of all of them."""
    trained = [trial for trial in run.trials if trial.label == row.label and trial.curve]
    score = METRIC_OF[run.chosen_by].name
    view: PageJson = {"training": figures_of_trials.training(trained, score) if trained else None, "where": None}
    diagnosed = with_diagnostics(run, row, trials)
    if not diagnosed:
        return view
    trial, diagnostics = diagnosed[0]
    view["where"] = f"seed {trial.seed}, fold {trial.fold}"
    if diagnostics.edges and trial.threshold is not None:
        view["histogram"] = figures_of_trials.histogram(diagnostics, trial.threshold, trial.distance or "")
    calibrated = [
        (diagnostics, calibration) for diagnostics, calibration in _calibrated(diagnosed, trials) if diagnostics.edges
    ]
    if calibrated:
        figure, error = figures_of_trials.reliability(calibrated)
        view["reliability"] = figure
        reasons = [why_no_probability(calibration) for _, calibration in calibrated]
        view["calibration"] = {
            "error": f"{error * 100:.1f} points",
            "met": _met(calibrated),
            "refused": next(filter(None, reasons), ""),
        }
    if diagnostics.map:
        view["map"] = figures_of_trials.projection(diagnostics.map)
        view["explained"] = f"{diagnostics.map.explained * 100:.0f} %"
    view["hardest"] = [
        {"title": title, "pairs": _hardest(diagnostics, trial, pictures, similar=similar, accepted=accepted)}
        for title, similar, accepted in PAIR_GROUPS
    ]
    return view


def _calibrated(
    diagnosed: Sequence[tuple[TrialRecord, DiagnosticsRecord]], trials: Mapping[str, TrialFile]
) -> list[tuple[DiagnosticsRecord, CalibrationRecord]]:
    """Return diagnostics and calibration of the trials whose calibration gives a probability."""
    both = [(diagnostics, trials[trial.id].calibration) for trial, diagnostics in diagnosed]
    return [
        (diagnostics, calibration) for diagnostics, calibration in both if calibration and calibration.slope is not None
    ]


def _met(calibrated: Sequence[tuple[DiagnosticsRecord, CalibrationRecord]]) -> list[dict[str, str]]:
    """Return what came, on test pairs, of each false accept rate that validation aimed at, as means over trials.

    ``range`` is what other people were likely to meet, as far as validation could tell.
    """
    lines = []
    for aim in dict.fromkeys(far for _, calibration in calibrated for far in calibration.thresholds):
        of_trials = [diagnostics.met[aim] for diagnostics, _ in calibrated if aim in diagnostics.met]
        rates = [(met.far, met.tar) for met in of_trials if met.far is not None and met.tar is not None]
        ranges = [reach for _, calibration in calibrated if (reach := calibration.far_range.get(aim))]
        low, high = (sum(ends) / len(ranges) * 100 for ends in zip(*ranges, strict=True)) if ranges else (None, None)
        far, tar = (sum(values) / len(rates) for values in zip(*rates, strict=True)) if rates else (None, None)
        lines.append(
            {
                "aim": f"{float(aim) * 100:g} %",
                "range": "" if low is None else f"{low:.2g} to {high:.2g} %",
                "far": "too few pairs" if far is None else f"{far * 100:.2g} %",
                "tar": "" if tar is None else f"{tar * 100:.1f} %",
            }
        )
    return lines


def _hardest(
    diagnostics: DiagnosticsRecord,
    trial: TrialRecord,
    pictures: Mapping[int, bytes],
    *,
    similar: bool,
    accepted: bool,
) -> list[PageJson]:
    """Return the hardest pairs of one kind of decision, with the images of which there are pictures."""
    pairs = []
    for pair in diagnostics.hardest:
        if (pair.similar, pair.accepted) == (similar, accepted):
            text = f"{pair.distance:.3g}"
            if trial.threshold:
                text += f", {pair.distance / trial.threshold:.2f} \N{MULTIPLICATION SIGN} threshold"
            images = [image if image in pictures else None for image in pair.images]
            pairs.append({"images": images, "names": list(pair.identities), "text": text})
    return pairs
