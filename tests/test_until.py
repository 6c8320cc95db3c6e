"""A run that goes on until its questions are decided."""

from __future__ import annotations

import pytest

import faceexp
from faceexp.errors import InputError
from faceexp.results.events import Looked
from faceexp.values import Event

UNTIL = ['verdict.until="decided"', "verdict.looks=2", "seeds=[0]"]


@pytest.fixture
def file(tmp_path, face_folder, small_spec):
    path = tmp_path / "small.toml"
    path.write_text(small_spec("small", face_folder, "npairs", "supcon"), encoding="utf-8")
    return path


def test_a_run_takes_further_looks_and_keeps_everything(file, tmp_path):
    events: list[Event] = []
    study = faceexp.load(file, overrides=UNTIL)
    run = study.run(tmp_path / "runs", store=tmp_path / "store", on_event=events.append)
    verdict = run.results.verdict
    # With a single trial nothing can be decided, so the first look leaves both losses in question.
    assert [look.seeds for look in verdict.looks] == [(0,), (1, 2, 3, 4, 5)]
    assert [event.verdict.in_question for event in events if isinstance(event, Looked)] == [("npairs", "supcon")]
    assert verdict.alpha == pytest.approx(0.05 / 2)
    assert {trial.seed for trial in run.results.trials} == set(range(6))
    assert {part.seed for part in run.results.parts} == set(range(6))
    files = {path.stem for path in (run.folder / "trials").glob("*.json")}
    assert files == {trial.id for trial in run.results.trials}
    assert {claim.trials for claim in verdict.helps} == {6}
    # The same command trains nothing anew, and finds the same.
    again = study.run(tmp_path / "runs", store=tmp_path / "store")
    assert again.folder == run.folder
    assert [claim.difference for claim in again.results.verdict.helps] == [claim.difference for claim in verdict.helps]
    trained = [trial for trial in again.results.trials if trial.kind == "loss"]
    assert all("finetune" in trial.reused for trial in trained)


def test_no_look_begins_without_time_for_it(file, tmp_path):
    study = faceexp.load(file, overrides=[*UNTIL, "limits.minutes=0.0001"])
    run = study.run(tmp_path / "runs", store=tmp_path / "store")
    assert len(run.results.verdict.looks) == 1
    assert {trial.seed for trial in run.results.trials} == {0}


def test_seeds_that_test_the_same_people_cannot_go_on(file):
    with pytest.raises(
        InputError, match="verdict.until: decided needs a protocol whose further seeds test other people"
    ):
        faceexp.load(file, overrides=[*UNTIL, "protocol.split_seed=3"])


def test_an_unknown_metric_is_one_mistake(file):
    with pytest.raises(InputError, match="there is no metric 'map_at_q'; did you mean 'map_at_r'"):
        faceexp.load(file, overrides=['verdict.metric="map_at_q"'])
