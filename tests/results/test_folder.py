"""Where everything lies in a run, and reading it: as it is, as older versions wrote it, and damaged."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import faceexp
from faceexp.errors import InputError, Problem
from faceexp.results.design import design_of, losses_of, values_of
from faceexp.results.folder import (
    NETWORK_FILES,
    ModelFolder,
    RunFolder,
    folder_to_fill,
    read_results,
    run_of,
    runs_in,
)
from faceexp.results.kept import kept
from faceexp.results.schema import EnvironmentRecord, InstalledPluginRecord
from faceexp.run import open_runs
from faceexp.statistics.power import UnanswerableError, from_run

# Results as the first version wrote them, under schema 1.
FIRST_VERSION = {
    "schema": 1,
    "name": "old",
    "spec_hash": "0123456789abcdef",
    "protocol": "closed_set",
    "notes": ["12 people, 72 images", "closed set: the people of the test are known"],
    "trials": [
        {
            "id": f"{label}-s0-f{fold}",
            "loss": label,
            "label": label,
            "kind": kind,
            "seed": 0,
            "fold": fold,
            "status": "ok",
            "reason": None,
            "metrics": {"accuracy": accuracy, "auc": None},
            "threshold": 1.5,
            "distance": "euclidean",
            "best_step": 0,
            "seconds": {"pretrain": 1.0, "features": 0.5, "finetune": 2.0, "evaluate": 0.1},
            "reused": ["pretrain"],
            "curve": [],
        }
        for label, kind, fold, accuracy in (("x", "loss", 0, 0.75), ("x", "loss", 1, 0.5), ("raw", "baseline", 0, 0.5))
    ],
    "summary": [
        {
            "label": "x",
            "kind": "loss",
            "metric": "accuracy",
            "mean": 0.625,
            "ci95": [0.5, 0.75],
            "n": 2,
            "group": "a",
        },
        {"label": "raw", "kind": "baseline", "metric": "accuracy", "mean": 0.5, "ci95": None, "n": 1, "group": "a"},
    ],
    "comparisons": [
        {
            "metric": "accuracy",
            "a": "x",
            "b": "raw",
            "difference": 0.25,
            "ci95": None,
            "p_corrected": None,
            "verdict": "indistinguishable",
            "minimum_detectable_difference": None,
        }
    ],
}
FIRST_CALIBRATION = {
    "label": "x",
    "distance": "cosine",
    "threshold": 0.25,
    "criterion": "best balanced accuracy on the validation part",
    "preprocess": {"size": [16, 16], "color": "gray"},
}


def written(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


# Paths ------------------------------------------------------------------------------------------------------------------


def test_every_path_of_a_run():
    root = Path("runs/some-01234567")
    run = RunFolder(root)
    assert run.results == root / "results.json"
    assert run.page == root / "report.html"
    assert run.spec == root / "spec.toml"
    assert run.environment == root / "environment.json"
    assert run.trial("x-s0-f0") == root / "trials" / "x-s0-f0.json"
    assert run.picture(7) == root / "pictures" / "7.png"
    assert run.model("x-s0-f0") == ModelFolder(root / "models" / "x-s0-f0")
    model = run.model("x-s0-f0")
    assert model.record == root / "models" / "x-s0-f0" / "calibration.json"
    assert model.spec == root / "models" / "x-s0-f0" / "spec.toml"
    assert {form: model.network(form).name for form in NETWORK_FILES} == {
        "onnx": "model.onnx",
        "tflite": "model.tflite",
        "keras": "model.keras",
        "saved_model": "saved_model",
    }


def test_a_run_lists_its_models_and_knows_whether_it_has_any(tmp_path):
    run = RunFolder(tmp_path)
    assert (run.has_models, run.models()) == (False, [])
    for name in ("b", "a", "without a description"):
        run.model(name).root.mkdir(parents=True)
    for name in ("b", "a"):
        run.model(name).record.write_text("{}")
    assert run.has_models
    assert run.models() == [run.model("a"), run.model("b")]


def test_the_paths_are_those_that_a_run_writes(small_run):
    run = RunFolder(small_run.folder)
    assert all(file.is_file() for file in (run.results, run.page, run.spec, run.environment))
    assert all(run.trial(trial.id).is_file() for trial in small_run.trials)
    trained = kept("best", small_run.trials)
    assert [model.root.name for model in run.models()] == sorted(trained)
    assert {name.split("-")[0] for name in trained} == {"contrastive", "npairs"}
    assert all(run.model(name).network("keras").is_file() for name in trained)
    images = run.pictures()
    assert images
    assert all(run.picture(number).read_bytes() == content for number, content in images.items())


def test_pictures_are_files_named_by_a_number(tmp_path):
    run = RunFolder(tmp_path)
    run.picture(12).parent.mkdir()
    run.picture(12).write_bytes(b"twelve")
    (run.picture(12).with_name("a note.png")).write_bytes(b"no picture")
    assert run.pictures() == {12: b"twelve"}


def test_the_run_of_a_model_is_the_one_that_it_lies_in(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    model = run.model("x-s0-f0")
    model.root.mkdir(parents=True)
    assert run_of(model) is None, "a folder without an experiment is no run"
    run.spec.write_text("")
    assert run_of(model) == RunFolder(run.root.resolve())
    # An interrupted run has no results, and a path may be relative.
    monkeypatch.chdir(model.root)
    assert run_of(ModelFolder(Path())) == RunFolder(run.root.resolve())
    exported = ModelFolder(tmp_path / "run" / "exported" / "x-s0-f0")
    exported.root.mkdir(parents=True)
    assert run_of(exported) is None
    assert run_of(ModelFolder(tmp_path)) is None


def test_runs_in_a_folder_are_those_with_results(tmp_path):
    for name in ("b", "a"):
        written(tmp_path / name, FIRST_VERSION)
    (tmp_path / "c").mkdir()
    assert list(runs_in(tmp_path)) == [tmp_path / "a", tmp_path / "b"]


# What older versions wrote ----------------------------------------------------------------------------------------------


def test_results_of_the_first_version_are_read(tmp_path):
    folder = written(tmp_path / "old", FIRST_VERSION)
    for path in (folder, folder / "results.json"):
        record = read_results(path)
        assert record == RunFolder(folder).read_results()
    assert (record.name, record.description, record.method, record.published) == ("old", "", "", None)
    assert (record.parts, record.budgets, record.warnings, record.seconds) == ((), (), (), {})
    assert record.test_train_ratio is None
    assert [(note.kind, note.text) for note in record.remarks] == [
        ("data", "12 people, 72 images"),
        ("closed_set", "closed set: the people of the test are known"),
    ]
    assert [trial.budget for trial in record.trials] == [None, None, None]
    assert record.trials[0].metrics == {"accuracy": 0.75, "auc": None}
    assert record.summary[0].ci95 == (0.5, 0.75)
    (comparison,) = record.comparisons
    assert (comparison.difference, comparison.effect_size) == (0.25, None)
    assert record.to_jsonable() == FIRST_VERSION


def test_a_run_of_the_first_version_is_opened_and_shown(tmp_path):
    run = faceexp.open_run(written(tmp_path, FIRST_VERSION))
    assert run.to_frame()["accuracy"].tolist() == [0.75, 0.5, 0.5]
    run.write_page(tmp_path / "page.html")
    assert "62.5" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_model_of_the_first_version_is_read(tmp_path):
    (tmp_path / "calibration.json").write_text(json.dumps(FIRST_CALIBRATION), encoding="utf-8")
    record = ModelFolder(tmp_path).read()
    assert (record.label, record.distance, record.threshold) == ("x", "cosine", 0.25)
    assert (record.seed, record.calibration, record.origin, record.exported) == (None, None, None, None)
    assert (record.preprocess.size, record.preprocess.detect) == ((16, 16), None)


@pytest.mark.parametrize(
    "missing",
    [
        ("parts",),
        ("budgets",),
        ("note_kinds",),
        ("method",),
        ("seconds",),
        ("test_train_ratio",),
        ("published",),
        ("published", "power"),
        ("trials", 0, "budget"),
        ("trials", 0, "curve"),
        ("trials", 0, "seconds"),
        ("parts", 0, "key"),
        ("parts", 0, "test", "pairs"),
        ("comparisons", 0, "effect_size"),
        ("comparisons", 0, "minimum_detectable_difference"),
        ("summary", 0, "group"),
    ],
    ids=lambda keys: ".".join(map(str, keys)),
)
def test_what_older_versions_lack_may_be_missing(missing, small_run, tmp_path):
    content = json.loads((small_run.folder / "results.json").read_text(encoding="utf-8"))
    *way, key = missing
    table = content
    for step in way:
        table = table[step]
    del table[key]
    assert read_results(written(tmp_path, content)).to_jsonable() == content


def test_keys_of_a_newer_version_are_ignored(tmp_path):
    content = copy.deepcopy(FIRST_VERSION)
    content["colour"] = "red"
    content["trials"][0]["weather"] = {"rain": True}
    assert read_results(written(tmp_path, content)).to_jsonable() == FIRST_VERSION


# What is damaged --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda content: content.pop("trials"), "trials"),
        (lambda content: content["trials"][1].update(seed="one"), "trials.1.seed"),
        (lambda content: content["trials"][1].pop("status"), "trials.1.status"),
        (lambda content: content["trials"][2].update(status="well"), "trials.2.status"),
        (lambda content: content["summary"][0].update(ci95=[0.5]), "summary.0.ci95"),
        (lambda content: content["comparisons"][0].update(verdict="x"), "comparisons.0.verdict"),
        (lambda content: content.update(summary=None), "summary"),
    ],
)
def test_damaged_results_name_the_first_key_that_is_wrong(change, key, tmp_path):
    content = copy.deepcopy(FIRST_VERSION)
    change(content)
    with pytest.raises(InputError) as caught:
        read_results(written(tmp_path, content))
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path / "results.json")
    assert problem.message.startswith(f"is damaged: {key}")
    assert problem.message.endswith("is missing or not what it has to be; run the experiment again")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"schema": 1', "", "nul", '{"schema": NaN}', b"\xff\xfe\x00"])
def test_what_is_no_json_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "results.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"results.json: (cannot be read as results|is not results of schema 1)"):
        read_results(tmp_path)
    (tmp_path / "calibration.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"calibration.json: (cannot be read|does not describe a model)"):
        ModelFolder(tmp_path).read()
    (tmp_path / "environment.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert RunFolder(tmp_path).read_environment() == EnvironmentRecord()


def places(content, way=()):
    """Yield the way to every key and every place of a list in JSON data."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield (*way, key)
        yield from places(value, (*way, key))


def damaged(content, way, value):
    """Return JSON data with one place deleted, or with another value there."""
    content = copy.deepcopy(content)
    *before, key = way
    table = content
    for step in before:
        table = table[step]
    if value is DELETED:
        del table[key]
    else:
        table[key] = value
    return content


DELETED = object()
VALUES = [
    DELETED,
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    "",
    "a b\nc",
    "nan",
    [],
    [1, "x", None],
    {},
    {"a": [1]},
    [[0.5, 0.75]],
]
SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SETTINGS
@given(data=st.data())
def test_results_with_any_damage_are_read_or_refused_in_one_line(data, small_run, tmp_path):
    """Whatever happens to one or two places of the file."""
    content = json.loads((small_run.folder / "results.json").read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 2))):
        way = data.draw(st.sampled_from(sorted(places(content), key=str)))
        content = damaged(content, way, data.draw(st.sampled_from(VALUES)))
    folder = written(tmp_path, content)
    try:
        run = faceexp.open_run(folder)
    except InputError as error:
        (line,) = str(error).splitlines()
        assert line.startswith(
            (f"{folder / 'results.json'}: is ", f"{folder / 'results.json'}: cannot be read as results: ")
        )
        assert line.endswith("run the experiment again")
    else:
        # What was read is whole: it can be written, and read again.
        assert len(run.to_frame()) == len(run.trials)
        assert read_results(written(tmp_path / "again", run.document)) == run.results


@SETTINGS
@given(data=st.data())
def test_models_with_any_damage_are_read_or_refused_in_one_line(data, small_run, tmp_path):
    (model, *_) = RunFolder(small_run.folder).models()
    content = json.loads(model.record.read_text(encoding="utf-8"))
    way = data.draw(st.sampled_from(sorted(places(content), key=str)))
    content = damaged(content, way, data.draw(st.sampled_from(VALUES)))
    folder = ModelFolder(tmp_path)
    folder.record.write_text(json.dumps(content), encoding="utf-8")
    try:
        record = folder.read()
    except InputError as error:
        (line,) = str(error).splitlines()
        assert line.startswith((f"{folder.record}: does not describe a model (", f"{folder.record}: cannot be read: "))
    else:
        assert record.label == content["label"]


def test_a_report_does_without_what_is_lost_beside_the_results(small_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(small_run.folder, folder)
    lost, torn, *others = [trial.id for trial in small_run.trials]
    run = RunFolder(folder)
    run.trial(lost).unlink()
    run.trial(torn).write_text('{"id": 3', encoding="utf-8")
    assert list(run.read_trials([trial.id for trial in small_run.trials])) == others
    run.environment.unlink()
    assert run.read_environment() == EnvironmentRecord()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1" * 5000, "it is infinite, too large, or no number"),
        ('{"trials": [{"seed": ' + "9" * 30 + "}]}", "trials.0.seed is infinite, too large, or no number"),
        ('{"trials": [{"seed": Infinity}]}', "trials.0.seed is infinite, too large, or no number"),
        ('{"a": 1e999}', "a is infinite, too large, or no number"),
        ('{"a": {"b": 1, "b": 2}}', "it has the key 'b' twice"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, "it has more than 100 levels"),
        ('{"name": "\\ud800"}', "name holds half of a character"),
        (b'{"name": "\xe4"}', "it is not UTF-8 text (byte 10)"),
        ("\0", "it is not JSON: Expecting value"),
    ],
)
def test_what_no_honest_file_holds_is_named_with_its_key(text, reason, tmp_path):
    content = text if isinstance(text, bytes) else text.encode()
    for name in ("results.json", "calibration.json", "environment.json"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_results(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'results.json'}: cannot be read as results: {reason}")
    with pytest.raises(InputError) as caught:
        ModelFolder(tmp_path).read()
    assert str(caught.value).startswith(f"{tmp_path / 'calibration.json'}: cannot be read: {reason}")
    left_out: list[Problem] = []
    assert RunFolder(tmp_path).read_environment(left_out) == EnvironmentRecord()
    assert [str(problem).startswith(f"{tmp_path / 'environment.json'}: is damaged: {reason}") for problem in left_out]


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(FIRST_VERSION), encoding="utf-8-sig")
    assert read_results(tmp_path).to_jsonable() == FIRST_VERSION


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop", "large", "empty"])
def test_what_is_no_ordinary_file_is_refused_at_once(kind, tmp_path):
    for name in ("results.json", "calibration.json", "environment.json", "trials/x.json", "pictures/1.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        if kind == "folder":
            file.mkdir()
        elif kind == "pipe":
            os.mkfifo(file)
        elif kind in ("device", "loop"):
            file.symlink_to("/dev/zero" if kind == "device" else file)
        else:
            file.touch()
            os.truncate(file, 3 * 2**30 if kind == "large" else 0)
    with pytest.raises(InputError, match=r"results\.json: ") as caught:
        read_results(tmp_path)
    assert len(caught.value.problems) == 1
    with pytest.raises(InputError, match=r"calibration\.json: "):
        ModelFolder(tmp_path).read()
    left_out: list[Problem] = []
    run = RunFolder(tmp_path)
    assert (run.read_environment(left_out), run.read_trials(["x"], left_out)) == (EnvironmentRecord(), {})
    assert run.pictures(left_out) == ({1: b""} if kind == "empty" else {})
    assert len(left_out) == (2 if kind == "empty" else 3)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda content: content["trials"][0].update(id="../../x"), "trials.0.id"),
        (lambda content: content["trials"][0].update(id=".."), "trials.0.id"),
        (lambda content: content["trials"][0].update(id="a\0b"), "trials.0.id"),
        (lambda content: content["trials"][0].update(id="x" * 300), "trials.0.id"),
        (lambda content: content["trials"][0].update(fold=-1), "trials.0.fold"),
        (lambda content: content["summary"][0].update(n=-1), "summary.0.n"),
        (lambda content: content["trials"].append(content["trials"][0]), "trials"),
        (lambda content: content["trials"].append(content["trials"][0] | {"id": "another"}), "trials"),
    ],
)
def test_what_cannot_be_is_refused(change, key, tmp_path):
    content = copy.deepcopy(FIRST_VERSION)
    change(content)
    with pytest.raises(InputError) as caught:
        read_results(written(tmp_path, content))
    assert f"results.json: is damaged: {key} is missing or not what it has to be" in str(caught.value)


@pytest.mark.parametrize("size", [[0, 0], [100_000, 100_000], [16], [16, 16, 16], "16"])
def test_images_of_an_impossible_size_are_refused(size, tmp_path):
    content = FIRST_CALIBRATION | {"preprocess": {"size": size}}
    (tmp_path / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=r"does not describe a model \(preprocess.size"):
        ModelFolder(tmp_path).read()


@settings(SETTINGS, max_examples=40)
@given(data=st.data())
def test_a_damaged_run_is_shown_or_refused(data, small_run, tmp_path):
    """Whatever happens to one place of a file, the report, the power and the model are there, or one line is."""
    folder = tmp_path / "run"
    if not folder.exists():
        shutil.copytree(small_run.folder, folder)
    (model, *_) = RunFolder(folder).models()
    files = [
        folder / "results.json",
        model.record,
        RunFolder(folder).trial(model.root.name),
        folder / "environment.json",
    ]
    file = data.draw(st.sampled_from(files))
    text = file.read_text(encoding="utf-8")
    content = json.loads(text)
    way = data.draw(st.sampled_from(sorted(places(content), key=str)))
    file.write_text(json.dumps(damaged(content, way, data.draw(st.sampled_from(VALUES)))), encoding="utf-8")
    try:
        run = faceexp.open_run(folder)
        run.write_page(tmp_path / "page.html")
        values = values_of(run.results, "accuracy")
        losses = losses_of(run.results)
        from_run(values, design_of(run.results), "accuracy", higher_is_better=True, losses=losses)
        faceexp.load_model(folder)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    except UnanswerableError:
        pass
    finally:
        file.write_text(text, encoding="utf-8")


def test_everything_that_is_wrong_with_several_runs_is_told_at_once(tmp_path):
    written(tmp_path / "newer", {"schema": 2})
    good = written(tmp_path / "good", FIRST_VERSION)
    with pytest.raises(InputError) as caught:
        open_runs([tmp_path / "newer", good, tmp_path / "none"])
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path / 'newer' / 'results.json'}: is not results of schema 1; run the experiment again",
        f"{tmp_path / 'none'}: no such run; name the folder of a run; `faceexp runs` lists them",
    ]


# The folder that a run goes to -----------------------------------------------------------------------------------------


def installed(digest, name="probe"):
    return InstalledPluginRecord(kind="loss", name=name, distribution=name, version="1", digest=digest)


def finish(folder, *plugins):
    """Let a run with these plugins end in a folder."""
    folder.root.mkdir(parents=True, exist_ok=True)
    used = [plugin.to_jsonable() for plugin in plugins]
    folder.results.write_text(json.dumps(FIRST_VERSION | {"plugins": used}), encoding="utf-8")


def test_results_of_other_code_are_not_overwritten_and_the_same_code_goes_on_where_it_was(tmp_path):
    usual, other = tmp_path / "mine-12345678", installed("same", "other")
    for number, digest in enumerate(("one", "two", "three"), 1):
        folder, said = folder_to_fill(usual, [installed(digest), other])
        assert folder.root.name == ("mine-12345678" if number == 1 else f"mine-12345678-{number}")
        assert bool(said) == (number > 1)
        # Until it has ended there is nothing to lose: whatever the code, the next one takes its place.
        folder.root.mkdir()
        assert folder_to_fill(usual, [installed("else"), other])[0] == folder
        finish(folder, installed(digest), other)
    assert folder_to_fill(usual, [installed("one"), other]) == (RunFolder(usual), "")
    folder, said = folder_to_fill(usual, [installed("three"), other])
    assert said == f"the code of loss 'probe' has changed since {usual}-2: this run goes to {usual}-3"


def test_plugins_with_other_code_are_named(tmp_path):
    finish(RunFolder(tmp_path / "run"), installed("a"), installed("a", "other"))
    said = folder_to_fill(tmp_path / "run", [installed("b"), installed("b", "other")])[1]
    assert said.startswith("the code of loss 'probe' and loss 'other' has changed since ")
    many = ["probe", "other", "third"]
    finish(RunFolder(tmp_path / "run"), *(installed("a", name) for name in many))
    said = folder_to_fill(tmp_path / "run", [installed("b", name) for name in many])[1]
    assert said.startswith("the code of loss 'probe' and 2 other plugins has changed since ")


@pytest.mark.parametrize("content", ["", "{}", json.dumps(FIRST_VERSION), None])
def test_where_the_code_of_results_is_not_known_a_run_goes_on_in_its_folder(tmp_path, content):
    if content is None:
        finish(RunFolder(tmp_path), installed(""))
    else:
        (tmp_path / "results.json").write_text(content, encoding="utf-8")
    assert folder_to_fill(tmp_path, [installed("b")]) == (RunFolder(tmp_path), "")
