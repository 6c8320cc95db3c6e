"""The description of the files is made from the code, is current, and is true of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from faceexp.results import describe_files
from faceexp.results.folder import RunFolder
from faceexp.serving.export import export_model

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "results.md"


@pytest.fixture(scope="module")
def errors():
    """``errors(record name, content)``: what the JSON Schema in the documentation has against some JSON data."""
    document = json.loads((DOCS / "results.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)

    def check(name, content):
        schema = {"$ref": f"#/$defs/{name}", "$defs": document["$defs"]}
        return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(content)]

    return check


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["results.md", "results.schema.json"])
def test_the_documentation_is_current(name, tmp_path):
    describe_files.write_description(tmp_path)
    assert (DOCS / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8"), (
        f"docs/{name} is not what the records say; run: python -m faceexp.results.describe_files docs"
    )


def test_every_file_of_a_run_is_as_documented(small_run, errors, tmp_path):
    run = RunFolder(small_run.folder)
    assert errors("RunRecord", read(run.results)) == []
    assert errors("EnvironmentRecord", read(run.environment)) == []
    assert {trial.status for trial in small_run.trials} == {"ok", "failed"}
    for trial in small_run.trials:
        assert errors("TrialFile", read(run.trial(trial.id))) == []
    models = run.models()
    assert len(models) == 2, "one of each loss that trained"
    for model in models:
        assert errors("ModelRecord", read(model.record)) == []
    # A program may check any of the files against the whole document.
    whole = Draft202012Validator(json.loads((DOCS / "results.schema.json").read_text(encoding="utf-8")))
    assert whole.is_valid(read(run.results))
    assert not whole.is_valid({"schema": 1})
    exported = export_model(models[0].root, tmp_path / "exported", ["keras"])
    content = read(exported.folder / "calibration.json")
    assert content["origin"]["run"] == "tiny"
    assert errors("ModelRecord", content) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.update(colour="red"), "Additional properties are not allowed ('colour' was unexpected)"),
        (lambda run: run["trials"][0].update(colour="red"), "Additional properties are not allowed"),
        (lambda run: run["trials"][0].pop("status"), "'status' is a required property"),
        (lambda run: run["parts"][0]["test"].update(images="many"), "'many' is not of type 'integer'"),
        (lambda run: run.pop("schema"), "'schema' is a required property"),
    ],
)
def test_the_schema_refuses_what_is_not_documented(change, message, small_run, errors):
    content = read(RunFolder(small_run.folder).results)
    change(content)
    (error,) = errors("RunRecord", content)
    assert message in error


def test_the_page_has_a_row_for_every_key(small_run):
    text = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, flags=re.MULTILINE | re.DOTALL))
    rows = {name: re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE) for name, section in sections.items()}
    run = RunFolder(small_run.folder)
    results, environment = read(run.results), read(run.environment)
    assert rows["RunRecord"] == list(results)
    assert rows["SplitRecord"] == list(results["parts"][0])
    assert rows["TrialRecord"] == list(results["trials"][0])
    assert rows["SummaryRecord"] == list(results["summary"][0])
    assert rows["ComparisonRecord"] == list(results["comparisons"][0])
    assert rows["EnvironmentRecord"] == list(environment)
    # The file of a trial shows only what it has beside the keys of a trial in the results.
    assert rows["TrialFile"] == ["evidence", "calibration", "evidence_of_sets", "groups"]
    assert "It has every key of [TrialRecord](#trialrecord), and these:" in sections["TrialFile"]


def test_every_record_and_key_is_described_in_a_sentence():
    definitions = describe_files.json_schema()["$defs"]
    for name, definition in definitions.items():
        assert definition["description"].endswith("."), name
        assert definition["additionalProperties"] is False
        for key, schema in definition["properties"].items():
            assert schema["description"].endswith("."), f"{name}.{key}"


def test_every_link_of_the_page_leads_somewhere():
    text = PAGE.read_text(encoding="utf-8")
    headings = {heading.lower() for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    links = set(re.findall(r"\]\((.*?)\)", text))
    assert links
    for link in links:
        assert link.removeprefix("#") in headings if link.startswith("#") else (DOCS / link).is_file()


def test_what_may_be_missing_is_marked():
    text = PAGE.read_text(encoding="utf-8")
    assert "\n| `schema` | whole number |  | " in text
    assert "\n| `budgets` | list of [LossBudgetRecord](#lossbudgetrecord) | yes | " in text
    assert "\n| `images` | [whole number, whole number] |  | " in text
    assert "\n| `metrics` | number or null by name | yes | " in text
    assert "\n| `kind` | `loss`, `pretrained` or `baseline` |  | " in text
