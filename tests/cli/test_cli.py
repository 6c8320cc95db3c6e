"""Commands as a person types them: what they print, where, and with which exit code."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faceexp import pipeline
from faceexp.engine import trials
from faceexp.errors import InputError, Problem
from faceexp.run import open_run
from faceexp.store import Store
from faceexp.values import Event, TrialResult

ROOT = Path(__file__).parents[2]

SPEC = """\
name = "example"
[dataset]
plugin = "image_folder"
path = "FOLDER"
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8
[pretrain]
epochs = 1
batch_size = 8
[finetune]
steps = 4
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
[[losses]]
plugin = "contrastive"
margin = 1.0
"""


@pytest.fixture
def faceexp(command, monkeypatch, tmp_path):
    """Run a command; return exit code, standard output and standard error."""
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "own-store"))
    return command


@pytest.fixture
def folder(face_folder, tmp_path):
    """A folder of 12 people with 6 images each, to be spoiled."""
    return Path(shutil.copytree(face_folder, tmp_path / "faces"))


@pytest.fixture
def spec(tmp_path, folder):
    """Write the experiment with replacements; return its path: ``spec(("margin = 1.0", "margin = 0"))``."""

    def write(*replacements):
        text = SPEC
        for old, new in replacements:
            assert text.count(old) == 1
            text = text.replace(old, new)
        path = tmp_path / "x.toml"
        path.write_text(text.replace("FOLDER", str(folder)), encoding="utf-8")
        return path

    return write


@pytest.fixture
def no_training(monkeypatch):
    """Fail the test if TensorFlow is imported or training begins."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.setattr(trials, "train", lambda *_: pytest.fail("training began"))


# Help


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["face photos", "run", "list-plugins", "describe", "validate", "schema", "report"]),
        (["-h"], ["face photos"]),
        (["run", "--help"], ["SPEC", "--out", "--store", "FACEEXP_STORE", "--set", "--only", "--json", "Exit code 0"]),
        (["list-plugins", "--help"], ["--json"]),
        (["describe", "--help"], ["loss, model, dataset or sampler", "--json"]),
        (["validate", "--help"], ["SPEC", "--set", "--json", "without loading data"]),
        (["schema", "--help"], ["JSON schema"]),
        (["report", "--help"], ["RUN", "--json"]),
    ],
)
def test_help(faceexp, arguments, expected):
    code, out, _ = faceexp(*arguments)
    assert code == 0
    assert [text for text in expected if text not in out] == []


def test_version(faceexp):
    assert faceexp("--version") == (0, "faceexp 0.1.0\n", "")


@pytest.mark.parametrize("arguments", [["no-such-command"], ["run"], ["validate", "--no-such-option", "x.toml"]])
def test_a_command_that_is_none_ends_with_code_2(faceexp, arguments):
    code, out, err = faceexp(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("Usage: ")


# Plugins


def test_plugins_are_listed_by_kind(faceexp):
    code, out, err = faceexp("list-plugins")
    assert (code, err) == (0, "")
    places = [out.index(f"{kind} plugins") for kind in ("loss", "model", "dataset", "sampler")]
    assert places == sorted(places)
    losses, samplers = out[places[0] : places[1]], out[places[3] :]
    assert "contrastive" in losses
    assert "faceexp-loss-contrastive" in losses
    assert "0.1.0" in losses
    assert "balanced" in samplers


def test_a_broken_plugin_is_listed_with_its_reason(faceexp, install):
    install("outside-bad", "loss", "bad", "raise RuntimeError('no [such] GPU')")
    code, out, _ = faceexp("list-plugins")
    assert code == 0
    assert "x bad (outside-bad 1.0) is broken: RuntimeError: no [such] GPU" in out
    _, out, _ = faceexp("list-plugins", "--json")
    (bad,) = [item for item in json.loads(out)["loss"] if item["name"] == "bad"]
    assert bad["error"] == "RuntimeError: no [such] GPU"


def test_plugins_are_listed_where_nothing_can_be_kept(faceexp, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "file" / "store"))
    code, out, err = faceexp("list-plugins")
    assert (code, err) == (0, "")
    assert "faceexp-loss-contrastive" in out


def test_a_plugin_is_described(faceexp):
    code, out, err = faceexp("describe", "loss", "contrastive")
    assert (code, err) == (0, "")
    for text in ("Hadsell", "euclidean", "margin", "float", "1.0", "> 0", "distance", "one of all, halves"):
        assert text in out


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("los", "contrastive", "there is no kind 'los' of plugin; did you mean 'loss'?"),
        ("loss", "contrastiv", "no loss plugin 'contrastiv' is installed; did you mean 'contrastive'?"),
    ],
)
def test_what_cannot_be_described(faceexp, kind, name, message):
    assert faceexp("describe", kind, name) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    "arguments",
    [["list-plugins", "--json"], ["describe", "loss", "contrastive", "--json"], ["schema"]],
)
def test_json_is_one_document_and_nothing_else(faceexp, arguments):
    code, out, err = faceexp(*arguments)
    assert (code, err) == (0, "")
    assert isinstance(json.loads(out), dict)


# Validation


def test_a_valid_experiment(faceexp, spec):
    outline = "example: 1 loss x 1 seed x 1 fold = 1 trials on image_folder, open set, trunk thin_vgg"
    assert faceexp("validate", spec()) == (0, f"valid  {outline}\n", "")
    _, out, _ = faceexp("validate", spec(), "--json")
    assert json.loads(out) == {"valid": True, "problems": [], "outline": outline}


def test_mistakes_are_listed_one_a_line(faceexp, spec):
    path = spec(
        ("size = [16, 16]", 'colour = "gray"'),
        ("widths = [4]", "widths = 4"),
        ('plugin = "contrastive"', 'plugin = "contrastiv"'),
    )
    code, out, err = faceexp("validate", path)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"error: {path}:6: preprocess.colour: unknown key; did you mean 'color'?",
        (
            f"error: {path}:11: model.widths: must be a list, not 4; option of model 'thin_vgg' "
            "(faceexp-model-thin-vgg 0.1.0)"
        ),
        f"error: {path}:24: losses[0].plugin: no loss plugin 'contrastiv' is installed; did you mean 'contrastive'?",
    ]
    code, out, _ = faceexp("validate", path, "--json")
    assert code == 2
    assert json.loads(out) == {
        "valid": False,
        "problems": [line.removeprefix("error: ") for line in err.splitlines()],
    }


def test_overrides_are_validated_too(faceexp, spec):
    code, _, err = faceexp("validate", spec(), "--set", "finetune.stepz=3", "--set", "losses[0].margin=2.0")
    assert code == 2
    assert err == "error: --set finetune.stepz=3: finetune.stepz: unknown key; did you mean 'steps'?\n"


# Wrong input to a run: one line, with place and hint, before anything trains


@pytest.mark.usefixtures("no_training")
class TestRefused:
    @pytest.fixture
    def refused(self, faceexp, tmp_path):
        """Run an experiment that cannot work; return the one line about it."""

        def run(path, *arguments):
            code, out, err = faceexp("run", path, "--out", tmp_path / "out", "--store", tmp_path / "store", *arguments)
            assert (code, out) == (2, "")
            assert "Traceback" not in err
            (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
            assert err.endswith(f"{line}\n")
            assert not (tmp_path / "out" / "results.json").exists()
            return line.removeprefix("error: ")

        return run

    @pytest.mark.parametrize(
        ("old", "new", "line", "message"),
        [
            (
                'plugin = "thin_vgg"',
                'plugin = "thin_vg"',
                10,
                "model.plugin: no model plugin 'thin_vg' is installed; did you mean 'thin_vgg'?",
            ),
            (
                "margin = 1.0",
                "margn = 1.0",
                25,
                (
                    "losses[0].margn: unknown option of loss 'contrastive' (faceexp-loss-contrastive 0.1.0); "
                    "did you mean 'margin'?"
                ),
            ),
            (
                "margin = 1.0",
                'margin = "wide"',
                25,
                (
                    "losses[0].margin: must be a number, not 'wide'; option of loss 'contrastive' "
                    "(faceexp-loss-contrastive 0.1.0)"
                ),
            ),
            (
                "margin = 1.0",
                "margin = -1.0",
                25,
                (
                    "losses[0].margin: must be greater than 0, not -1.0; option of loss 'contrastive' "
                    "(faceexp-loss-contrastive 0.1.0)"
                ),
            ),
            (
                "steps = 4",
                "stepz = 4",
                18,
                "finetune.stepz: unknown key; did you mean 'steps'?",
            ),
            ("epochs = 1", "epochs = one", 15, "is not valid TOML: Invalid value; text must stand in quotes"),
        ],
    )
    def test_a_mistake_in_the_file(self, refused, spec, old, new, line, message):
        path = spec((old, new))
        assert refused(path) == f"{path}:{line}: {message}"

    def test_a_missing_table(self, refused, spec):
        path = spec(('[protocol]\nkind = "open_set"\n', ""))
        assert refused(path) == f"{path}: protocol: is missing; add [protocol]"

    def test_a_missing_file(self, refused, tmp_path):
        path = tmp_path / "missing.toml"
        assert refused(path) == f"{path}: no such file; an experiment is a TOML file"

    def test_a_loss_that_its_sampler_cannot_serve(self, refused, spec):
        path = spec(
            (
                'plugin = "balanced"\nclasses_per_batch = 4\nimages_per_class = 2\n',
                'plugin = "random"\nbatch_size = 8\n',
            )
        )
        line = refused(path)
        assert line.startswith(f"{path}:22: losses[0]: loss 'contrastive' needs 2 identities in every batch")
        assert line.endswith("choose another sampler or other options for it")

    def test_a_label_that_does_not_exist(self, refused, spec):
        hint = "did you mean 'contrastive(margin=1)'?"
        assert refused(spec(), "--only", "contrastive") == f"--only: no loss has the label 'contrastive'; {hint}"

    def test_a_missing_folder(self, refused, spec, folder):
        path = spec(("FOLDER", f"{folder}s"))
        assert refused(path) == f"{folder}s: no such folder; did you mean 'faces'?"

    def test_an_empty_folder(self, refused, spec, folder):
        shutil.rmtree(folder)
        folder.mkdir()
        hint = "make one folder of images per person"
        assert refused(spec()) == f"{folder}: no identity folders in it; {hint}"

    def test_a_person_with_one_image_where_two_are_needed(self, refused, spec, folder):
        for number in range(1, 6):
            (folder / "p03" / f"{number}.png").unlink()
        path = spec()
        assert refused(path) == (
            f"{path}:7: protocol: 'p03' has 1 image, open_set needs 2 of each person; add images or set "
            "min_images = 2 to leave such people out"
        )

    def test_an_image_that_is_none(self, refused, spec, folder):
        (folder / "p03" / "notes.jpg").write_text("Remember to replace this by the photo.")
        line = refused(spec())
        assert line.startswith(f"{folder / 'p03' / 'notes.jpg'}: cannot be decoded (cannot identify image file")
        assert line.endswith('replace or remove it, or set on_unreadable = "skip" in [preprocess]')

    def test_a_batch_of_more_people_than_there_are(self, refused, spec):
        path = spec(("classes_per_batch = 4", "classes_per_batch = 40"))
        line = refused(path)
        assert line.startswith(f"{path}:19: finetune.sampler: sampler 'balanced' wants 40 people with 2 images or more")
        assert line.endswith("ask for fewer, or for fewer images of each")

    def test_a_batch_of_more_images_than_there_are(self, refused, spec):
        path = spec(("batch_size = 8", "batch_size = 1000"))
        line = refused(path)
        assert line.startswith(f"{path}:16: pretrain.batch_size: 1000 is more than the ")
        assert " images of the smallest training part; use " in line

    def test_places_that_cannot_be_written(self, faceexp, spec, tmp_path):
        file = tmp_path / "file"
        file.write_text("not a folder")
        code, out, err = faceexp("run", spec(), "--out", file, "--store", file / "store")
        assert (code, out) == (2, "")
        assert err.splitlines() == [
            f"error: --out {file}: nothing can be written there: File exists; name a folder of yours",
            f"error: --store {file / 'store'}: nothing can be written there: Not a directory; name a folder of yours",
        ]


# Reports


def trial(label, *, kind="loss", seed=0, status="ok", reason=None):
    return {
        "id": f"{label}-s{seed}-f0",
        "loss": label,
        "label": label,
        "kind": kind,
        "seed": seed,
        "fold": 0,
        "status": status,
        "reason": reason,
        "metrics": {"accuracy": 0.9, "auc": None} if status == "ok" else {},
    }


def summary(label, metric, mean, ci95, *, kind="loss", group="a"):
    return {"label": label, "kind": kind, "metric": metric, "mean": mean, "ci95": ci95, "n": 2, "group": group}


@pytest.fixture
def finished(tmp_path):
    """Write the results of a run; return its folder."""

    def write(trials, summaries, **rest):
        folder = tmp_path / "runs" / "made-12345678"
        folder.mkdir(parents=True)
        document = {
            "schema": 1,
            "name": "made",
            "spec_hash": "12345678",
            "protocol": "open_set",
            "notes": ["12 people, 72 images; a folder"],
            "trials": trials,
            "summary": summaries,
            "comparisons": [],
        } | rest
        (folder / "results.json").write_text(json.dumps(document))
        return folder

    return write


def row(out, label):
    (line,) = [line for line in out.splitlines() if line.strip().startswith(label)]
    return " ".join(line.split())


def test_a_report_shows_means_intervals_failures_and_what_is_no_number(faceexp, finished):
    folder = finished(
        [
            *(trial("pull", seed=seed) for seed in (0, 1)),
            trial("push"),
            trial("push", seed=1, status="diverged", reason="loss is nan at step [3]"),
            *(trial("phase-1 embedding", kind="baseline", seed=seed) for seed in (0, 1)),
        ],
        [
            summary("pull", "accuracy", 0.9, [0.85, 0.95]),
            summary("pull", "auc", None, None),
            summary("push", "accuracy", 0.8, None, group="b"),
            summary("push", "auc", None, None),
            summary("phase-1 embedding", "accuracy", 0.85, [0.8, 0.9], kind="baseline", group="ab"),
        ],
    )
    code, out, err = faceexp("report", folder)
    assert (code, err) == (0, "")
    assert "made: open set, 2 seeds x 1 fold" in out
    assert row(out, "pull").startswith("pull 2/2 *90.0 ±5.0 - ")
    assert row(out, "push").startswith("push 1/2 80.0 - ")
    assert row(out, "phase-1").startswith("phase-1 embedding 2/2 85.0 ±5.0 - ")
    assert "x push (seed 1, fold 0) diverged: loss is nan at step [3]" in out
    assert "push does not beat the phase-1 embedding in accuracy" in out
    assert "12 people, 72 images" in out
    assert "nan" not in out.replace("loss is nan", "")


def test_a_report_of_one_seed_claims_no_difference(faceexp, finished):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    code, out, _ = faceexp("report", folder)
    assert code == 0
    assert "1 seed x 1 fold" in out
    assert "±" not in out
    assert "no difference can be called real" in out


def test_a_report_of_failures_alone(faceexp, finished):
    folder = finished([trial("pull", status="failed", reason="ValueError: no")], [])
    code, out, _ = faceexp("report", folder)
    assert code == 0
    assert row(out, "pull").startswith("pull 0/1")
    assert "x pull (seed 0, fold 0) failed: ValueError: no" in out


def test_a_report_as_json_is_the_file(faceexp, finished):
    folder = finished([trial("pull")], [summary("pull", "auc", None, None)])
    code, out, err = faceexp("report", folder, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((folder / "results.json").read_text())


def test_a_report_is_drawn_from_the_file_as_well(faceexp, finished):
    folder = finished([trial("pull")], [])
    assert faceexp("report", folder / "results.json") == faceexp("report", folder)


def test_a_report_as_a_picture(faceexp, finished, tmp_path):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    code, _, _ = faceexp("report", folder, "--svg", tmp_path / "table.svg")
    assert code == 0
    assert "<svg" in (tmp_path / "table.svg").read_text()
    file = tmp_path / "missing" / "table.svg"
    error = f"error: --svg {file}: cannot be written: No such file or directory; name another file\n"
    assert faceexp("report", folder, "--svg", file) == (2, "", error)


def test_a_report_sorted_by_another_metric(faceexp, finished):
    folder = finished(
        [trial("pull"), trial("push")],
        [
            *(summary("pull", metric, value, None) for metric, value in (("accuracy", 0.9), ("eer", 0.3))),
            *(summary("push", metric, value, None) for metric, value in (("accuracy", 0.8), ("eer", 0.1))),
        ],
    )
    _, out, _ = faceexp("report", folder)
    assert out.index("pull") < out.index("push")
    _, out, _ = faceexp("report", folder, "--sort", "eer")
    assert out.index("push") < out.index("pull")
    error = "error: --sort err: the run has no metric 'err'; did you mean 'eer'?\n"
    assert faceexp("report", folder, "--sort", "err") == (2, "", error)


@pytest.mark.parametrize(("form", "sign"), [("markdown", "| --- |"), ("latex", r"\toprule"), ("csv", "label,kind,ok")])
def test_a_report_in_another_format_is_that_text_alone(faceexp, finished, form, sign):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    code, out, err = faceexp("report", folder, "--format", form)
    assert (code, err) == (0, "")
    assert sign in out
    assert "pull" in out
    assert json.loads(faceexp("report", folder, "--format", "json")[1]) == json.loads(
        (folder / "results.json").read_text()
    )


def test_a_report_with_verdicts_and_budgets(faceexp, finished):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    _, out, _ = faceexp("report", folder, "--matrix")
    assert "verdicts in accuracy" in out
    assert "phase-1 images" in out


def test_the_store_says_what_it_holds_and_can_be_emptied(faceexp, tmp_path):
    kept = Store(tmp_path / "store")
    for number in range(3):
        kept.get("features", {"number": number}, lambda folder: (folder / "x").write_bytes(b"x" * 1_000_000))
    (kept.root / "plugins.json").write_text("{}")  # which plugins are known to import
    code, out, _ = faceexp("cache", "--store", kept.root)
    assert code == 0
    assert row(out, "features") == "features 3 3.0"
    assert "3 artefacts, 3.0 MB kept" in out
    found = json.loads(faceexp("cache", "--store", kept.root, "--clear", "--json")[1])
    assert found["kinds"]["features"]["artefacts"] == 3
    assert kept.contents() == {"features": (0, 0)}
    assert not (kept.root / "plugins.json").exists()
    assert "0 artefacts" in faceexp("cache", "--store", tmp_path / "none")[1]


def test_runs_side_by_side(faceexp, finished, tmp_path):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    (folder / "spec.toml").write_text('name = "made"\n[[losses]]\nlabel = "pull"\nmargin = 1.0\n')
    other = tmp_path / "runs" / "other-12345678"
    shutil.copytree(folder, other)
    (other / "spec.toml").write_text('name = "made"\n[[losses]]\nlabel = "pull"\nmargin = 2.0\n')
    code, out, _ = faceexp("compare", folder, other)
    assert code == 0
    assert row(out, "losses[pull].margin") == "losses[pull].margin 1.0 2.0"
    assert row(out, "pull").startswith("pull 90.0 90.0")
    assert "nothing is tested" in out
    found = json.loads(faceexp("compare", folder, other, "--json")[1])
    assert found["names"] == ["made-12345678", "other-12345678"]
    assert faceexp("compare", folder) == (2, "", "error: one run alone cannot be compared; name two or more\n")
    code, _, err = faceexp("compare", folder, tmp_path / "none", tmp_path / "gone")
    assert (code, err.count("error: "), err.count("holds no results.json")) == (2, 2, 2)
    (other / "spec.toml").unlink()
    assert "no such file" in faceexp("compare", folder, other)[2]
    assert "no metric 'eer'" in faceexp("compare", folder, other, "--metric", "eer")[2]


def test_a_folder_without_results_says_where_some_are(faceexp, finished, tmp_path):
    missing = tmp_path / "missing"
    hint = "name the folder that `faceexp run` printed"
    assert faceexp("report", missing) == (2, "", f"error: {missing}: holds no results.json; {hint}\n")
    folder = finished([trial("pull")], [])
    hint = f"it holds the runs {folder}"
    assert faceexp("report", folder.parent) == (2, "", f"error: {folder.parent}: holds no results.json; {hint}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as results: Expecting property name"),
        ("[]", "is not results of schema 1; run the experiment again"),
        ('{"schema": 2}', "is not results of schema 1; run the experiment again"),
    ],
)
def test_a_file_that_holds_no_results(faceexp, tmp_path, content, message):
    file = tmp_path / "results.json"
    file.write_text(content)
    code, out, err = faceexp("report", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {file}: {message}")
    assert len(err.splitlines()) == 1


# Runs: what is shown on the way, and how they end; the training itself is tested elsewhere


@pytest.fixture
def running(faceexp, spec, finished, tmp_path, monkeypatch):
    """Run an experiment whose training is replaced: ``running(act, trials)``."""

    def run(act, trials, *arguments):
        ended = open_run(finished(trials, []))

        def study_run(study, out, *, store, on_event, jobs):
            act(on_event)
            return ended

        monkeypatch.setattr(pipeline.Study, "run", study_run)
        return faceexp("run", spec(), "--out", tmp_path / "out", "--store", tmp_path / "store", *arguments)

    return run


def greet(on_event):
    """Write to standard error as TensorFlow does, past Python."""
    os.write(2, b"could not find cuda drivers\n")


def test_a_run_that_ends_well(running):
    def act(on_event):
        greet(on_event)
        result = TrialResult(
            **{key: value for key, value in trial("pull").items() if key != "metrics"},
            metrics={"accuracy": 0.9, "auc": 0.95},
            threshold=1.0,
            distance="euclidean",
            best_step=4,
            seconds={"finetune": 2.0},
            reused=(),
        )
        on_event(Event("finetune", 1, 4, "pull", value=0.5))
        on_event(Event("trial", 1, 1, "pull", finished=result))

    code, out, err = running(act, [trial("pull")])
    assert code == 0
    assert row(out, "pull").startswith("pull 1/1")
    outline, ended, place = err.splitlines()
    assert outline == "example: 1 loss x 1 seed x 1 fold = 1 trials on image_folder, open set, trunk thin_vgg"
    assert ended == "[1/1] pull (seed 0, fold 0): accuracy 0.900, AUC 0.950, 2.0 s"
    assert place.startswith("results in ")
    assert place.endswith("made-12345678")


def test_a_run_as_json_is_one_document_on_standard_output(running):
    code, out, err = running(greet, [trial("pull")], "--json")
    assert code == 0
    assert json.loads(out)["trials"] == [trial("pull")]
    assert "results in" in err


def test_a_run_with_a_failed_trial_ends_with_code_1(running):
    code, out, _ = running(greet, [trial("pull"), trial("push", status="failed", reason="ValueError: no")])
    assert code == 1
    assert "x push (seed 0, fold 0) failed: ValueError: no" in out


def test_garbage_is_looked_for_as_usual_once_tensorflow_is_there_and_afterwards(running):
    usual, seen = gc.get_threshold(), []

    def act(on_event):
        for done in (0, 1):
            seen.append(gc.get_threshold())
            on_event(Event("backend", done, 1))
        seen.append(gc.get_threshold())

    code, _, _ = running(act, [trial("pull")])
    gc.unfreeze()
    assert code == 0
    assert seen[0] == seen[1]
    assert seen[0][0] > usual[0]
    assert seen[2] == gc.get_threshold() == usual


def test_an_interrupted_run_says_how_to_go_on(running):
    def act(on_event):
        raise KeyboardInterrupt

    code, out, err = running(act, [trial("pull")])
    assert (code, out) == (130, "")
    assert err.endswith("interrupted; finished trials are kept, the same command goes on from there\n")


def test_data_that_turn_out_wrong_end_the_run_with_code_2(running):
    def act(on_event):
        greet(on_event)
        raise InputError([Problem("is empty; add images", "faces/a"), Problem("is empty; add images", "faces/b")])

    code, out, err = running(act, [trial("pull")])
    assert (code, out) == (2, "")
    assert err.splitlines()[1:] == [f"error: faces/{name}: is empty; add images" for name in "ab"]


def test_an_error_of_ours_is_not_hidden_nor_what_libraries_said_before(running, capfd):
    def act(on_event):
        greet(on_event)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        running(act, [trial("pull")])
    assert "could not find cuda drivers" in capfd.readouterr().err


# TensorFlow takes seconds to import; only training needs it

WITHOUT_TENSORFLOW = """
import sys
from faceexp.cli.main import main

for command in sys.argv[1:]:
    sys.argv = ["faceexp", *command.split()]
    try:
        main()
    except SystemExit as ended:
        heavy = sorted({"tensorflow", "keras", "torch", "sklearn", "statsmodels", "pandas"} & set(sys.modules))
        print(f"{sys.argv[1]}: code {ended.code or 0}, imported {heavy}", file=sys.stderr)
"""


def test_what_does_not_train_does_not_import_tensorflow(spec, folder, tmp_path):
    for number in range(1, 6):
        (folder / "p03" / f"{number}.png").unlink()
    commands = {
        "--help": 0,
        "list-plugins": 0,
        "describe loss contrastive": 0,
        "schema": 0,
        f"validate {ROOT / 'experiments' / 'all_losses.toml'}": 0,
        f"run {spec()} --out {tmp_path} --store {tmp_path / 'store'}": 2,
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *commands],
        env={**os.environ, "FACEEXP_STORE": str(tmp_path / "own-store")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    reported = [line for line in done.stderr.splitlines() if "imported" in line]
    assert reported == [f"{command.split()[0]}: code {code}, imported []" for command, code in commands.items()]


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m faceexp schema | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


# New plugins


def test_new_plugin_prints_what_to_do_next(faceexp, tmp_path):
    code, out, err = faceexp("new-plugin", "sampler", "my_own", "--out", tmp_path / "with space")
    folder = tmp_path / "with space" / "my_own"
    assert (code, err) == (0, f"wrote {folder}; next:\n")
    assert out.splitlines() == [
        f"pip install -e '{folder}'",
        f"pytest '{folder}'",
        "faceexp describe sampler my_own",
    ]
    assert (folder / "faceexp_sampler_my_own.py").is_file()


def test_new_plugin_refuses_a_bad_name_with_one_line(faceexp, tmp_path):
    code, out, err = faceexp("new-plugin", "loss", "My-Loss", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error: 'My-Loss' is no name for a plugin; ")
    assert err.count("\n") == 1
