"""Records and JSON: what is written is what was meant, and what is read is what was written."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from faceexp.results.evidence import DiagnosticsRecord, JudgedPairRecord, RatesRecord
from faceexp.results.folder import RunFolder
from faceexp.results.jsonable import to_json, to_jsonable
from faceexp.results.model_schema import ModelRecord, OriginRecord
from faceexp.results.published import CasesRecord
from faceexp.results.record import CalibrationRecord, Record, remarks
from faceexp.results.schema import CheckpointRecord, EnvironmentRecord, RunRecord, TrialFile, TrialRecord
from faceexp.values import Checkpoint

MINIMAL_TRIAL = {"id": "x-s0-f0", "label": "x", "kind": "loss", "seed": 0, "fold": 0, "status": "ok"}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_every_file_of_a_run_is_read_and_written_as_the_same_json(small_run):
    run = RunFolder(small_run.folder)
    assert small_run.results.to_jsonable() == read(run.results) == small_run.document
    files: list[tuple[Path, type[Record]]] = [(run.results, RunRecord), (run.environment, EnvironmentRecord)]
    files += [(run.trial(trial.id), TrialFile) for trial in small_run.trials]
    files += [(model.record, ModelRecord) for model in run.models()]
    assert len(files) == 2 + 8 + 2
    for file, record in files:
        assert to_json(record.model_validate(read(file))) == file.read_text(encoding="utf-8"), file


def test_a_trial_in_the_results_is_its_own_file_without_what_only_that_holds(small_run):
    run = RunFolder(small_run.folder)
    for trial in small_run.trials:
        content = read(run.trial(trial.id))
        beside = ("evidence", "calibration", "evidence_of_sets")
        alone = {key: value for key, value in content.items() if key not in beside}
        assert trial.to_jsonable() == alone
        assert TrialFile.model_validate(content).alone() == trial


def test_a_record_is_read_like_the_json_that_it_stands_for(small_run):
    run = small_run.results
    assert run["schema"] == run.schema_number
    assert [trial["label"] for trial in run["trials"]] == [trial.label for trial in run.trials]
    with pytest.raises(KeyError, match="schema_number"):
        run["schema_number"]


def test_a_number_that_is_none_is_null():
    point = CheckpointRecord(step=1, loss=math.nan, validation=math.inf)
    assert json.loads(to_json(point)) == {"step": 1, "loss": None, "validation": None}
    assert json.loads(to_json(RatesRecord(far=-math.inf, tar=0.5))) == {"far": None, "tar": 0.5}
    assert json.loads(to_json({"a": (math.nan, 1), "b": [math.inf]})) == {"a": [None, 1], "b": [None]}


def test_a_curve_that_is_not_defined_is_empty():
    """Older versions wrote a list of nulls."""
    for broken in ([None, None], [0.5, math.nan]):
        record = DiagnosticsRecord.model_validate({"far": broken, "tar": [0.0, 1.0]})
        assert (record.far, record.tar) == ((), (0.0, 1.0))


@pytest.mark.parametrize("value", [math.nan, math.inf, "nan", "-inf"])
def test_what_is_not_finite_is_refused_where_a_number_has_to_be(value):
    judged = {"similar": True, "accepted": True, "images": [0, 1], "identities": ["a", "a"]}
    with pytest.raises(ValidationError, match="finite"):
        JudgedPairRecord.model_validate(judged | {"distance": value})


def test_counts_stay_whole_numbers():
    cases = CasesRecord(nested=12, unrelated=0.5, nested_corrected=3, unrelated_corrected=math.inf)
    assert to_json(cases).split() == [
        *("{", '"nested":', "12,", '"unrelated":', "0.5,", '"nested_corrected":', "3,"),
        *('"unrelated_corrected":', "null", "}"),
    ]


def test_frozen_values_become_records_and_json():
    point = Checkpoint(5, 0.25, 0.75)
    assert CheckpointRecord.model_validate(point).to_jsonable() == dataclasses.asdict(point) == to_jsonable(point)


def test_a_key_that_was_not_given_is_not_written():
    trial = TrialRecord.model_validate(MINIMAL_TRIAL)
    assert trial.to_jsonable() == MINIMAL_TRIAL
    assert (trial.reason, trial.metrics, trial.budget, trial.cell) == (None, {}, None, (0, 0))
    with pytest.raises(ValidationError, match="frozen"):
        trial.label = "y"  # type: ignore[misc]  # as the test says


@pytest.mark.parametrize("key", sorted(MINIMAL_TRIAL))
def test_what_every_version_wrote_has_to_be_there(key):
    with pytest.raises(ValidationError, match=key):
        TrialRecord.model_validate({name: value for name, value in MINIMAL_TRIAL.items() if name != key})


def test_notes_say_what_they_are_about_or_their_beginning_does():
    notes = ["12 people", "closed set: known people", "one image is left out"]
    kinds = ["data", "closed_set", "left_out"]
    assert [note.kind for note in remarks(notes, kinds)] == kinds
    assert [note.kind for note in remarks(notes, [])] == ["data", "closed_set", "data"]
    assert [note.text for note in remarks(notes, ["data"])] == notes


def test_an_origin_of_an_older_export_is_read_and_the_parts_stay_as_they_were():
    parts = {"train": {"images": 40, "people": 8}, "test": {"images": 12, "people": 2, "pairs": 66, "similar": 30}}
    origin = OriginRecord.model_validate({"run": "old", "parts": parts, "budget": {}})
    assert origin.budget is None
    assert origin.model_dump(mode="json")["parts"] == parts


@pytest.mark.parametrize("rate", ["often", "", "1.5", "-0.1", "nan"])
def test_a_threshold_for_what_is_no_rate_is_refused(rate):
    assert CalibrationRecord.model_validate({"threshold": 1.0, "thresholds": {"0.01": 0.5}}).thresholds["0.01"] == 0.5
    with pytest.raises(ValidationError):
        CalibrationRecord.model_validate({"threshold": 1.0, "thresholds": {rate: 0.5}})
