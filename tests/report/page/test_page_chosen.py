"""Evidence on the page: the row that a reader chooses, and a page without any."""

from __future__ import annotations

import pytest

from faceexp.report.columns import rows_of
from faceexp.report.page.html import page
from faceexp.results.schema import TrialFile

PHASE_1 = "phase-1 embedding"
SEEDS = range(4)


@pytest.mark.parametrize("lost", [{}, None, {"evidence": None}])
def test_without_evidence_the_rest_is_shown(study, environment, lost, data_of, read):
    # The files are lost, or older ones without the key, or those of trials that failed.
    files = {} if lost is None else {t.id: TrialFile.model_validate(t.to_jsonable() | lost) for t in study.trials}
    text = page(study, environment, files, {})
    assert "The evidence of the trials is not there" in read(text).words
    data = data_of(text)
    assert data["roc"]["data"] == []
    assert all("histogram" not in row for row in data["chosen"])
    assert data["chosen"][0]["training"]  # that is in results.json


def test_the_best_losses_and_the_baselines_are_drawn_first(
    study, environment, trials, made_trial, judged, made_diagnostics, data_of
):
    crowd = [made_trial(f"loss {i}", seed, 0.5 - i / 100) for i in range(6) for seed in SEEDS]
    files = {trial["id"]: TrialFile.model_validate(trial | {"evidence": made_diagnostics(1)}) for trial in crowd}
    text = page(judged(study, [*study.trials, *crowd]), environment, trials | files, {})
    drawn = {trace["name"]: trace["visible"] for trace in data_of(text)["roc"]["data"]}
    assert [name for name, visible in drawn.items() if visible][-1] == "loss 0"
    assert len(drawn) == 10
    assert drawn[PHASE_1]
    assert sum(drawn.values()) == 5


def test_a_pair_is_shown_among_its_kind(study, trials, text, data_of):
    data = data_of(text)
    first = rows_of(study)[0].label
    (trial,) = [t for t in study.trials if t.label == first and t.seed == 0]
    groups = data["chosen"][0]["hardest"]
    hardest = trials[trial.id].evidence.hardest
    assert len(groups) == 4
    assert sum(len(group["pairs"]) for group in groups) == len(hardest) > 12
    for group, (similar, accepted) in zip(
        groups, [(True, False), (False, True), (True, True), (False, False)], strict=True
    ):
        of_kind = [pair for pair in hardest if (pair.similar, pair.accepted) == (similar, accepted)]
        assert [pair["images"] for pair in group["pairs"]] == [list(pair.images) for pair in of_kind]
        assert [pair["names"] for pair in group["pairs"]] == [list(pair.identities) for pair in of_kind]
    pair = groups[0]["pairs"][0]
    assert pair["text"].startswith(f"{hardest[0].distance:.3g}, {hardest[0].distance / 1.0:.2f}")


@pytest.mark.parametrize(
    ("people", "refused"), [(2, "it takes 6 validation people, and there are only 2"), (6, ""), (None, "")]
)
def test_where_verify_gives_no_probability_the_calibration_says_so(
    study, environment, trials, people, refused, data_of
):
    known = {"threshold": 1.0, "slope": -2.0, "intercept": 2.0, "people": people}
    files = {
        name: TrialFile.model_validate(file.to_jsonable() | {"calibration": known}) for name, file in trials.items()
    }
    assert data_of(page(study, environment, files, {}))["chosen"][0]["calibration"]["refused"] == refused
